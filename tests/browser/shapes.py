"""The three sample jobs: their shapes in the timeline's numbers, and the same under the pointer on the page."""

from browser import Browser, is_drawn
from cluster import Cluster, until

# The chart's measures: where plots begin, how high the axis is, how high a row and the chart may be.
GUTTER, AXIS, ROW, LEAST, MOST = 88, 26, 22, 88, 352
EXTRACT, TRANSFORM_1, TRANSFORM_2, LOAD = range(4)


class Bars:
    """All tasks of a run that worked on a batch."""

    def __init__(self, cluster: Cluster, run: str):
        self.run = cluster.get(f"/api/runs/{run}")
        self.chart = cluster.get(f"/api/runs/{run}/chart")
        found = cluster.get(f"/api/runs/{run}/bars?by=batch")
        fields = ("batch", "rows", "op", "start_us", "end_us")
        self.all = [dict(zip(fields, values)) for values in zip(*(found[name] for name in fields))]
        self.all = [bar for bar in self.all if bar["batch"] is not None]

    def of(self, op: int) -> list[dict]:
        return [bar for bar in self.all if bar["op"] == op]


def first(bars: list[dict]) -> int:
    return min(bar["start_us"] for bar in bars)


def last(bars: list[dict], which: str = "start_us") -> int:
    return max(bar[which] for bar in bars)


def the_charts_of_the_sample_jobs_have_their_three_shapes(browser: Browser, cluster: Cluster):
    static, dynamic, prio = (Bars(cluster, run) for run in ("r1", "r2", "r3"))
    assert static.run["batches"]["in_flight_peak"] == 1
    for op in (TRANSFORM_1, TRANSFORM_2, LOAD):
        assert first(static.of(op)) >= last(static.of(op - 1), "end_us"), "static: op after op"
    assert dynamic.run["batches"]["in_flight_peak"] == 9, "breadth first: everything is in flight"
    assert first(dynamic.of(TRANSFORM_2)) >= last(dynamic.of(TRANSFORM_1)), "breadth first: an earlier op of any batch goes first"
    assert prio.run["batches"]["in_flight_peak"] <= 5, "depth first: as many in flight as the bound allows"
    assert first(prio.of(LOAD)) < last(prio.of(EXTRACT)), "depth first: batches are loaded before others are begun"
    for run in (static, dynamic, prio):
        under_the_pointer(browser, cluster, run)


def under_the_pointer(browser: Browser, cluster: Cluster, bars: Bars):
    """Points at every task that is wide enough, where the numbers say that it is: the page says the same of it."""
    with browser.page() as page:
        page.goto(f"{cluster.url}/runs/{bars.run['id']}")
        until(lambda: is_drawn(page), "the chart")
        until(lambda: "exact" in page.locator("#chart .scale").text_content(), "the bars")
        box = page.locator("#chart canvas").first.bounding_box()
        end = bars.chart["end_us"] * 1.01
        rows = max(bars.chart["batch_rows"], LEAST / ROW)
        height = min(MOST, max(LEAST, rows * ROW))
        seen = 0
        for bar in bars.all:
            if (bar["end_us"] - bar["start_us"]) / end * (box["width"] - GUTTER) < 12:
                continue
            middle = (bar["start_us"] + bar["end_us"]) / 2
            x = GUTTER + middle / end * (box["width"] - GUTTER)
            y = AXIS + (bar["rows"] + 0.5) * height / rows
            page.mouse.move(box["x"] + x, box["y"] + y)
            name = f"{bars.run['ops'][bar['op']]['name']}[{bar['batch']}]#"
            until(lambda: page.locator("#chart .tip").text_content().startswith(name), f"{name} under the pointer", 5)
            seen += 1
        assert seen >= 2, "at least two tasks are wide enough to be pointed at"
        legend = page.locator("#chart .legend")
        assert "waiting" in legend.text_content()
        page.get_by_role("button", name="By slot").click()
        assert "waiting" not in legend.text_content(), "by slot nothing waits"
