"""The images: the two base images, or stand-ins where no image registry is reached, and the program's own.

A stand-in has a name of its own, so that it is never taken for the real image later.
"""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from engine import NoEngine, apt_install
from shell import CommandFailed, require, run, works

RUNTIME = "debian:bookworm-slim"
RUST = "rust:1-bookworm"
STAND_IN = "plumbline-stand-in"
PATH = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")
# What the program may add to the base image.
MAX_ADDED_BYTES = 60_000_000


def is_here(image):
    return works("docker", "image", "inspect", image)


def runtime_image():
    """Returns the image that the program runs on: the real one, or Debian's packages put together here."""
    stand_in = f"{STAND_IN}:debian"
    if is_here(RUNTIME) or (not is_here(stand_in) and works("docker", "pull", "-q", RUNTIME, timeout=180)):
        return RUNTIME
    if not is_here(stand_in):
        make_debian(stand_in)
    return stand_in


def make_debian(name):
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngine(f"{RUNTIME} cannot be pulled, and only root on Debian can make a stand-in")
    if not shutil.which("debootstrap") and not apt_install("debootstrap"):
        raise NoEngine(f"{RUNTIME} cannot be pulled, and debootstrap cannot be installed")
    with tempfile.TemporaryDirectory(prefix="plumb-debian-") as root:
        try:
            run("debootstrap", "--variant=minbase", "bookworm", root, timeout=300)
        except CommandFailed as failed:
            raise NoEngine(f"{RUNTIME} cannot be pulled, and no stand-in can be made: {failed}") from failed
        import_tree(root, name, "./var/cache/apt/archives/*.deb", "./var/lib/apt/lists/*", "./usr/share/doc/*")


def rust_image():
    """Returns the image that compiles: the real one, or the runtime's with a C compiler and the local toolchain."""
    stand_in = f"{STAND_IN}:rust"
    if is_here(RUST) or (not is_here(stand_in) and works("docker", "pull", "-q", RUST, timeout=600)):
        return RUST
    if not is_here(stand_in):
        make_rust(stand_in, runtime_image())
    return stand_in


def make_rust(name, base):
    box = "plumbline-stand-in-rust"
    works("docker", "rm", "-f", box)
    toolchain = Path(run("rustc", "--print", "sysroot").strip())
    install = (
        "apt-get update -qq && apt-get install -y -qq --no-install-recommends gcc libc6-dev make ca-certificates"
        " && rm -rf /var/lib/apt/lists/*; update-ca-certificates"
    )
    run("docker", "create", "--name", box, "-e", "DEBIAN_FRONTEND=noninteractive", base, "sh", "-ec", install)
    try:
        # Where the network has certificate authorities of its own, cargo needs them too.
        authorities = Path("/usr/local/share/ca-certificates")
        if authorities.is_dir():
            run("docker", "cp", f"{authorities}/.", f"{box}:{authorities}")
        for part in ("bin", "lib"):
            run("docker", "cp", toolchain / part, f"{box}:/usr/local/", timeout=300)
        run("docker", "start", "-a", box, timeout=300)
        run("docker", "commit", "-c", "ENV CARGO_HOME=/usr/local/cargo", "-c", 'CMD ["bash"]', box, name, timeout=300)
    finally:
        works("docker", "rm", "-f", box)


def import_tree(root, name, *excluded):
    """Makes an image of a folder."""
    pack = ["tar", "-C", root, *(f"--exclude={pattern}" for pattern in excluded), "-c", "."]
    with subprocess.Popen(pack, stdout=subprocess.PIPE) as tar:
        subprocess.run(
            ["docker", "import", "-c", 'CMD ["bash"]', "-c", PATH, "-", name],
            stdin=tar.stdout, check=True, stdout=subprocess.DEVNULL, timeout=300,
        )


class Builder:
    """One of the two programs that build images: `classic`, or `BuildKit`, which not every client speaks to."""

    def __init__(self, name, docker, buildkit):
        self.name = name
        self.docker = docker
        self.environment = {**os.environ, "DOCKER_BUILDKIT": buildkit}

    def works(self):
        command = [self.docker, "build", "-q", "-"]
        return works(*command, stdin="FROM scratch\nLABEL builds=yes\n", env=self.environment)

    def build(self, repository, name, binary):
        """Builds the program's image, which compiles it or copies a binary; returns what it adds to the base image."""
        runtime = runtime_image()
        options = ["--build-arg", f"RUNTIME_IMAGE={runtime}"]
        if binary is None:
            options += ["--build-arg", f"RUST_IMAGE={rust_image()}"]
            # Docker knows these arguments; a network that wants a proxy has them in the environment.
            proxies = [variable for variable in PROXIES if variable in os.environ]
            options += [word for variable in proxies for word in ("--build-arg", variable)]
        else:
            pack(repository, binary)
            options += ["--build-arg", "BINARY=dist/plumb"]
        run(self.docker, "build", "-t", name, *options, repository, timeout=3600, env=self.environment)
        added = size(name) - size(runtime)
        require(added < MAX_ADDED_BYTES, f"the image adds {added / 1e6:.0f} MB to {runtime}")
        return added


def builders():
    """Returns the builders that there are, by name. A client without BuildKit may hide one that has it."""
    folders = os.environ["PATH"].split(os.pathsep)
    clients = dict.fromkeys(path for folder in folders if (path := shutil.which("docker", path=folder)))
    found = {"classic": Builder("classic", "docker", "0")}
    for client in clients:
        buildkit = Builder("BuildKit", client, "1")
        if buildkit.works():
            found["BuildKit"] = buildkit
            break
    return found


def pack(repository, binary):
    """Puts a binary where a build that brings its own finds it, without what only a debugger wants."""
    packaged = repository / "dist" / "plumb"
    packaged.parent.mkdir(exist_ok=True)
    if not works("strip", "--strip-debug", "-o", packaged, binary):
        shutil.copy(binary, packaged)


def unpack(image, path, target):
    """Takes a file or the content of a folder out of an image."""
    box = run("docker", "create", image).strip()
    try:
        run("docker", "cp", f"{box}:{path}", target)
    finally:
        works("docker", "rm", box)


def unpack_context(repository, folder):
    """Puts what a build of the image gets to see of the repository into a folder, and nothing else."""
    name = f"{STAND_IN}:context"
    seen = 'FROM scratch\nCOPY . /context\nCMD ["none"]\n'
    run("docker", "build", "-q", "-t", name, "-f", "-", repository, stdin=seen, env={**os.environ, "DOCKER_BUILDKIT": "0"})
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    unpack(name, "/context/.", folder)
    works("docker", "rmi", name)


def size(image):
    return int(run("docker", "image", "inspect", "--format", "{{.Size}}", image))
