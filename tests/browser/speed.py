"""Budgets with a million tasks, in software rendering: first chart, panning and zooming, what is said and seen."""

import json
import os
import time

from browser import Browser, becomes, is_drawn
from cluster import Cluster, job, until
from fixture import Fixtures, fixtures

# A budget is met if one of a few tries meets it: the machine may be busy with something else, never with nothing.
TRIES = 5
# Budgets are of a machine that has nothing else to do; one that is busy is given as much longer as it is overbooked.
FIRST_CHART_MS = 300
LONG_TASK_MS = 50
HEAP_BYTES_A_MINUTE = 20_000_000
SETTLED_MS, WATCHED_MS, MINUTE_MS = 4_000, 20_000, 60_000
LIVE_SECONDS = 600


def patience() -> float:
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def the_chart_of_a_million_tasks_is_shown_in_time(browser: Browser, _: Cluster):
    took = []
    for _try in range(TRIES):
        with browser.page() as page:
            page.goto(f"{fixtures().url}/runs/r1")
            becomes(page, "performance.getEntriesByName('chart-shown').length > 0")
            assert is_drawn(page)
            took.append(page.evaluate("performance.getEntriesByName('chart-shown')[0].startTime"))
        if min(took) <= FIRST_CHART_MS:
            break
    print(f"       first chart after {[round(one) for one in took]} ms, patience {patience():.1f}")
    assert min(took) <= FIRST_CHART_MS * patience(), took


def panning_and_zooming_a_million_tasks_never_blocks(browser: Browser, _: Cluster):
    longest = []
    for run, by in (("r1", "batch"), ("r2", "batch"), ("r1", "slot")):
        tries = []
        for _try in range(TRIES):
            tries.append(longest_task(browser, f"/runs/{run}#by={by}"))
            if tries[-1] <= LONG_TASK_MS:
                break
        longest.append(min(tries))
    print(f"       longest task {[round(one) for one in longest]} ms, patience {patience():.1f}")
    assert max(longest) <= LONG_TASK_MS * patience(), longest


def longest_task(browser: Browser, place: str) -> float:
    """Pans and zooms with keys, wheel and pointer, and returns the longest that the page did not answer for."""
    with browser.page() as page:
        page.goto(fixtures().url + place)
        becomes(page, "performance.getEntriesByName('chart-shown').length > 0")
        page.evaluate(
            """() => {
              window.longest = 0;
              new PerformanceObserver((list) => {
                for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration);
              }).observe({ type: "longtask" });
            }"""
        )
        canvas = page.locator("#chart canvas").first
        canvas.focus()
        for key in ["+"] * 8 + ["ArrowRight"] * 8 + ["ArrowLeft"] * 4 + ["-"] * 6 + ["0"]:
            page.keyboard.press(key)
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + 600, box["y"] + 150)
        page.keyboard.down("Control")
        for _ in range(12):
            page.mouse.wheel(0, -120)
        page.keyboard.up("Control")
        page.mouse.down()
        for step in range(20):
            page.mouse.move(box["x"] + 600 - 15 * step, box["y"] + 150)
        page.mouse.up()
        becomes(page, "!document.querySelector('#chart .scale').textContent.includes('…')")
        return page.evaluate("new Promise(done => requestAnimationFrame(() => setTimeout(() => done(window.longest), 100)))")


def the_chart_of_a_million_tasks_says_what_it_shows(browser: Browser, _: Cluster):
    failed = json.loads(fixtures().read("/api/runs/r1/tasks?state=failed&page_size=1"))["tasks"][0]
    middle = (failed["start_us"] + failed["end_us"]) / 2
    with browser.page() as page:
        page.goto(f"{fixtures().url}/runs/r1")
        becomes(page, "/^1,0\\d\\d,\\d{3} tasks, shown as [\\d.]+ .?s columns/.test(document.querySelector('#chart .scale').textContent)")
        label = page.locator("#chart canvas").first.get_attribute("aria-label")
        assert "failed attempts" in label and "250,000 batches" in label, label
        for span in (100_000_000, 10_000_000, 1_000_000, 100_000, 10_000):
            begin = max(0, middle - span / 2)
            page.goto(f"{fixtures().url}/runs/r1#t={round(begin)}-{round(begin + span)}")
            share = (middle - begin) / span
            until(lambda: is_marked(page, share), f"the failure at {failed['start_us']} us in a window of {span} us")


def is_marked(page, share: float) -> bool:
    """Tells whether the line under the axis has the colour of failures at a share of its length."""
    return page.evaluate(
        """share => {
          const canvas = document.querySelector("#chart canvas");
          const ratio = canvas.width / canvas.clientWidth;
          const gutter = 88, rug = 23;
          const x = gutter + share * (canvas.clientWidth - gutter);
          const near = canvas.getContext("2d").getImageData((x - 40) * ratio, rug * ratio, 80 * ratio, 1).data;
          for (let at = 0; at < near.length; at += 4) {
            if (near[at] > 180 && near[at + 1] < 60 && near[at + 2] < 60 && near[at + 3] > 200) return true;
          }
          return false;
        }""",
        share,
    )


def a_page_stays_small_and_quick_at_twenty_thousand_tasks_a_second(browser: Browser, _: Cluster):
    """A minute with a live run of 20,000 tasks a second, drawn as it grows."""
    with Fixtures(1_000, LIVE_SECONDS) as server, browser.page() as page:
        page.goto(f"{server.url}/runs/r1")
        becomes(page, "performance.getEntriesByName('chart-shown').length > 0")
        devtools = page.context.new_cdp_session(page)
        page.wait_for_timeout(SETTLED_MS)
        before, begun, at = heap(devtools), tasks_of(server), time.monotonic()
        ticks = page.evaluate(
            """watched => new Promise(done => {
              window.longest = 0;
              new PerformanceObserver((list) => {
                for (const one of list.getEntries()) window.longest = Math.max(window.longest, one.duration);
              }).observe({ type: "longtask" });
              const source = new EventSource("/api/runs/r1/events");
              let ticks = 0;
              source.addEventListener("tick", () => ticks++);
              setTimeout(() => { source.close(); done(ticks); }, watched);
            })""",
            MINUTE_MS,
        )
        grown, tasks, passed = heap(devtools) - before, tasks_of(server) - begun, time.monotonic() - at
        longest = page.evaluate("window.longest")
        assert is_drawn(page)
    print(f"       {tasks / passed:.0f} tasks a second, {ticks * 1000 / MINUTE_MS:.2f} ticks a second, heap {grown / 1e6:+.1f} MB in "
          f"{passed:.0f} s, longest task {longest:.0f} ms, patience {patience():.1f}")
    assert tasks / passed > 10_000, "the run went on meanwhile"
    assert ticks <= 4 * MINUTE_MS / 1000 + 1, ticks
    assert grown < HEAP_BYTES_A_MINUTE, grown
    assert longest <= LONG_TASK_MS * patience(), longest


def tasks_of(server: Fixtures) -> int:
    return json.loads(server.read("/api/runs/r1/chart"))["tasks"]


def the_heap_stays_small_while_tasks_pour_in(browser: Browser, cluster: Cluster):
    """Follows a run whose batches are single rows: as many tasks a second as the machine does."""
    path = cluster.path / "pours.csv"
    path.write_text("a\n" + "".join(f"{row}\n" for row in range(4_000_000)))
    run = cluster.submit(job("pours", path, rows=1, per_row="0s"))
    with browser.page() as page:
        page.goto(f"{cluster.url}/runs/{run}")
        becomes(page, "performance.getEntriesByName('chart-shown').length > 0")
        devtools = page.context.new_cdp_session(page)
        page.wait_for_timeout(SETTLED_MS)
        before, done_before = heap(devtools), done(cluster, run)
        page.wait_for_timeout(WATCHED_MS)
        grown, tasks = heap(devtools) - before, done(cluster, run) - done_before
        asked = page.evaluate("performance.getEntriesByType('resource').length")
    cluster.post(f"/api/runs/{run}/cancel", {})
    print(f"       {tasks * 1000 / WATCHED_MS:.0f} tasks a second, heap {grown / 1e6:+.1f} MB, {asked} requests")
    assert tasks > 1_000, "the run went on meanwhile"
    assert grown < HEAP_BYTES_A_MINUTE * WATCHED_MS / 60_000, grown


def heap(devtools) -> int:
    devtools.send("HeapProfiler.collectGarbage")
    return devtools.send("Runtime.getHeapUsage")["usedSize"]


def done(cluster: Cluster, run: str) -> int:
    return cluster.get(f"/api/runs/{run}")["tasks"]["succeeded"]
