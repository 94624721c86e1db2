"""The clients: wrk for HTTP/1.1, h2load for HTTP/2, sockets of our own for connections that only stay."""

import contextlib
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import tempfile

CLIENT_CORE = 1
HOST = "bench.example.com"

# wrk calls this at its end; percentiles and counts as JSON instead of its text with mixed units.
WRK_REPORT = """
done = function(summary, latency)
  local e = summary.errors
  io.write(string.format('\\nJSON {"requests":%d,"seconds":%f,"bytes":%d,"errors":%d,"p50_us":%f,"p99_us":%f}\\n',
    summary.requests, summary.duration / 1e6, summary.bytes,
    e.connect + e.read + e.write + e.status + e.timeout, latency:percentile(50), latency:percentile(99)))
end
"""


def pinned(argv):
    """Runs a client to its end on its core and returns what it printed."""
    done = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        preexec_fn=lambda: os.sched_setaffinity(0, {CLIENT_CORE}),
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed:\n{done.stdout[-2000:]}")
    return done.stdout


def wrk(url, connections, seconds):
    """Keep-alive HTTP/1.1 load from one thread."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(WRK_REPORT)
        script.flush()
        output = pinned(
            ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--timeout", "10s", "--latency", "-s", script.name, url]
        )
    found = re.search(r"^JSON (.*)$", output, re.M)
    if not found:
        raise RuntimeError(f"wrk did not report:\n{output}")
    return json.loads(found.group(1))


def h2load(url, connections, streams, seconds):
    """HTTP/2 over TLS, `streams` concurrent requests on each connection."""
    with tempfile.NamedTemporaryFile("r", suffix=".log") as log:
        output = pinned(
            ["h2load", "-t1", f"-c{connections}", f"-m{streams}", f"-D{seconds}", f"--log-file={log.name}", url]
        )
        # One line a request: start in us, status, duration in us.
        times = sorted(int(line.split("\t")[2]) for line in log if line.count("\t") >= 2)
    found = re.search(r"requests: (\d+) total, .* (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", output)
    size = re.search(r"traffic: .*\((\d+)\) total", output)
    if not found or not times:
        raise RuntimeError(f"h2load did not report:\n{output}")
    done, failed = int(found.group(2)), sum(int(n) for n in found.group(3, 4, 5))
    return {
        "requests": done,
        "seconds": float(seconds),
        "bytes": int(size.group(1)) if size else 0,
        "errors": failed,
        "p50_us": float(times[len(times) // 2]),
        "p99_us": float(times[len(times) * 99 // 100]),
    }


@contextlib.contextmanager
def idle_connections(port, count, protocol=None):
    """Holds `count` keep-alive connections, each after one answered request: plain, or over TLS with this ALPN."""
    context = ssl._create_unverified_context()
    if protocol:
        context.set_alpn_protocols([protocol])
    ask = ask_h2 if protocol == "h2" else ask_h1
    held = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            held.append(client)
            if protocol:
                client = held[-1] = context.wrap_socket(client, server_hostname=HOST)
                if client.selected_alpn_protocol() != protocol:
                    raise RuntimeError(f"connection {len(held)} speaks {client.selected_alpn_protocol()}")
            try:
                ask(client)
            except RuntimeError as error:
                raise RuntimeError(f"connection {len(held)} {error}") from error
        yield
    finally:
        for client in held:
            client.close()


def received(client, answer):
    """More of an answer."""
    piece = client.recv(4096)
    if not piece:
        raise RuntimeError(f"was closed after {answer[:200]!r}")
    return piece


def ask_h1(client):
    """One request, answered with 200."""
    client.sendall(f"GET / HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
    answer = b""
    while not complete(answer):
        answer += received(client, answer)
    if not answer.startswith(b"HTTP/1.1 200"):
        raise RuntimeError(f"got {answer[:200]!r}")


H2_DATA, H2_HEADERS, H2_RESET, H2_SETTINGS, H2_GOAWAY = 0, 1, 3, 4, 7
H2_END_STREAM, H2_END_HEADERS, H2_ACK = 1, 4, 1


def h2_frame(kind, flags, stream, payload=b""):
    """RFC 9113, 4.1."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def ask_h2(client):
    """The same over HTTP/2, which is little enough to do without a library that keeps memory of its own."""
    # RFC 7541: `:method: GET`, `:scheme: https`, `:path: /` are indices of the static table, `:authority` a name of it.
    block = b"\x82\x87\x84\x01" + bytes([len(HOST)]) + HOST.encode()
    client.sendall(
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        + h2_frame(H2_SETTINGS, 0, 0)
        + h2_frame(H2_HEADERS, H2_END_STREAM | H2_END_HEADERS, 1, block)
    )
    answer, status, is_acknowledged, has_ended = b"", None, False, False
    while not (has_ended and is_acknowledged):
        while len(answer) < 9 or len(answer) < 9 + int.from_bytes(answer[:3], "big"):
            answer += received(client, answer)
        length, kind, flags = int.from_bytes(answer[:3], "big"), answer[3], answer[4]
        payload, answer = answer[9 : 9 + length], answer[9 + length :]
        if kind == H2_SETTINGS and not flags & H2_ACK:
            client.sendall(h2_frame(H2_SETTINGS, H2_ACK, 0))
            is_acknowledged = True
        elif kind in (H2_RESET, H2_GOAWAY):
            raise RuntimeError(f"got a frame of type {kind}: {payload[:200]!r}")
        elif kind == H2_HEADERS:
            # After changes of the table's size `:status` comes first; 200 is index 8.
            status = next((byte for byte in payload if byte >> 5 != 1), None)
        has_ended |= kind in (H2_DATA, H2_HEADERS) and bool(flags & H2_END_STREAM)
    if status != 0x88:
        raise RuntimeError(f"got another status than 200: {status}")


def complete(answer):
    """Whether a response is there to its end (by content-length or the last chunk)."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(body) >= int(length.group(1)) if length else body.endswith(b"0\r\n\r\n")
