#!/usr/bin/env python3
"""Records what other implementations make of the corpus, into its `nginx` and `hyper` columns.

    record.py nginx                 starts nginx on loopback, as a proxy in front of itself and of raw upstreams
    record.py hyper PROBE           PROBE server   prints its port, reads bodies and answers 200
                                    PROBE client PORT METHOD   prints `STATUS "body"`, `error` or `cut`

Verdicts are statuses in their order; `closes` when the connection was closed without an answer, `waits` when it was left
open without one. Run it again after adding cases; a column that is there is replaced.
"""
import concurrent.futures, os, pathlib, re, socket, subprocess, sys, tempfile, threading, time

HERE = pathlib.Path(__file__).parent
QUIET = 0.7  # seconds without a byte: nothing more will come


def unescape(text):
    codes = {"r": "\r", "n": "\n", "t": "\t", "0": "\0", "\\": "\\"}
    one = lambda m: chr(int(m[2], 16)) if m[2] else codes[m[1]]
    return re.sub(r"\\(x([0-9a-f]{2})|.)", one, text).encode("latin-1")


def read(path):
    """Blocks of lines; a block that has a `case` is a case."""
    lets, blocks = {}, [[]]
    for line in path.read_text().splitlines():
        if not line:
            blocks.append([])
            continue
        blocks[-1].append(line)
        if line.startswith("let "):
            name, value = line[4:].split(" = ", 1)
            lets["{%s}" % name] = value
    cases = []
    for block in blocks:
        send = [line[5:] for line in block if line.startswith("send ")]
        if send:
            text = "".join(send)
            for name, value in lets.items():
                text = text.replace(name, value)
            asked = [line[6:] for line in block if line.startswith("asked ")]
            cases.append((block, unescape(text), asked[0] if asked else "GET"))
    return blocks, cases


def write(path, blocks, cases, column, verdicts):
    for (block, _, _), verdict in zip(cases, verdicts):
        kept = [line for line in block if not line.startswith(column + " ")]
        block[:] = kept + [f"{column} {verdict}"]
    path.write_text("\n\n".join("\n".join(block) for block in blocks) + "\n")


def listen():
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    sock.listen(16)
    return sock, sock.getsockname()[1]


def talk(port, data):
    """Everything that comes back, and whether the connection was closed."""
    with socket.create_connection(("127.0.0.1", port)) as sock:
        sock.settimeout(QUIET)
        got = b""
        try:
            sock.sendall(data)
            while piece := sock.recv(65536):
                got += piece
        except TimeoutError:
            return got, False
        except ConnectionError:
            pass
        return got, True


def server_verdict(port, data):
    got, closed = talk(port, data)
    statuses = [m.decode() for m in re.findall(rb"HTTP/1\.[01] (\d{3})", got)]
    if not statuses and got:
        return "answers without a head"
    return " ".join(statuses) or ("closes" if closed else "waits")


def upstream(data):
    """A server for one connection: reads a head, sends `data`, closes."""
    sock, port = listen()

    def run():
        peer, _ = sock.accept()
        sock.close()
        with peer:
            head = b""
            while b"\r\n\r\n" not in head:
                piece = peer.recv(65536)
                if not piece:
                    return
                head += piece
            peer.sendall(data)
            peer.shutdown(socket.SHUT_WR)
            peer.settimeout(QUIET)
            try:
                while peer.recv(65536):
                    pass
            except OSError:
                pass

    threading.Thread(target=run, daemon=True).start()
    return port


NGINX = """daemon off; error_log stderr; pid %(dir)s/pid; worker_processes 1;
events {}
http { access_log off; client_body_temp_path %(dir)s/b; proxy_temp_path %(dir)s/p; fastcgi_temp_path %(dir)s/f;
  uwsgi_temp_path %(dir)s/u; scgi_temp_path %(dir)s/s; proxy_http_version 1.1; proxy_set_header Connection "";
  server { listen 127.0.0.1:%(front)d; location / { proxy_pass http://127.0.0.1:%(echo)d; } }
  server { listen 127.0.0.1:%(echo)d; location / { return 200 "here"; } }
  server { listen 127.0.0.1:%(raw)d; location ~ ^/(?<p>\\d+)$ { proxy_pass http://127.0.0.1:$p; } }
}"""


def free():
    sock, port = listen()
    sock.close()
    return port


def nginx_client(raw, data, asked):
    if asked == "CONNECT":
        return "does not ask"
    port = upstream(data)
    got, closed = talk(raw, f"{asked} /{port} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
    status = re.findall(rb"HTTP/1\.[01] (\d{3})", got)
    if not status:
        return "closes" if closed else "waits"
    status = [code for code in status if code[0:1] != b"1" or code == b"101"][0].decode()
    head, _, body = got.partition(b"\r\n\r\n")
    if status == "502" or asked == "HEAD" or not body:
        return status
    if b"chunked" in head:
        complete, body = body.endswith(b"0\r\n\r\n"), b"".join(re.findall(rb"[0-9a-f]+\r\n(.+?)\r\n", body, re.S))
    else:
        length = re.search(rb"Content-Length: (\d+)", head)
        complete = not length or int(length[1]) == len(body)
    text = body.decode("latin-1").encode("unicode_escape").decode()
    return f'{status} "{text}"' + ("" if complete else " cut")


def record(column, server, client):
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        for name, verdict in (("requests.txt", server), ("responses.txt", client)):
            blocks, cases = read(HERE / name)
            verdicts = list(pool.map(lambda case: verdict(case[1], case[2]), cases))
            write(HERE / name, blocks, cases, column, verdicts)


def nginx():
    with tempfile.TemporaryDirectory() as dir:
        ports = {"front": free(), "echo": free(), "raw": free()}
        conf = pathlib.Path(dir) / "nginx.conf"
        conf.write_text(NGINX % {"dir": dir, **ports})
        child = subprocess.Popen(["nginx", "-p", dir, "-c", str(conf)], stderr=subprocess.DEVNULL)
        try:
            for _ in range(100):
                try:
                    socket.create_connection(("127.0.0.1", ports["front"])).close()
                    break
                except ConnectionRefusedError:
                    time.sleep(0.05)
            record("nginx", lambda data, _: server_verdict(ports["front"], data),
                   lambda data, asked: nginx_client(ports["raw"], data, asked))
        finally:
            child.terminate()
            child.wait()


def hyper(probe):
    child = subprocess.Popen([probe, "server"], stdout=subprocess.PIPE, text=True)
    try:
        port = int(child.stdout.readline())

        def client(data, asked):
            args = [probe, "client", str(upstream(data)), asked]
            said = subprocess.run(args, capture_output=True, text=True, timeout=20).stdout.removesuffix("\n")
            return said.encode("unicode_escape").decode() or "error"

        record("hyper", lambda data, _: server_verdict(port, data), client)
    finally:
        child.terminate()
        child.wait()


if __name__ == "__main__":
    nginx() if sys.argv[1] == "nginx" else hyper(sys.argv[2])
