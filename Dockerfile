# syntax=docker/dockerfile:1
# Moongate's image: the binary, the C library that it is linked to, and nothing else; no shell, no package manager.
#   docker build --tag ghcr.io/moongate-dev/moongate:0.1.0 .

FROM rust:1.95-bookworm AS build
# The image has this toolchain; the file rust-toolchain.toml would add components that only developers need.
ENV RUSTUP_TOOLCHAIN=1.95.0
WORKDIR /src
COPY . .
# LuaJIT and PCRE2 are C code that is compiled with it. Caches outlive the layer; the binary must not lie in one.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin moongate \
    && install -D target/release/moongate /out/moongate \
    && strip --strip-debug /out/moongate

# glibc, libgcc and CA certificates.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /out/moongate /usr/local/bin/moongate
USER 65532:65532
EXPOSE 8080 8443 9090
ENTRYPOINT ["/usr/local/bin/moongate"]
