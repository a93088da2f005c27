"""W1 on HyperQueue: batches of four tasks that do nothing, on two workers of two processors each.

A task is a process that ends at once, because HyperQueue runs nothing smaller. In `chain` the tasks of a batch follow each
other, the later ones with the higher priority; in `independent` no task waits for another, which is less than the
workload asks for, and there are four times as many, because the client looks once a second whether they are done.
"""

import json
import sys
import tempfile
import time

from hyperqueue import Job, LocalCluster
from hyperqueue.cluster import WorkerConfig

WORKERS = 2
SLOTS = 2
OPS = 4


def job_of(variant: str, batches: int) -> Job:
    job = Job()
    for _ in range(batches):
        before = []
        for op in range(OPS):
            if variant == "chain":
                before = [job.program(["/bin/true"], stdout=None, stderr=None, deps=before, priority=op)]
            else:
                job.program(["/bin/true"], stdout=None, stderr=None)
    return job


def main() -> None:
    variant, batches = sys.argv[1], int(sys.argv[2])
    if variant == "independent":
        batches *= 4
    with tempfile.TemporaryDirectory() as folder, LocalCluster(folder) as cluster:
        for _ in range(WORKERS):
            cluster.start_worker(WorkerConfig(cores=SLOTS))
        client = cluster.client()
        client.wait_for_jobs([client.submit(job_of("independent", 10))])
        job = job_of(variant, batches)
        began = time.monotonic()
        client.wait_for_jobs([client.submit(job)])
        seconds = time.monotonic() - began
    figure = {
        "peer": "hyperqueue",
        "workload": "W1",
        "variant": variant,
        "n": batches,
        "wall_s": round(seconds, 4),
        "tasks_per_s": round(batches * OPS / seconds, 1),
    }
    print(json.dumps(figure), flush=True)


if __name__ == "__main__":
    main()
