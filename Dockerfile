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

# What decides about dependencies, and nothing else: what is copied from here changes with the manifests only.
FROM ${WITHOUT_COMPILER:-$RUST_IMAGE} AS manifests
WORKDIR /manifests
COPY . .
RUN find . -type f ! -name Cargo.toml ! -name Cargo.lock -delete && find . -type d -empty -delete

FROM ${WITHOUT_COMPILER:-$RUST_IMAGE} AS build
ARG BINARY
WORKDIR /build

# Dependencies are a layer of their own: empty crates stand in for ours, whatever they are. The clean-up afterwards takes
# the stand-ins out of target, since the sources are older than what was made of them.
COPY --from=manifests /manifests ./
RUN if [ -z "$BINARY" ]; then \
      set -e; \
      ours=; \
      for manifest in $(find . -mindepth 2 -name Cargo.toml); do \
        crate=${manifest%/*}; \
        mkdir -p $crate/src; touch $crate/src/lib.rs; echo 'fn main() {}' > $crate/src/main.rs; \
        if grep -q '^\[build-dependencies\]' $manifest; then echo 'fn main() {}' > $crate/build.rs; fi; \
        ours="$ours --package $(sed -n 's/^name = "\(.*\)"$/\1/p' $manifest | head -n 1)"; \
      done; \
      cargo build --release --locked --package plumb; \
      cargo clean --release $ours; \
      find . -mindepth 1 -maxdepth 1 ! -name target -exec rm -r {} +; \
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
