"""W5 on Dagster: nine batches, mapped dynamically through two transforms of a second each and a load, in four processes.

Later ops have the higher priority, as in the sample's job. The clock runs from the start of the run to its end; what Dagster
needs to be imported is not in it, what its step processes need is.
"""

import json
import os
import sys
import tempfile
import time

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"

import dagster

BATCHES = 9
CAP = 4
SECONDS = 1.0


@dagster.op(out=dagster.DynamicOut(int), tags={"dagster/priority": "0"})
def extract():
    for batch in range(BATCHES):
        yield dagster.DynamicOutput(batch, mapping_key=str(batch))


@dagster.op(tags={"dagster/priority": "1"})
def transform_1(batch: int) -> int:
    time.sleep(SECONDS)
    return batch


@dagster.op(tags={"dagster/priority": "2"})
def transform_2(batch: int) -> int:
    time.sleep(SECONDS)
    return batch


@dagster.op(tags={"dagster/priority": "3"})
def load(batch: int) -> int:
    return batch


@dagster.job(executor_def=dagster.multiprocess_executor.configured({"max_concurrent": CAP}))
def sample():
    extract().map(lambda batch: load(transform_2(transform_1(batch))))


def main() -> None:
    with tempfile.TemporaryDirectory() as home:
        instance = dagster.DagsterInstance.local_temp(home)
        began = time.monotonic()
        with dagster.execute_job(dagster.reconstructable(sample), instance=instance) as result:
            seconds = time.monotonic() - began
            if not result.success:
                sys.exit("the run failed")
    figure = {
        "peer": "dagster",
        "workload": "W5",
        "variant": sys.argv[1],
        "version": dagster.__version__,
        "wall_s": round(seconds, 2),
    }
    print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
