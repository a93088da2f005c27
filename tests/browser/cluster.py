"""A cluster of real processes for the browser tests: a coordinator, two workers, free ports, a folder of its own."""

import contextlib
import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
PLUMB = os.environ.get("PLUMB_BIN", str(ROOT / "target/debug/plumb"))


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(condition, what: str, seconds: float = 30):
    """Waits until a condition holds and returns what it returned."""
    deadline = time.monotonic() + seconds
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds} s in vain for {what}")
        time.sleep(0.05)


def is_ready(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/readyz", timeout=1) as answer:
            return answer.status == 200
    except (OSError, http.client.HTTPException):
        return False


class Cluster(contextlib.AbstractContextManager):
    """Coordinator and workers; what it started ends with it."""

    def __init__(self, workers=("w1", "w2"), slots: int = 2):
        self.folder = tempfile.TemporaryDirectory(prefix="plumbline-browser-")
        self.path = pathlib.Path(self.folder.name)
        self.grpc, self.workers_port, self.web = free_port(), free_port(), free_port()
        self.processes: dict[str, subprocess.Popen] = {}
        self.start_coordinator()
        for name in workers:
            self.start_worker(name, slots)
        until(lambda: self.get("/api/cluster")["workers"] == len(workers), "the workers")

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    def start(self, name: str, *words: str):
        log = open(self.path / f"{name.encode().hex()[:40]}.log", "ab")
        self.processes[name] = subprocess.Popen([PLUMB, *words], cwd=ROOT, stdout=log, stderr=log)

    def start_coordinator(self):
        local = "127.0.0.1"
        self.start(
            "coordinator", "coordinator", "--state", str(self.path / "state"), "--grpc", f"{local}:{self.grpc}",
            "--worker-grpc", f"{local}:{self.workers_port}", "--web", f"{local}:{self.web}", "--lease-time", "2s",
            "--heartbeat-interval", "200ms",
        )
        until(lambda: is_ready(self.url), "the coordinator")

    def start_worker(self, name: str, slots: int):
        address = f"http://127.0.0.1:{self.workers_port}"
        self.start(name, "worker", "--coordinator", address, "--name", name, "--slots", str(slots))

    def kill_coordinator(self):
        self.stop("coordinator", signal.SIGKILL)

    def stop(self, name: str, how=signal.SIGTERM):
        process = self.processes.pop(name)
        process.send_signal(how)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(10)

    def get(self, path: str):
        with urllib.request.urlopen(self.url + path, timeout=10) as answer:
            return json.load(answer)

    def post(self, path: str, body: dict) -> dict:
        request = urllib.request.Request(self.url + path, json.dumps(body).encode(), {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} was refused: {error.read().decode()}") from error

    def submit(self, job: dict) -> str:
        return self.post("/api/runs", {"job": job})["run"]

    def wait_for(self, run: str, seconds: float = 60) -> dict:
        """Waits until a run has ended."""
        return until(lambda: (found := self.get(f"/api/runs/{run}"))["ended_ms"] is not None and found, f"the end of {run}", seconds)

    def __exit__(self, *_):
        for name in reversed(list(self.processes)):
            self.stop(name, signal.SIGKILL)
        self.folder.cleanup()


ATTACK = '<img src=x onerror=alert(1)>"\'<script>alert(2)</script>'


def ragged(cluster: Cluster, name: str = "ragged.csv", rows: int = 60, bad: int = 35, header: str = "a,b") -> pathlib.Path:
    """Writes a CSV with one row that has a field too many, and one that would be markup if nobody escaped it."""
    quoted = '"' + ATTACK.replace('"', '""') + '"'
    lines = [f"{row},{quoted if row == 3 else row}" for row in range(rows)]
    lines[bad] += ",one too many"
    path = cluster.path / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def going_on(cluster: Cluster, name: str = "fails", **more) -> dict:
    """Returns a job that goes on when a batch fails, over a CSV in which one does."""
    return job(name, ragged(cluster, **more), failure={"on_failure": "ON_FAILURE_CONTINUE"})


def sample(name: str) -> dict:
    return json.loads((ROOT / f"data/jobs/{name}.json").read_text())


def job(name: str, path, rows: int = 10, per_row: str = "0.002s", **more) -> dict:
    """Returns a job of one op and a log."""
    spec = {
        "name": name,
        "source": {"uris": [str(path)], "csv": {}},
        "batch": {"rows": rows},
        "schedule": {"order": "ORDER_DEPTH_FIRST", "max_concurrent": 4},
        "ops": [
            {"name": "wait", "noop": {}, "delay": {"per_row": per_row}},
            {"name": "load", "write": {"discard": {}}},
        ],
    }
    return spec | more
