# The program alone in a small image: no compiler, no root, nothing written outside /data.
FROM rust:1.95-bookworm AS build
WORKDIR /build
COPY . .
# The caches last from build to build, so the binary is copied out of them.
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked -p security-analytics --features otel \
    && cp target/release/security-analytics /usr/local/bin/

FROM debian:bookworm-slim
# Webhooks, and the export of traces, trust the certificates that the system trusts.
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
RUN useradd --system --uid 10001 --user-group --no-create-home analytics \
    && install -d -o analytics -g analytics -m 0700 /data
COPY --from=build /usr/local/bin/security-analytics /usr/local/bin/
USER 10001:10001
# Inside a container loopback reaches nobody.
ENV LISTEN=0.0.0.0:5000 DATA_DIR=/data LOG_FORMAT=json
WORKDIR /data
VOLUME /data
EXPOSE 5000
# The slim image has neither curl nor wget; bash opens the socket.
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD \
    ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/5000 && printf 'GET /api/health HTTP/1.0\\r\\n\\r\\n' >&3 && grep -q healthy <&3"]
ENTRYPOINT ["security-analytics"]
