"""A WebSocket server that sends back what it gets. `websocket_echo.py PORT`."""

import sys

from websockets.sync.server import serve


def echo(connection):
    for message in connection:
        connection.send(message)


with serve(echo, "127.0.0.1", int(sys.argv[1]), max_size=2**26) as server:
    server.serve_forever()
