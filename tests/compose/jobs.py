"""The job of the checks: many small batches that only wait, and what must come of them."""

import csv

from shell import require

BATCHES = 500
ROWS_PER_BATCH = 20
ROWS = BATCHES * ROWS_PER_BATCH
INPUT = "many.csv"
# Larger than the memory of the workers that it is for.
WIDE = "wide.csv"
WIDE_ROWS = 360_000


def write_input(site):
    with open(site / "data" / INPUT, "w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["id", "name"])
        rows.writerows([number, f"row {number}"] for number in range(ROWS))


def many_batches(output, seconds, cap, **second_op):
    """A job of 500 batches and two ops that take so many seconds each; the seed is fixed, so that runs can be compared."""
    delay = {"per_batch": f"{seconds}s"}
    return {
        "name": "many_batches",
        "seed": "7",
        "source": {"uris": [f"data/{INPUT}"], "csv": {}},
        "batch": {"rows": ROWS_PER_BATCH},
        "schedule": {"max_concurrent": cap},
        "ops": [
            {"name": "first", "select": {"columns": ["id", "name"]}, "delay": delay},
            {"name": "second", "add": {"columns": {"uid": {"uuid": {}}}}, "delay": delay, **second_op},
            {"name": "load", "write": {"csv": {"uri": output, "single_file": True}}},
        ],
    }


def write_wide(site):
    """Writes a table whose rows have a kilobyte each."""
    line = "x" * 1000
    with open(site / "data" / WIDE, "w") as file:
        file.write("id,text\n")
        for start in range(0, WIDE_ROWS, 1000):
            file.write("".join(f"{start + number:08},{line}\n" for number in range(1000)))


def wide_batches(output):
    """A job that begins all its batches, which wait in front of an op that takes one at a time."""
    return {
        "name": "wide_batches",
        "source": {"uris": [f"data/{WIDE}"], "csv": {}},
        "batch": {"bytes": str(8 << 20)},
        "schedule": {"max_concurrent": 2, "max_in_flight": 100, "max_in_flight_bytes": str(4 << 30)},
        "ops": [
            {"name": "first", "select": {"columns": ["id", "text"]}},
            {"name": "slow", "noop": {}, "max_concurrent": 1, "priority": -1, "delay": {"per_batch": "0.2s"}},
            {"name": "load", "write": {"csv": {"uri": output}}},
        ],
    }


def read_output(site, output):
    """Reads the result of `many_batches`: every row of the input, once, in its order, with ids that are unique."""
    with open(site / "output" / output, newline="") as file:
        header, *rows = csv.reader(file)
    require(header == ["id", "name", "uid"], f"{output} begins with {header}")
    numbers = [int(row[0]) for row in rows]
    require(numbers == list(range(ROWS)), f"{output} is not the {ROWS} rows of the input in order: {len(numbers)} rows")
    require(len({row[2] for row in rows}) == ROWS, f"{output} has an id twice")
    return rows


def most_at_once(timeline):
    """Returns the most attempts that ran at one time."""
    changes = []
    for attempt in timeline:
        if attempt["started"] is not None and attempt["finished"] is not None:
            changes += [(attempt["started"], 1), (attempt["finished"], -1)]
    running = most = 0
    # Where one ends when another starts, the end comes first.
    for _, change in sorted(changes):
        running += change
        most = max(most, running)
    return most
