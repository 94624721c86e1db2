"""A WebSocket conversation by a library. `websocket_client.py URL MESSAGES`: prints `ok` when every one came back."""

import os
import socket
import ssl
import sys
from urllib.parse import urlsplit

from websockets.sync.client import connect

url, count = sys.argv[1], int(sys.argv[2])
context = ssl._create_unverified_context() if url.startswith("wss:") else None
# Whatever name the URL has, it is on this machine.
local = socket.create_connection(("127.0.0.1", urlsplit(url).port), timeout=20)
with connect(url, sock=local, ssl=context, max_size=2**26, open_timeout=20, compression="deflate") as connection:
    for number in range(count):
        message = f"message {number}"
        connection.send(message)
        assert connection.recv(timeout=20) == message
    binary = os.urandom(1_000_000)
    connection.send(binary)
    assert connection.recv(timeout=20) == binary
    assert connection.ping().wait(20)
print("ok")
