"""The cluster of docker-compose.yml, in a folder of the test's own that is laid out like the repository."""

import json
import shutil
import socket
from pathlib import Path

from shell import CommandFailed, require, run, wait_for, works

PROJECT = "plumbtest"
ENDED = {"RUN_STATE_SUCCEEDED", "RUN_STATE_COMPLETED_WITH_FAILURES", "RUN_STATE_FAILED", "RUN_STATE_CANCELLED"}


class Cluster:
    """Compose commands, containers, and runs through grpcurl."""

    def __init__(self, repository, folder, tools, image):
        self.site = Path(folder) / "site"
        self.site.mkdir()
        for name in ("docker-compose.yml", "docker", "data"):
            copy = shutil.copytree if (repository / name).is_dir() else shutil.copy
            copy(repository / name, self.site / name)
        self.grpc_port, self.web_port = free_port(), free_port()
        self.environment = {
            **tools.environment,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "PLUMB_IMAGE": image,
            "PLUMB_GRPC_PORT": str(self.grpc_port),
            "PLUMB_WEB_PORT": str(self.web_port),
        }
        run("docker/prepare.sh", cwd=self.site)

    # Compose and containers.

    def run(self, *command, timeout=180, **options):
        return run(*command, timeout=timeout, cwd=self.site, env=self.environment, **options)

    def compose(self, *words, timeout=180):
        return self.run("docker", "compose", *words, timeout=timeout)

    def scale(self, workers):
        """Brings the cluster up, or up or down to so many workers, and waits until all of them are healthy."""
        self.compose("up", "-d", "--no-build", "--scale", f"worker={workers}")
        wait_for(f"{workers} healthy workers", lambda: len(self.healthy_workers()) == workers, 60)
        return self.containers("worker")

    def down(self, *words):
        self.compose("--profile", "demo", "down", *words)

    def containers(self, service):
        """Returns the ids of a service's running containers."""
        filters = [f"label=com.docker.compose.project={PROJECT}", f"label=com.docker.compose.service={service}"]
        return self.run("docker", "ps", "-q", *(f"--filter={wanted}" for wanted in filters)).split()

    def inspect(self, *containers):
        # A container that is removed meanwhile is no error.
        return json.loads(self.run("docker", "inspect", *containers, check=False)) if containers else []

    def healthy_workers(self):
        details = self.inspect(*self.containers("worker"))
        return [one["Id"] for one in details if one["State"].get("Health", {}).get("Status") == "healthy"]

    def logs_of(self, container):
        return self.run("docker", "logs", container, merge=True)

    def spilled_bytes(self, container):
        """Returns how many bytes of outputs a worker has spilled, to files that have no name any more."""
        look = 'for file in /proc/1/fd/*; do case $(readlink $file) in /var/spool/plumb/*) stat -Lc %s $file;; esac; done'
        return sum(int(size) for size in self.run("docker", "exec", container, "sh", "-c", look, check=False).split())

    def kill_process(self, service):
        """Kills the program of a service's container from outside: the engine sees it crash, and starts it again."""
        [details] = self.inspect(*self.containers(service))
        run("kill", "-KILL", details["State"]["Pid"])

    def logs(self):
        return self.run("docker", "compose", "logs", "--no-color", "--tail", "40", check=False)

    # Runs.

    def answers(self, generation=1):
        """Tells whether the coordinator answers, and was started so often on its state."""
        try:
            [health] = self.grpcurl("grpc.health.v1.Health/Check")
        except CommandFailed:
            return False
        starts = "".join(map(self.logs_of, self.containers("coordinator"))).count("coordinator serves")
        return health["status"] == "SERVING" and starts >= generation

    def grpcurl(self, method, request=None, timeout=60):
        """Calls a method from outside the containers and returns the messages of the answer."""
        command = ["grpcurl", "-plaintext", "-d", "@", f"127.0.0.1:{self.grpc_port}", method]
        answer = self.run(*command, stdin=json.dumps(request or {}), timeout=timeout)
        return list(json_values(answer))

    def submit(self, job):
        [answer] = self.grpcurl("plumbline.v1.JobService/SubmitJob", {"job": job})
        return answer["runId"]

    def get(self, run_id):
        [answer] = self.grpcurl("plumbline.v1.JobService/GetRun", {"run_id": run_id})
        return answer["run"]

    def committed(self, run_id):
        """Returns how many batches of a run are committed."""
        return int(self.get(run_id).get("batches", {}).get("committed", 0))

    def finish(self, run_id, timeout):
        """Waits for the end of a run, which must be a success, and returns the run."""

        def ended():
            found = self.get(run_id)
            return found if found["state"] in ENDED else None

        ended_run = wait_for(f"the end of {run_id}", ended, timeout)
        require(ended_run["state"] == "RUN_STATE_SUCCEEDED", f"{run_id} ended as {ended_run}")
        return ended_run

    def workers(self):
        """Returns the workers that the coordinator knows, by name."""
        [answer] = self.grpcurl("plumbline.v1.JobService/ListWorkers")
        return {worker["name"]: worker for worker in answer.get("workers", [])}

    def timeline(self, run_id):
        """Returns every attempt of a run, merged from the clocks of the workers."""
        [coordinator] = self.containers("coordinator")
        lines = self.run("docker", "exec", coordinator, "plumb", "timeline", run_id, "--json")
        return [json.loads(line) for line in lines.splitlines()]

    def close(self):
        """Removes what is left of the cluster, whatever happened to it."""
        try:
            self.down("-v", "--remove-orphans", "-t", "5")
        except CommandFailed as failed:
            print(f"the cluster could not be removed: {failed}")
            works("docker", "rm", "-f", *self.containers("worker"), *self.containers("coordinator"))


def json_values(text):
    """Yields the JSON values that stand one after another in a text, as grpcurl prints a stream."""
    decoder = json.JSONDecoder()
    at = 0
    while text[at:].strip():
        at += len(text[at:]) - len(text[at:].lstrip())
        value, at = decoder.raw_decode(text, at)
        yield value


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
