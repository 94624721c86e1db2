"""Reads responses over one TLS connection, a little at a time, so that the server's side of the socket stays full.

tls_slow_reader.py HOST:PORT NAME SIZE TIMES
"""

import socket
import ssl
import sys

(host, port), name = sys.argv[1].rsplit(":", 1), sys.argv[2]
size, times = int(sys.argv[3]), int(sys.argv[4])
context = ssl.create_default_context()
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
plain = socket.socket()
# Small, so that the server's last write never fits.
plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
plain.connect((host, int(port)))
tls = context.wrap_socket(plain, server_hostname=name)
tls.settimeout(10)
for _ in range(times):
    tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode())
    head, got = b"", 0
    while b"\r\n\r\n" not in head:
        head += tls.recv(512)
    got = len(head) - head.index(b"\r\n\r\n") - 4
    while got < size:
        piece = tls.recv(4096)
        if not piece:
            sys.exit(f"the connection ended after {got} bytes")
        got += len(piece)
print("ok")
