"""A server of made-up runs of any size, for what wants a million tasks."""

import contextlib
import os
import subprocess
import tempfile
import urllib.request

from cluster import ROOT, free_port, is_ready, until

FIXTURES = os.environ.get("PLUMB_FIXTURES", str(ROOT / "target/release/examples/fixture_server"))


class Fixtures(contextlib.AbstractContextManager):
    """r1 depth first and r2 breadth first of the asked size, with failures; small ones with a lost worker, cancelled, empty;
    or r1 alone, live, for so many seconds with 20,000 tasks in each."""

    def __init__(self, tasks: int, live_seconds: int = 0):
        self.web = free_port()
        self.log = tempfile.TemporaryFile()
        words = [FIXTURES, str(tasks), f"127.0.0.1:{self.web}", os.environ.get("PLUMB_UI_DIR", "-"), str(live_seconds)]
        self.process = subprocess.Popen(words, cwd=ROOT, stdout=self.log, stderr=self.log)
        until(lambda: is_ready(self.url), "the made-up runs", 60)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.web}"

    def read(self, path: str) -> bytes:
        with urllib.request.urlopen(self.url + path, timeout=20) as answer:
            return answer.read()

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait(10)
        self.log.close()


_running: list[Fixtures] = []


def fixtures() -> Fixtures:
    """Returns the server of runs of a million tasks; it is started once."""
    if not _running:
        _running.append(Fixtures(1_000_000))
    return _running[0]


def close():
    while _running:
        _running.pop().__exit__()
