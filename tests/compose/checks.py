"""What must hold of the cluster: one function each, in the order in which they run; each gets a cluster that is up."""

import csv
import json
import random
import re
import subprocess
import time
from datetime import datetime, timezone

from jobs import ROWS, WIDE_ROWS, many_batches, most_at_once, read_output, wide_batches, write_wide
from shell import require, run, wait_for

SAMPLE_ROWS = 801
CAP = 15
NETWORK = "plumbtest_private"


def the_containers_are_locked_in(cluster):
    """Nobody is root, nothing can be written outside the volumes, and only two ports are there, for this machine."""
    cluster.scale(4)
    workers = cluster.inspect(*cluster.containers("worker"))
    coordinators = cluster.inspect(*cluster.containers("coordinator"))
    require((len(workers), len(coordinators)) == (4, 1), f"{len(workers)} workers, {len(coordinators)} coordinators")
    for container in workers + coordinators:
        host = container["HostConfig"]
        require(host["ReadonlyRootfs"], "a root file system can be written to")
        require(host["CapDrop"] == ["ALL"] and not host["CapAdd"], "a capability is left")
        require("no-new-privileges:true" in host["SecurityOpt"], "privileges can be gained")
        require(host["Memory"] > 0 and host["PidsLimit"] and host["NanoCpus"] > 0, "a resource has no bound")
        require(re.fullmatch(r"[1-9]\d*:\d+", container["Config"]["User"]), f"runs as {container['Config']['User']}")
    require(not any(worker["HostConfig"]["PortBindings"] for worker in workers), "a worker publishes a port")
    published = coordinators[0]["HostConfig"]["PortBindings"]
    require(sorted(published) == ["3000/tcp", "50051/tcp"], f"published: {published}")
    addresses = {binding["HostIp"] for bindings in published.values() for binding in bindings}
    require(addresses == {"127.0.0.1"}, f"published on {addresses}")


def a_worker_without_the_token_is_turned_away(cluster):
    command = ["docker", "run", "--rm", "--network", NETWORK, cluster.environment["PLUMB_IMAGE"]]
    stranger = [*command, "worker", "--coordinator", "http://coordinator:50052", "--name", "stranger"]
    done = subprocess.run(stranger, capture_output=True, text=True, timeout=30)
    require(done.returncode != 0 and "worker token" in done.stderr, f"a stranger: {done.returncode}, {done.stderr}")
    require("stranger" not in cluster.workers(), "a stranger works here")


def a_stranger_with_grpcurl_runs_the_sample(cluster):
    address = f"127.0.0.1:{cluster.grpc_port}"
    services = cluster.run("grpcurl", "-plaintext", address, "list")
    require("plumbline.v1.JobService" in services, f"reflection lists {services}")
    require("WorkerService" not in services.split(), "WorkerService is published")
    described = cluster.run("grpcurl", "-plaintext", address, "describe", "plumbline.v1.JobService")
    require("rpc SubmitJob" in described, f"reflection describes {described}")
    [health] = cluster.grpcurl("grpc.health.v1.Health/Check")
    require(health["status"] == "SERVING", f"health: {health}")

    job = json.loads((cluster.site / "data/jobs/prio_dynamic_job.json").read_text())
    job["ops"][-1]["write"] = {"csv": {"uri": "sample/"}}
    run_id = cluster.submit(job)
    updates = cluster.grpcurl("plumbline.v1.JobService/WatchRun", {"run_id": run_id}, timeout=90)
    require("snapshot" in updates[0] and "ended" in updates[-1], f"WatchRun sends {updates[:1]} ... {updates[-1:]}")
    require(updates[-1]["ended"]["state"] == "RUN_STATE_SUCCEEDED", f"the sample ended as {updates[-1]}")
    rows = 0
    for part in (cluster.site / "output" / "sample").glob("*.csv"):
        with open(part, newline="") as file:
            rows += sum(1 for _ in csv.DictReader(file))
    require(rows == SAMPLE_ROWS, f"{rows} rows in ./output/sample instead of {SAMPLE_ROWS}")
    return f"{SAMPLE_ROWS} rows in {updates[-1]['ended']['wallSeconds']:.1f} s"


def scaling_while_a_run_goes_on_neither_breaks_it_nor_its_cap(cluster):
    cluster.scale(4)
    run_id = cluster.submit(many_batches("scaled.csv", 0.25, CAP))
    wait_for("a first batch", lambda: cluster.committed(run_id) > 0, 30)
    cluster.scale(1)
    before = set(cluster.containers("worker"))
    began = time.time()
    new = set(cluster.scale(8)) - before
    healthy = healthy_since(began)
    accepted = parse_time(cluster.get(run_id)["acceptedTime"])
    time.sleep(1.5)
    state = cluster.get(run_id)["state"]
    require(state == "RUN_STATE_RUNNING", f"the run is {state} before it was scaled down: give it more batches")
    cluster.scale(2)
    cluster.finish(run_id, 120)
    read_output(cluster.site, "scaled.csv")
    timeline = cluster.timeline(run_id)
    waits = []
    for container in new:
        starts = [accepted + attempt["started"] for attempt in timeline if is_of(attempt["worker"], container)]
        require(starts, f"worker {container} never got a lease")
        waits.append(min(starts) - healthy[container])
    require(max(waits) <= 1, f"a new worker waited {max(waits):.2f} s for its first lease")
    most = most_at_once(timeline)
    require(most <= CAP, f"{most} tasks ran at once, with a cap of {CAP}")
    # A worker that drains loses nothing: no attempt was the second one of its task.
    repeated = [attempt for attempt in timeline if attempt["state"] == "lost" or attempt["attempt"] > 1]
    require(not repeated, f"draining lost work: {repeated[:3]}")
    return f"first leases at most {max(waits):.2f} s after health, {most} of {CAP} tasks at once"


def five_of_eight_workers_are_killed_and_the_output_is_the_same(cluster):
    cluster.scale(8)
    expected = undisturbed(cluster)
    run_id = cluster.submit(many_batches("killed.csv", 0.1, CAP))
    wait_for("a tenth of the run", lambda: cluster.committed(run_id) >= 50, 60)
    victims = random.sample(cluster.containers("worker"), 5)
    run("docker", "kill", *victims)
    require(cluster.get(run_id)["state"] == "RUN_STATE_RUNNING", "the run was over before the workers were killed")
    killed = cluster.finish(run_id, 120)
    require(read_output(cluster.site, "killed.csv") == expected, "the output differs from the undisturbed run's")
    most = most_at_once(cluster.timeline(run_id))
    require(most <= CAP, f"{most} tasks ran at once, with a cap of {CAP}")
    return f"{killed['wallSeconds']:.1f} s with three workers left"


def a_worker_cut_off_for_twenty_seconds_comes_back_by_itself(cluster):
    cluster.scale(4)
    run_id = cluster.submit(many_batches("cut_off.csv", 0.45, CAP))
    wait_for("a first batch", lambda: cluster.committed(run_id) > 0, 30)
    victim = cluster.containers("worker")[0]
    run("docker", "network", "disconnect", "-f", NETWORK, victim)
    cut_at = time.time()
    committed = cluster.committed(run_id)
    time.sleep(20)
    require(cluster.committed(run_id) > committed + 50, "the run did not go on while a worker was cut off")
    run("docker", "network", "connect", NETWORK, victim)
    back_at = time.time()
    wait_for("the worker is healthy again", lambda: len(cluster.healthy_workers()) == 4, 30)
    rejoined = time.time() - back_at
    cluster.finish(run_id, 120)
    read_output(cluster.site, "cut_off.csv")
    timeline = cluster.timeline(run_id)
    accepted = parse_time(cluster.get(run_id)["acceptedTime"])
    own = [attempt for attempt in timeline if is_of(attempt["worker"], victim)]
    require(any(accepted + attempt["started"] > back_at for attempt in own), "the worker got no lease after it came back")
    cut = {(attempt["op"], attempt["batch"]) for attempt in own if attempt["state"] != "succeeded"}
    redone = {
        (attempt["op"], attempt["batch"]) for attempt in timeline
        if attempt["state"] == "succeeded" and not is_of(attempt["worker"], victim)
        and cut_at < accepted + attempt["finished"] < back_at
    }
    require(cut and cut <= redone, f"not taken over while the worker was away: {cut - redone or 'it held nothing'}")
    most = most_at_once(timeline)
    require(most <= CAP, f"{most} tasks ran at once, with a cap of {CAP}")
    return f"back {rejoined:.1f} s after the network was"


def a_coordinator_that_is_stopped_and_started_again_goes_on_by_itself(cluster):
    """Stopped with SIGTERM in the middle of two runs, and once more killed, which the engine's restart policy mends."""
    cluster.scale(4)
    expected = undisturbed(cluster)
    sample = json.loads((cluster.site / "data/jobs/prio_dynamic_job.json").read_text())
    sample["ops"][-1]["write"] = {"csv": {"uri": "stopped_sample.csv", "single_file": True}}
    sample["batch"] = {"rows": 20}
    run_id, sample_id = cluster.submit(many_batches("stopped.csv", 0.1, CAP)), cluster.submit(sample)
    wait_for("both runs are under way", lambda: all(cluster.committed(one) > 0 for one in (run_id, sample_id)), 60)
    began = time.time()
    cluster.compose("stop", "coordinator")
    stopped = time.time() - began
    require(list(exit_codes(began).values()) == [0], f"the coordinator ended with {exit_codes(began)}")
    cluster.compose("start", "coordinator")
    wait_for("the coordinator answers", cluster.answers, 30)
    before = cluster.committed(run_id)
    require(0 < before < 500, f"the run was not in its middle: {before} of 500")
    wait_for("the run goes on", lambda: cluster.committed(run_id) > before, 30)
    went_on = time.time() - began - stopped

    cluster.kill_process("coordinator")
    wait_for("the coordinator is started again", lambda: cluster.answers(generation=3), 30)
    for one in (run_id, sample_id):
        cluster.finish(one, 120)
    require(read_output(cluster.site, "stopped.csv") == expected, "the output differs from the undisturbed run's")
    with open(cluster.site / "output" / "stopped_sample.csv", newline="") as file:
        names = [row["name"] for row in csv.DictReader(file)]
    require(len(names) == SAMPLE_ROWS, f"{len(names)} rows of the sample instead of {SAMPLE_ROWS}")
    wait_for("all workers are back", lambda: len(cluster.healthy_workers()) == 4, 30)
    return f"stopped in {stopped:.1f} s, batches committed again {went_on:.1f} s later"


def parked_outputs_follow_the_memory_limit(cluster):
    """A worker that may use little memory spills what waits, and is never killed for want of memory."""
    write_wide(cluster.site)
    cluster.environment.update(WORKER_MEMORY="256m", WORKER_SLOTS="2")
    try:
        [worker] = cluster.scale(1)
        log = cluster.logs_of(worker)
        require("parking_memory=64.0 MiB" in log, f"it keeps another share: {log}")
        run_id = cluster.submit(wide_batches("wide.csv"))
        wait_for("more waits than fits into memory", lambda: cluster.spilled_bytes(worker) > 256 << 20, 60)
        ended = cluster.finish(run_id, 120)
        [details] = cluster.inspect(worker)
        require(not details["State"]["OOMKilled"] and details["RestartCount"] == 0, "the worker ran out of memory")
        require(int(ended["rows"]["loaded"]) == WIDE_ROWS, f"rows are missing: {ended['rows']}")
    finally:
        for name in ("WORKER_MEMORY", "WORKER_SLOTS"):
            cluster.environment.pop(name, None)


def a_cut_chain_goes_on_in_another_container(cluster):
    """An op with a limit of its own cuts the chain; when the holder of the output leaves, the other worker fetches it."""
    cluster.scale(2)
    run_id = cluster.submit(many_batches("moved.csv", 0.05, 4, max_concurrent=1))
    wait_for("a tenth of the run", lambda: cluster.committed(run_id) >= 50, 60)
    cluster.scale(1)
    cluster.finish(run_id, 120)
    read_output(cluster.site, "moved.csv")
    timeline = cluster.timeline(run_id)
    require(all(attempt["attempt"] == 1 and attempt["state"] == "succeeded" for attempt in timeline), "a task ran twice")
    where = {(attempt["op"], attempt["batch"]): attempt["worker"] for attempt in timeline}
    batches = {attempt["batch"] for attempt in timeline if attempt["batch"] is not None}
    moved = sum(where["first", batch] != where["second", batch] for batch in batches)
    require(moved > 0, "every batch stayed with its worker")
    return f"{moved} of {len(batches)} batches moved"


def the_cluster_goes_down_cleanly(cluster):
    """Also while a run goes on: the workers hand over or give up what they hold, and say goodbye."""
    cluster.scale(4)
    cluster.submit(many_batches("never.csv", 0.25, CAP))
    began = time.time()
    cluster.down()
    seconds = time.time() - began
    require(not cluster.containers("worker") and not cluster.containers("coordinator"), "a container is left")
    codes = exit_codes(began)
    require(len(codes) == 5 and set(codes.values()) == {0}, f"exit codes: {codes}")
    require(seconds < 45, f"down took {seconds:.0f} s")
    return f"{seconds:.1f} s"


def undisturbed(cluster):
    """Returns the output of `many_batches` that nothing disturbs."""
    if not (cluster.site / "output" / "undisturbed.csv").exists():
        cluster.finish(cluster.submit(many_batches("undisturbed.csv", 0.1, CAP)), 90)
    return read_output(cluster.site, "undisturbed.csv")


def exit_codes(since):
    """Returns how the containers ended since then, by name."""
    attributes = [event["Actor"]["Attributes"] for event in events(since, "die")]
    return {
        one["name"]: int(one["exitCode"]) for one in attributes if one.get("com.docker.compose.project") == "plumbtest"
    }


def is_of(worker, container):
    """Tells whether a worker is the one of a container: by default it is named after it."""
    return worker.startswith(container[:12])


def healthy_since(began):
    """Returns when each container first became healthy since then, by id."""
    first = {}
    for event in events(began, "health_status"):
        if event["Action"].endswith(": healthy"):
            first.setdefault(event["Actor"]["ID"][:12], event["timeNano"] / 1e9)
    return first


def events(since, kind):
    command = ["docker", "events", "--since", f"{since:.3f}", "--until", f"{time.time():.3f}", "--filter", f"event={kind}"]
    return [json.loads(line) for line in run(*command, "--format", "{{json .}}").splitlines()]


def parse_time(text):
    """Reads RFC 3339 with up to nine digits, UTC or with an offset, as seconds since 1970."""
    whole, fraction, zone = re.fullmatch(r"([^.Z+]+?)(\.\d+)?(Z|[+-]\d\d:\d\d)", text).groups()
    moment = datetime.fromisoformat(whole + zone.replace("Z", "+00:00")).astimezone(timezone.utc)
    return moment.timestamp() + float(fraction or 0)


CHECKS = [
    the_containers_are_locked_in,
    a_worker_without_the_token_is_turned_away,
    a_stranger_with_grpcurl_runs_the_sample,
    scaling_while_a_run_goes_on_neither_breaks_it_nor_its_cap,
    five_of_eight_workers_are_killed_and_the_output_is_the_same,
    a_worker_cut_off_for_twenty_seconds_comes_back_by_itself,
    a_coordinator_that_is_stopped_and_started_again_goes_on_by_itself,
    a_cut_chain_goes_on_in_another_container,
    parked_outputs_follow_the_memory_limit,
    the_cluster_goes_down_cleanly,
]
