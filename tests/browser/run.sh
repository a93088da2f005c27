#!/usr/bin/env bash
# Tests the pages in a real headless Chromium: `tests/browser/run.sh [words of test names]`.
# PLUMB_BIN is the program to test (default: target/debug/plumb). Wants python3 with venv, chromium and the network for
# the driver and axe-core, which are fetched into a temporary folder; what is missing is said, and is a failure in CI.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
export PLUMB_BIN=${PLUMB_BIN:-$PWD/target/debug/plumb}
tools=${PLUMB_BROWSER_TOOLS:-${TMPDIR:-/tmp}/plumbline-browser-tools-$UID}
playwright=1.65.2
axe=4.10.3

skip() {
  echo "SKIPPED browser tests: $1"
  [ "${CI:-}" != true ]
  exit
}

[ -x "$PLUMB_BIN" ] || { echo "there is no $PLUMB_BIN; build it, or name another with PLUMB_BIN"; exit 1; }
CHROMIUM=${CHROMIUM:-$(command -v chromium || command -v chromium-browser || command -v google-chrome || true)}
[ -n "$CHROMIUM" ] || skip "no chromium; apt-get install chromium, or name one with CHROMIUM"
export CHROMIUM
if [ ! -x "$tools/venv/bin/python" ] || ! "$tools/venv/bin/python" -c 'import playwright' 2>/dev/null; then
  mkdir -p "$tools"
  python3 -m venv "$tools/venv" || skip "no python3 with venv"
  "$tools/venv/bin/pip" install --quiet "playwright==$playwright" || skip "the driver cannot be fetched"
fi
export AXE="$tools/axe-$axe.js"
if [ ! -s "$AXE" ]; then
  curl -fsSL "https://registry.npmjs.org/axe-core/-/axe-core-$axe.tgz" | tar -xzO package/axe.min.js >"$AXE.part" ||
    skip "axe-core cannot be fetched"
  mv "$AXE.part" "$AXE"
fi
exec "$tools/venv/bin/python" "$here/suite.py" "$@"
