"""The clients: wrk for HTTP/1.1, h2load for HTTP/2, plain sockets for connections that only stay."""

import contextlib
import json
import os
import re
import socket
import subprocess
import tempfile

CLIENT_CORE = 1

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
def idle_connections(port, count):
    """Holds `count` keep-alive connections, each after one answered request."""
    held = []
    try:
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), timeout=10)
            held.append(client)
            client.sendall(b"GET / HTTP/1.1\r\nHost: bench.example.com\r\n\r\n")
            answer = b""
            while not complete(answer):
                piece = client.recv(4096)
                if not piece:
                    raise RuntimeError(f"connection {len(held)} was closed after {answer!r}")
                answer += piece
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(f"connection {len(held)} got {answer[:200]!r}")
        yield
    finally:
        for client in held:
            client.close()


def complete(answer):
    """Whether a response is there to its end (by content-length or the last chunk)."""
    head, end, body = answer.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(body) >= int(length.group(1)) if length else body.endswith(b"0\r\n\r\n")
