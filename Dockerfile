# One image with every program of Plumbline: `plumb coordinator`, `plumb worker`, `plumb submit`, ...
#
#   docker build -t plumbline .                                   compiles in the image
#   docker build -t plumbline --build-arg BINARY=dist/plumb .     copies a binary that is built already
#
# The second is for where a release build is there anyway; it must be linked against a glibc no newer than the runtime
# image's. Both work with BuildKit and with the classic builder, so there is no RUN --mount and no COPY --chmod here. The
# classic builder builds every stage, so the two ways share one: with BINARY it begins at the small image, whose steps cost
# next to nothing.

ARG RUST_IMAGE=rust:1-bookworm
ARG RUNTIME_IMAGE=debian:bookworm-slim
# A path in the build context, or nothing.
ARG BINARY=
ARG WITHOUT_COMPILER=${BINARY:+$RUNTIME_IMAGE}

FROM ${WITHOUT_COMPILER:-$RUST_IMAGE} AS build
ARG BINARY
WORKDIR /build

# Dependencies are a layer of their own, which changes with the manifests only: empty crates stand in for ours.
COPY Cargo.toml Cargo.lock ./
COPY proto/Cargo.toml proto/
COPY common/Cargo.toml common/
COPY coordinator/Cargo.toml coordinator/
COPY coordinator/scheduler/Cargo.toml coordinator/scheduler/
COPY worker/Cargo.toml worker/
COPY worker/agent/Cargo.toml worker/agent/
COPY scan/Cargo.toml scan/
COPY cli/Cargo.toml cli/
COPY tests/Cargo.toml tests/
COPY tests/benches/Cargo.toml tests/benches/
COPY tests/simulator/Cargo.toml tests/simulator/
RUN if [ -z "$BINARY" ]; then \
      set -e; \
      for crate in proto common coordinator coordinator/scheduler worker worker/agent scan tests tests/benches tests/simulator; do \
        mkdir -p $crate/src; touch $crate/src/lib.rs; \
      done; \
      mkdir -p cli/src; echo 'fn main() {}' > cli/src/main.rs; echo 'fn main() {}' > proto/build.rs; \
      cargo build --release --locked --package plumb; \
      cargo clean --release --package proto --package common --package coordinator --package scheduler \
        --package worker --package agent --package scan --package plumb; \
      rm -r proto common coordinator worker scan cli tests; \
    fi

# Without BINARY the second line copies a file that is there already: COPY cannot copy nothing.
COPY . .
COPY ${BINARY:-Cargo.toml} /out/plumb
RUN if [ -z "$BINARY" ]; then \
      set -e; \
      cargo build --release --locked --package plumb; \
      strip --strip-debug -o /out/plumb target/release/plumb; \
      rm -r target; \
    fi; \
    chmod 755 /out/plumb

FROM ${RUNTIME_IMAGE}
LABEL org.opencontainers.image.title="Plumbline" \
      org.opencontainers.image.description="Runs a chain of ops over the batches of huge tables, depth first, on a cluster" \
      org.opencontainers.image.licenses="Apache-2.0"

# The user of `docker run`; compose runs the image as the owner of ./output, whoever that is. The folders that programs
# write to are therefore open to all, like /tmp: a new volume takes their mode over.
RUN groupadd --gid 10001 plumb \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /srv/plumb --shell /usr/sbin/nologin plumb \
 && install -d -m 1777 /var/lib/plumb /var/spool/plumb \
 && install -d -m 755 /srv/plumb
COPY --from=build /out/plumb /usr/local/bin/plumb

USER 10001:10001
WORKDIR /srv/plumb
EXPOSE 50051 50052 50053 3000
STOPSIGNAL SIGTERM
# For a coordinator; a worker is asked at its exchange instead (docker-compose.yml).
HEALTHCHECK --interval=5s --timeout=4s --start-period=20s --retries=3 CMD ["plumb", "health"]
ENTRYPOINT ["plumb"]
CMD ["--help"]
