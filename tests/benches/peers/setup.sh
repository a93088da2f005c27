#!/usr/bin/env bash
# setup.sh [PEER...]: makes a virtual environment for each peer of this folder, with pinned versions, under target/peers
# (PEERS_WORK for another place). Needs python3 and a package index.
set -euo pipefail
here=$(dirname "$(readlink -f "$0")")
work=${PEERS_WORK:-$here/../../../target/peers}
mkdir -p "$work"
for peer in ${*:-dagster hyperqueue}; do
  case $peer in
    dagster) packages="dagster==1.13.29" ;;
    hyperqueue) packages="hyperqueue==0.27.0" ;;
    *) echo "no such peer: $peer" >&2; exit 2 ;;
  esac
  [ -d "$work/venv-$peer" ] || python3 -m venv "$work/venv-$peer"
  # Word by word: a peer may need several packages.
  # shellcheck disable=SC2086
  "$work/venv-$peer/bin/pip" install --quiet $packages
done
