#!/usr/bin/env bash
# Measures a release build for the table of BENCHMARKS.md: overhead per task, a small schedule, sharding.
#   tests/tools/bench.sh BINARY
set -euo pipefail

plumb=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Prints what a run's summary says of time and tasks.
measure() {
  local name=$1 spec=$2 summary tasks wall
  summary=$("$plumb" run "$spec" --json 2>/dev/null | tail -n 1)
  wall=$(sed 's/.*"wall_seconds":\([0-9.]*\).*/\1/' <<<"$summary")
  tasks=$(sed 's/.*"succeeded":\([0-9]*\).*/\1/' <<<"$summary")
  awk -v name="$name" -v wall="$wall" -v tasks="$tasks" \
    'BEGIN { printf "%-48s %8.2f s %8d tasks %9.0f tasks/s\n", name, wall, tasks, tasks / wall }'
}

{ echo id; seq 10000; } >"$work/numbers.csv"
cat >"$work/noop.yaml" <<YAML
name: noop
source: { uris: [$work/numbers.csv], csv: {} }
batch: { rows: 1 }
schedule: { max_concurrent: 4 }
ops: [{ name: a, noop: {} }, { name: b, noop: {} }, { name: c, noop: {} }]
YAML
{ echo id; seq 64; } >"$work/few.csv"
cat >"$work/delay.yaml" <<YAML
name: delay
source: { uris: [$work/few.csv], csv: {} }
batch: { rows: 1 }
schedule: { max_concurrent: 4 }
ops: [{ name: a, noop: {}, delay: { per_batch: 50ms } }, { name: b, noop: {}, delay: { per_batch: 50ms } }]
YAML

measure "10,000 batches of 4 tasks that do nothing" "$work/noop.yaml"
measure "64 batches, two ops of 50 ms, cap 4" "$work/delay.yaml"
