"""Calls grpc_server.py through a proxy. `grpc_client.py TARGET AUTHORITY [CA]`: prints `ok`."""

import sys

import grpc

target, authority = sys.argv[1:3]
options = [("grpc.default_authority", authority), ("grpc.ssl_target_name_override", authority)]
if len(sys.argv) > 3:
    with open(sys.argv[3], "rb") as file:
        channel = grpc.secure_channel(target, grpc.ssl_channel_credentials(file.read()), options)
else:
    channel = grpc.insecure_channel(target, options)

with channel:
    upper = channel.unary_unary("/test.Echo/Upper")
    answer, call = upper.with_call(b"abc", timeout=20)
    assert answer == b"ABC", answer
    assert ("x-length", "3") in [(k, v) for k, v in call.trailing_metadata()], call.trailing_metadata()

    numbers = list(channel.unary_stream("/test.Echo/Count")(b"500", timeout=20))
    assert numbers == [str(n).encode() for n in range(500)], numbers

    words = [b"a" * size for size in (1, 1000, 100_000)]
    shouted = list(channel.stream_stream("/test.Echo/Shout")(iter(words), timeout=20))
    assert shouted == [w.upper() for w in words]

    try:
        channel.unary_unary("/test.Echo/Fail")(b"", timeout=20)
        raise SystemExit("Fail did not fail")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION, error
        assert error.details() == "as asked", error

    try:
        channel.unary_unary("/test.Echo/NoSuchMethod")(b"", timeout=20)
        raise SystemExit("NoSuchMethod was found")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.UNIMPLEMENTED, error
print("ok")
