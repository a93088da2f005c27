#!/usr/bin/env bash
# Tests the pages in a real headless Chromium: `tests/browser/run.sh [words of test names]`.
# PLUMB_BIN is the program to test (default: target/debug/plumb), PLUMB_FIXTURES the server of made-up runs (default:
# target/release/examples/fixture_server), PLUMB_UI_DIR a folder of assets to try, PLUMB_SCREENSHOTS where pictures go.
# Wants python3 with venv and chromium, which root gets installed on Debian, and the network for the driver and axe-core,
# which are fetched into a temporary folder. What is missing is said, and is a failure in CI.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cd "$here/../.."
export PLUMB_BIN=${PLUMB_BIN:-$PWD/target/debug/plumb}
tools=${PLUMB_BROWSER_TOOLS:-${TMPDIR:-/tmp}/plumbline-browser-tools-$UID}
playwright=1.65.2
axe=0.1.8

skip() {
  echo "SKIPPED browser tests: $1"
  [ "${CI:-}" != true ]
  exit
}

# Installs packages, where that can be done without asking.
install() {
  [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 0
  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "$@" >/dev/null ||
    echo "cannot install $*"
}

find_chromium() {
  command -v chromium || command -v chromium-browser || command -v google-chrome || true
}

[ -x "$PLUMB_BIN" ] || { echo "there is no $PLUMB_BIN; build it, or name another with PLUMB_BIN"; exit 1; }
CHROMIUM=${CHROMIUM:-$(find_chromium)}
if [ -z "$CHROMIUM" ]; then
  install chromium fonts-liberation fonts-dejavu-core
  CHROMIUM=$(find_chromium)
fi
[ -n "$CHROMIUM" ] || skip "no chromium; apt-get install chromium, or name one with CHROMIUM"
export CHROMIUM
python="$tools/venv/bin/python"
if ! { [ -x "$python" ] && "$python" -c 'import playwright, axe_playwright_python'; } 2>/dev/null; then
  mkdir -p "$tools"
  python3 -c 'import venv, ensurepip' 2>/dev/null || install python3-venv
  python3 -m venv "$tools/venv" || skip "no python3 with venv"
  "$python" -m pip install --quiet "playwright==$playwright" "axe-playwright-python==$axe" ||
    skip "the driver and axe-core cannot be fetched"
fi
AXE=$("$python" -c 'import axe_playwright_python as axe; print(axe.__path__[0])')/axe.min.js
export AXE
exec "$python" "$here/suite.py" "$@"
