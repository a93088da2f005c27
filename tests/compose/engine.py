"""A Docker engine to test with: the one that is there, or on Debian, for root, one that is installed and started here."""

import os
import shutil
import subprocess
import tempfile
import time

from shell import run, works

START_SECONDS = 60
STOP_SECONDS = 60


class NoEngine(Exception):
    """No engine can be had; the message says why."""


def apt_install(*packages):
    """Installs packages of Debian; tells whether that went well."""
    return works("apt-get", "update", "-qq", timeout=300) and works(
        "apt-get", "install", "-y", "-qq", "--no-install-recommends", *packages,
        timeout=600, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"},
    )


class Engine:
    """An engine that answers; stops what it started."""

    def __init__(self):
        self.daemon = None
        if works("docker", "version"):
            return
        if os.geteuid() != 0:
            raise NoEngine("no Docker engine answers, and only root can start one")
        if not all(shutil.which(program) for program in ("dockerd", "docker-compose", "iptables")):
            self.install()
        self.start()

    def install(self):
        if not shutil.which("apt-get"):
            raise NoEngine("no Docker engine is installed, and this is no Debian to install one on")
        packages = ["docker.io", "docker-compose", "cgroupfs-mount", "iptables"]
        if not apt_install(*packages) or not shutil.which("dockerd"):
            raise NoEngine("no Docker engine is installed, and apt-get cannot install docker.io")

    def start(self):
        if not os.path.ismount("/sys/fs/cgroup"):
            works("cgroupfs-mount")
        log = tempfile.NamedTemporaryFile("w+", prefix="dockerd-", suffix=".log")
        self.daemon = subprocess.Popen(["dockerd"], stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        deadline = time.monotonic() + START_SECONDS
        while not works("docker", "version"):
            if self.daemon.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                last = log.read().strip().splitlines()[-1:] or ["it said nothing"]
                self.stop()
                raise NoEngine(f"dockerd does not start here: {last[0]}")
            time.sleep(0.2)

    def stop(self):
        """Ends the engine if it was started here."""
        if self.daemon is None or self.daemon.poll() is not None:
            return
        self.daemon.terminate()
        try:
            self.daemon.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.daemon.kill()
            self.daemon.wait()

    def version(self):
        return run("docker", "version", "--format", "{{.Server.Version}}").strip()
