"""Running commands: one way to do it, with a time limit and an error that shows what the command said."""

import subprocess
import time


class CommandFailed(Exception):
    """A command ended with an error, or not in time."""


class CheckFailed(Exception):
    """Something that must hold does not."""


def run(*command, timeout=120, check=True, stdin=None, merge=False, **options):
    """Runs a command and returns its standard output; standard error goes into the error if it fails, or with `merge`
    into what is returned."""
    try:
        done = subprocess.run(
            [str(word) for word in command],
            input=stdin or "", timeout=timeout, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if merge else subprocess.PIPE, **options,
        )
    except subprocess.TimeoutExpired as late:
        raise CommandFailed(f"{shown(command)} took more than {timeout} s\n{late.stdout}\n{late.stderr}") from late
    except OSError as missing:
        raise CommandFailed(f"{shown(command)}: {missing}") from missing
    if check and done.returncode != 0:
        raise CommandFailed(f"{shown(command)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def works(*command, timeout=60, **options):
    """Tells whether a command succeeds."""
    try:
        run(*command, timeout=timeout, **options)
    except CommandFailed:
        return False
    return True


def require(holds, what):
    """Fails the check unless something holds."""
    if not holds:
        raise CheckFailed(what)


def wait_for(what, condition, timeout):
    """Asks until the condition returns something, and returns that; fails after so many seconds."""
    deadline = time.monotonic() + timeout
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise CheckFailed(f"not within {timeout} s: {what}")
        time.sleep(0.1)


def shown(command):
    return " ".join(str(word) for word in command)
