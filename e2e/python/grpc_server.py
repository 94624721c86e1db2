"""A gRPC server: unary, streaming and failing methods over bytes. `grpc_server.py PORT`."""

import sys
from concurrent import futures

import grpc


def upper(request, context):
    context.set_trailing_metadata((("x-length", str(len(request))),))
    return request.upper()


def count(request, _context):
    for number in range(int(request)):
        yield str(number).encode()


def shout(requests, _context):
    for request in requests:
        yield request.upper()


def fail(_request, context):
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "as asked")


methods = {
    "Upper": grpc.unary_unary_rpc_method_handler(upper),
    "Count": grpc.unary_stream_rpc_method_handler(count),
    "Shout": grpc.stream_stream_rpc_method_handler(shout),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
}
server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Echo", methods),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
