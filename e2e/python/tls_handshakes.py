"""Makes TLS connections one after the other, with a request on each, by TLS 1.3 and 1.2 in turn, some resumed.

tls_handshakes.py HOST:PORT NAME COUNT
"""

import socket
import ssl
import sys

(host, port), name, count = sys.argv[1].rsplit(":", 1), sys.argv[2], int(sys.argv[3])
contexts = []
for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    contexts.append(context)
sessions = [None, None]
for number in range(count):
    which = number % 2
    session = sessions[which] if number % 3 else None
    plain = socket.create_connection((host, int(port)), timeout=20)
    with contexts[which].wrap_socket(plain, server_hostname=name, session=session) as tls:
        tls.sendall(f"GET / HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while piece := tls.recv(4096):
            answer += piece
        assert answer.startswith(b"HTTP/1.1 200 "), answer
        sessions[which] = tls.session
print("ok")
