#!/usr/bin/env bash
# profile.sh ROLE BENCHMARK-ARGUMENTS...: runs a benchmark with one of its processes under callgrind, and shows where that
# one's instructions went: by function, with and without what it calls. ROLE is `coordinator` or `worker`.
#
# Instructions are counted, not time: so it says the same on a busy machine, and nothing of waiting or of the kernel.
# Wants valgrind, and PROFILED_PROGRAM: a plumb with line tables, `benches` beside it. The profiles stay in $PROFILES.
set -euo pipefail
role=${1:?say whose profile: coordinator or worker}
shift

# The benchmarks take this script for plumb, and come back with the words of a command. Under callgrind a process is some fifty
# times as slow: it is given that much longer before it counts as lost.
if [ -n "${PROFILED_ROLE:-}" ]; then
  if [ "$role" = coordinator ]; then
    set -- "$@" --lease-time 5m --heartbeat-interval 10s
  fi
  if [ "$role" = "$PROFILED_ROLE" ]; then
    exec valgrind --tool=callgrind --callgrind-out-file="$PROFILES/$role.%p" "$PROFILED_PROGRAM" "$role" "$@"
  fi
  exec "$PROFILED_PROGRAM" "$role" "$@"
fi

command -v valgrind >/dev/null || { echo "valgrind is missing: install it" >&2; exit 1; }
export PROFILED_ROLE=$role PROFILES=${PROFILES:-$(mktemp -d)}
mkdir -p "$PROFILES"
PLUMB_BIN=$(readlink -f "$0") "$(dirname "$PROFILED_PROGRAM")/benches" "$@"

# The process of the role that did the most; a worker has others beside it.
largest=$(grep -H '^\(summary\|totals\):' "$PROFILES/$role".* | awk '{ split($1, file, ":"); print $2, file[1] }' | sort -n | tail -1 | cut -d' ' -f2)
for inclusive in yes no; do
  printf '\n== %s, with what it calls: %s (%s)\n' "$role" "$inclusive" "$largest"
  callgrind_annotate --inclusive=$inclusive --threshold=100 "$largest" 2>/dev/null |
    grep -E '^ *[0-9,]+ \(' | sed -e 's/\[[^]]*\]$//' -e 's#[^ ]*/\(src/[^ ]*\)#\1#' | head -"${LINES_SHOWN:-45}" || true
done
