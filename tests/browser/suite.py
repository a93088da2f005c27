"""What the pages promise, checked on real processes in a real browser. Run by run.sh; names of tests are promises."""

import json
import os
import pathlib
import re
import sys
import time
import traceback

from browser import THEMES, WIDTHS, Browser, Line, axe_violations, is_drawn
from cluster import Cluster, job, sample, until

HERE = pathlib.Path(__file__).parent
SAMPLES = ("static_job", "dynamic_job", "prio_dynamic_job")
ATTACK = '<img src=x onerror=alert(1)>"\'<script>alert(2)</script>'


def ragged(cluster: Cluster, name: str = "ragged.csv", rows: int = 60, bad: int = 35, header: str = "a,b") -> pathlib.Path:
    """Writes a CSV with one row that has a field too many."""
    quoted = '"' + ATTACK.replace('"', '""') + '"'
    lines = [f"{row},{quoted if row == 3 else row}" for row in range(rows)]
    lines[bad] += ",one too many"
    path = cluster.path / name
    path.write_text("\n".join([header, *lines]) + "\n")
    return path


def going_on(cluster: Cluster, name: str = "fails", **more) -> dict:
    return job(name, ragged(cluster, **more), failure={"on_failure": "ON_FAILURE_CONTINUE"})


def the_first_page_starts_the_sample_jobs_and_compares_them(browser: Browser, cluster: Cluster):
    with browser.page() as page:
        page.goto(cluster.url)
        assert page.get_by_role("heading", name="Nothing has run yet").is_visible()
        assert not axe_violations(page), axe_violations(page)
        page.get_by_role("button", name="Start the three sample jobs").click()
        page.get_by_role("link", name="r3").wait_for()
        for run in ("r1", "r2", "r3"):
            cluster.wait_for(run, 120)
        becomes(page, "document.querySelectorAll('.state.succeeded').length === 3")
        for box in page.get_by_role("checkbox").all():
            box.check()
        page.get_by_role("button", name="Compare").click()
        page.wait_for_url("**/compare?runs=r1,r2,r3")
        becomes(page, "!document.body.textContent.includes('…')")
        until(lambda: is_drawn(page, ".compared section:last-child canvas"), "the third chart")


def every_page_fits_three_widths_in_both_themes_without_an_axe_violation(browser: Browser, cluster: Cluster):
    failed = cluster.submit(going_on(cluster))
    cluster.wait_for(failed)
    places = ["/", "/compare?runs=r1,r2,r3", "/workers", "/new", "/runs/r99"]
    places += [f"/runs/{failed}#tab={tab}" for tab in ("failures", "tasks", "batches", "spec", "activity")]
    places += [f"/runs/{failed}#task=3/0/1", "/runs/r3#by=slot"]
    for width in WIDTHS:
        for theme in THEMES:
            for place in places:
                with browser.page(width, theme, forgive_network=place.endswith("r99")) as page:
                    page.goto(cluster.url + place)
                    page.wait_for_load_state("load")
                    if place.startswith("/runs/r") and not place.endswith("r99"):
                        until(lambda: is_drawn(page), f"the chart of {place}")
                    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                    assert wide <= 0, f"{place} is {wide} px too wide at {width}"
                    violations = axe_violations(page)
                    assert not violations, (place, width, theme, violations)


def the_keyboard_alone_goes_from_a_job_to_its_failure(browser: Browser, cluster: Cluster):
    path = ragged(cluster, "keys.csv")
    with browser.page() as page:
        page.goto(cluster.url)
        focus(page, "a", "New run")
        page.keyboard.press("Enter")
        page.wait_for_url("**/new")
        focus(page, "#spec")
        page.keyboard.press("Control+a")
        page.keyboard.insert_text("{ no json")
        page.get_by_text("One thing is wrong").wait_for()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(json.dumps(job("typed", path, failure={"on_failure": "ON_FAILURE_CONTINUE"}, batch={"rows": 0})))
        page.locator("#checked .problems").wait_for()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text(json.dumps(job("typed", path, failure={"on_failure": "ON_FAILURE_CONTINUE"})))
        page.get_by_text("This can run").wait_for()
        assert "grpcurl -plaintext" in page.locator("#line-grpcurl").text_content()
        focus(page, "#submit")
        page.keyboard.press("Enter")
        page.wait_for_url(re.compile(r"/runs/r\d+"))
        page.locator("#head[data-state=completed_with_failures]").wait_for()
        until(lambda: is_drawn(page), "the chart")
        page.keyboard.press("e")
        becomes(page, "location.hash.includes('task=')")
        page.keyboard.press("Enter")
        page.locator("#drawer").get_by_text(re.compile("line 37")).first.wait_for()
        assert "task=" in page.url
        page.keyboard.press("Escape")
        assert page.locator("#drawer").is_hidden()
        page.keyboard.press("s")
        becomes(page, "location.hash.includes('by=slot')")
        page.keyboard.press("+")
        becomes(page, "location.hash.includes('t=')")
        page.keyboard.press("0")
        becomes(page, "!location.hash.includes('t=')")
        page.keyboard.press("?")
        assert page.get_by_role("dialog").is_visible()
        page.keyboard.press("Escape")
        page.keyboard.press("/")
        becomes(page, "document.activeElement.id === 'filter'")
        page.keyboard.insert_text("worker:nobody")
        page.get_by_text("No task is like that").wait_for()


def becomes(page, expression: str):
    """Waits until an expression holds, by the driver: the page's policy forbids what the driver's own waiting does."""
    until(lambda: page.evaluate(expression), expression)


def focus(page, selector: str, text: str | None = None):
    """Presses Tab until something has the focus."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(
            "([selector, text]) => document.activeElement.matches(selector) && (!text || document.activeElement.textContent === text)",
            [selector, text],
        ):
            return
    raise AssertionError(f"Tab never reaches {selector}")


def a_link_shows_what_the_one_who_copied_it_saw(browser: Browser, cluster: Cluster):
    run = cluster.submit(going_on(cluster, "linked"))
    cluster.wait_for(run)
    with browser.page() as page:
        page.goto(f"{cluster.url}/runs/{run}#by=slot&t=1000-20000&tab=tasks&task=3/0/1")
        page.locator("#drawer h2", has_text="extract[3]#1").wait_for()
        assert page.get_by_role("button", name="By slot").get_attribute("aria-pressed") == "true"
        assert page.get_by_role("tab", name="Tasks").get_attribute("aria-selected") == "true"
        assert "t=1000-20000" in page.url
        assert "exact" in page.locator("#chart .scale").text_content()


def a_cut_stream_says_so_and_comes_back_by_itself(browser: Browser, cluster: Cluster):
    slow = cluster.submit(job("slow", ragged(cluster, "slow.csv", bad=59, rows=60), rows=1, per_row="0.5s"))
    with Line(cluster.web) as line, browser.page(forgive_network=True) as page:
        page.goto(f"http://127.0.0.1:{line.port}/runs/{slow}")
        page.locator("#live[data-state=live]").wait_for()
        before = page.locator("#head").text_content()
        line.cut()
        page.locator("#live[data-state=lost]").wait_for()
        assert page.locator("#live").text_content() == "Reconnecting…"
        line.mend()
        page.locator("#live[data-state=live]").wait_for()
        until(lambda: page.locator("#head").text_content() != before, "fresh numbers")


def a_run_can_be_cancelled_and_the_page_says_what_is_lost(browser: Browser, cluster: Cluster):
    run = cluster.submit(job("cancelled", ragged(cluster, "cancel.csv", bad=59), rows=1, per_row="0.5s"))
    with browser.page() as page:
        page.goto(f"{cluster.url}/runs/{run}")
        page.locator("#head[data-state=running]").wait_for()
        page.locator("#live[data-state=live]").wait_for()
        page.get_by_role("button", name="Cancel…").click()
        assert re.search(r"\d+ batches in flight are given up", page.locator("#cancel-loses").text_content())
        page.get_by_role("button", name="Cancel the run").click()
        page.locator("#head[data-state=cancelled]").wait_for()


def a_viewer_is_told_at_most_four_times_a_second(browser: Browser, cluster: Cluster):
    run = cluster.submit(job("quick", ragged(cluster, "quick.csv", rows=3000, bad=2999), rows=1, per_row="0.001s"))
    with browser.page() as page:
        page.goto(f"{cluster.url}/workers")
        ticks = page.evaluate(
            """run => new Promise(done => {
              const source = new EventSource(`/api/runs/${run}/events`);
              let ticks = 0;
              source.addEventListener("tick", () => ticks++);
              setTimeout(() => { source.close(); done(ticks); }, 2000);
            })""",
            run,
        )
    assert ticks <= 9, ticks


def nothing_from_the_data_becomes_markup(browser: Browser, cluster: Cluster):
    cluster.start_worker("<img src=x onerror=alert(3)>", 1)
    until(lambda: cluster.get("/api/cluster")["workers"] == 3, "the third worker")
    path = ragged(cluster, "<img src=x onerror=alert(4)>.csv", header='a,"<script>alert(5)</script>"')
    attack = job("attack", path, failure={"on_failure": "ON_FAILURE_CONTINUE"}, labels={"a": ATTACK})
    run = cluster.submit(attack)
    cluster.wait_for(run)
    places = ["/", "/workers", f"/new?from={run}", f"/compare?runs={run},r1"]
    places += [f"/runs/{run}#tab={tab}&task=3/0/1" for tab in ("failures", "tasks", "batches", "spec", "activity")]
    for place in places:
        with browser.page() as page:
            page.goto(cluster.url + place)
            page.wait_for_load_state("load")
            if place.startswith(("/workers", f"/runs/{run}#tab=failures", f"/runs/{run}#tab=spec")):
                until(lambda: "<img src=x" in page.locator("main").text_content(), f"the attack as text on {place}")
            page.wait_for_timeout(500)
            assert page.locator("main img, main script").count() == 0, place
    with browser.page(forgive_network=True) as page:
        page.goto(f"{cluster.url}/runs/%3Cimg%20src=x%20onerror=alert(6)%3E")
        assert page.locator("main img").count() == 0
        page.goto(f"{cluster.url}/compare?runs=%3Cscript%3Ealert(7)%3C/script%3E")
        assert page.locator("main script").count() == 0
    cluster.stop("<img src=x onerror=alert(3)>")


def a_worker_is_drained_from_its_page(browser: Browser, cluster: Cluster):
    cluster.start_worker("leaves", 1)
    until(lambda: cluster.get("/api/cluster")["workers"] == 3, "the worker that is to leave")
    with browser.page(forgive_network=True) as page:
        page.goto(f"{cluster.url}/workers")
        page.get_by_role("button", name="Drain leaves").click()
        page.get_by_text(re.compile("leaves (takes no new work|has left)")).wait_for()
        becomes(page, "!document.querySelector('[data-drain=leaves]')")
    until(lambda: cluster.processes["leaves"].poll() is not None, "the worker's end")
    del cluster.processes["leaves"]


def a_page_outlives_a_restart_of_the_coordinator(browser: Browser, cluster: Cluster):
    with browser.page(forgive_network=True) as page:
        page.goto(cluster.url)
        page.locator("#live[data-state=live]").wait_for()
        cluster.kill_coordinator()
        page.locator("#live[data-state=lost]").wait_for()
        cluster.start_coordinator()
        page.locator("#live[data-state=live]").wait_for(timeout=30_000)
        until(lambda: cluster.get("/api/cluster")["workers"] >= 2, "the workers")
        run = cluster.submit(job("afterwards", ragged(cluster, "after.csv")))
        page.get_by_role("link", name=run, exact=True).wait_for()


def screenshots_of_the_sample_jobs(browser: Browser, cluster: Cluster):
    """Pictures for the README, made where PLUMB_SCREENSHOTS says; without it they are only tried."""
    target = pathlib.Path(os.environ.get("PLUMB_SCREENSHOTS", cluster.path))
    target.mkdir(parents=True, exist_ok=True)
    # One after another: side by side they would share the slots.
    runs = []
    for name in SAMPLES if os.environ.get("PLUMB_SCREENSHOTS") else ():
        runs.append(cluster.submit(sample(name)))
        cluster.wait_for(runs[-1], 120)
    places = list(zip(SAMPLES, runs)) or [("static_job", "r1")]
    for name, run in places:
        with browser.page(1200) as page:
            page.goto(f"{cluster.url}/runs/{run}")
            until(lambda: is_drawn(page), "the chart")
            page.wait_for_timeout(800)
            shot(page.locator("#chart"), target / f"{name}.png")
    if not runs:
        return
    with browser.page(1200, "dark") as page:
        page.goto(f"{cluster.url}/compare?runs={','.join(runs)}")
        becomes(page, "!document.body.textContent.includes('…')")
        until(lambda: is_drawn(page, ".compared section:last-child canvas"), "the third chart")
        page.wait_for_timeout(800)
        page.screenshot(path=target / "compare.png", full_page=True)
        assert (target / "compare.png").stat().st_size < 200_000


def shot(locator, path: pathlib.Path):
    locator.screenshot(path=path)
    assert path.stat().st_size < 200_000, path


# In this order: the first one wants an empty coordinator, the last but one kills it.
TESTS = [
    the_first_page_starts_the_sample_jobs_and_compares_them,
    every_page_fits_three_widths_in_both_themes_without_an_axe_violation,
    the_keyboard_alone_goes_from_a_job_to_its_failure,
    a_link_shows_what_the_one_who_copied_it_saw,
    a_cut_stream_says_so_and_comes_back_by_itself,
    a_run_can_be_cancelled_and_the_page_says_what_is_lost,
    a_viewer_is_told_at_most_four_times_a_second,
    nothing_from_the_data_becomes_markup,
    a_worker_is_drained_from_its_page,
    screenshots_of_the_sample_jobs,
    a_page_outlives_a_restart_of_the_coordinator,
]


def main() -> int:
    wanted = [test for test in TESTS if not sys.argv[1:] or any(word in test.__name__ for word in sys.argv[1:])]
    failed = 0
    with Browser() as browser, Cluster() as cluster:
        for test in wanted:
            began = time.monotonic()
            try:
                test(browser, cluster)
                verdict = "ok"
            except Exception:
                failed += 1
                verdict = "FAILED"
                traceback.print_exc()
            print(f"{verdict:>6} {time.monotonic() - began:5.1f} s  {test.__name__}", flush=True)
    print(f"{len(wanted) - failed} of {len(wanted)} passed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
