#!/usr/bin/env bash
# run.sh [-n REPEATS] PEER WORKLOAD [BATCHES]: runs a peer that setup.sh made, and prints a JSON line for each run.
# V="variant ..." picks variants.
set -u
here=$(dirname "$(readlink -f "$0")")
work=${PEERS_WORK:-$here/../../../target/peers}
repeats=1
if [ "${1:-}" = -n ]; then repeats=$2; shift 2; fi
peer=${1:?say which peer} workload=${2:?say which workload} batches=${3:-1000}

case $peer-$workload in
  dagster-W5) script=dagster_sample.py variants=multiprocess ;;
  hyperqueue-W1) script=hyperqueue_overhead.py variants="independent chain" ;;
  *) echo "$peer has no $workload here" >&2; exit 2 ;;
esac
python=$work/venv-$peer/bin/python
if [ ! -x "$python" ]; then
  echo "$peer is not set up in $work: run $here/setup.sh $peer" >&2
  exit 2
fi
for variant in $variants; do
  [[ -z "${V:-}" || " $V " == *" $variant "* ]] || continue
  for _ in $(seq "$repeats"); do
    "$python" "$here/$script" "$variant" "$batches" || exit 1
  done
done
