"""The quickstart's upstream: says what it was asked. `python3 upstream.py PORT`."""

import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Upstream(BaseHTTPRequestHandler):
    """Any method, any path; /headers lists the request's headers as they arrived here."""

    protocol_version = "HTTP/1.1"
    # Head and body are two writes: without this the second one would wait for the first one's acknowledgement.
    disable_nagle_algorithm = True

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        text = f"Hello from the upstream: {self.command} {self.path}\n"
        if body:
            text += f"You sent {len(body)} bytes.\n"
        if self.path == "/headers":
            text += "".join(f"{name}: {value}\n" for name, value in self.headers.items())
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(text)))
        self.send_header("X-Powered-By", "python")
        self.end_headers()
        self.wfile.write(text.encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = answer

    def log_message(self, *_):
        """Quiet: the access log of Moongate tells."""


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Upstream).serve_forever()
