"""The commands of the README's cluster section, run as a reader would type them."""

import re

from shell import require

SECTION = "## A cluster with Docker Compose"


def commands(readme):
    """Returns the shell lines of the section, in order; a line that ends with a backslash goes on in the next."""
    text = readme.read_text()
    require(SECTION in text, f"README.md has no section {SECTION!r}")
    section = text.split(SECTION, 1)[1].split("\n## ", 1)[0]
    blocks = re.findall(r"```sh\n(.*?)```", section, flags=re.DOTALL)
    require(blocks, f"{SECTION!r} has no shell commands")
    return "\n".join(blocks)


def the_readme_is_right(cluster, readme):
    """Runs the section from top to bottom in one shell; the first command that fails ends it."""
    # The test does not take ports that something else may use, and brings its image along.
    script = commands(readme).replace("127.0.0.1:50051", f"127.0.0.1:{cluster.grpc_port}")
    cluster.run("bash", "-euxo", "pipefail", "-c", script, timeout=240)
    return f"{len([line for line in script.splitlines() if line.strip()])} lines"
