"""What people do on the pages: start, watch, find what failed, steer, come back."""

import json
import re

from browser import Browser, Line, axe_violations, becomes, focus, is_drawn
from cluster import Cluster, going_on, job, ragged, until


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
        until(lambda: page.get_by_role("checkbox", checked=True).count() == 3, "what was started is picked", 5)
        page.get_by_role("link", name="Compare the three sample jobs").wait_for()
        page.get_by_role("button", name="Compare", exact=True).click()
        page.wait_for_url("**/compare?runs=r1,r2,r3")
        becomes(page, "!document.body.textContent.includes('…')")
        until(lambda: is_drawn(page, ".compared section:last-child canvas"), "the third chart")


def the_keyboard_alone_goes_from_a_job_to_its_failure_and_tries_it_again(browser: Browser, cluster: Cluster):
    path = ragged(cluster, "keys.csv")
    with browser.page(forgive=("422",)) as page:
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
        page.keyboard.press("Escape")
        focus(page, "[data-act=retry]")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Retry what failed?").wait_for()
        assert not axe_violations(page), axe_violations(page)
        focus(page, "dialog button.primary", "Retry")
        page.keyboard.press("Enter")
        run = page.url.split("/runs/")[1].split("#")[0]
        until(lambda: any(entry["kind"] == "retry" for entry in cluster.get(f"/api/runs/{run}/activity")["entries"]), "the retry")
        assert cluster.wait_for(run)["state"] == "completed_with_failures", "the bad row is still there"
        page.locator("#head[data-state=completed_with_failures]").wait_for()


def a_spec_is_checked_while_it_is_typed(browser: Browser, cluster: Cluster):
    path = ragged(cluster, "typed.csv", rows=70)
    spec = (
        f"name: typed\nsource: {{ uris: [{path}], csv: {{}} }}\nbatch: {{ rows: 10 }}\n"
        "ops:\n  - { name: load, write: { discard: {} } }\n"
    )
    with browser.page(forgive=("422",)) as page:
        page.goto(f"{cluster.url}/new")
        page.get_by_text("This can run").wait_for()
        page.locator("#spec").fill(spec.replace("rows: 10", "rowz: 10"))
        page.locator("#checked .problems").get_by_text("did you mean `rows`?").wait_for()
        page.get_by_role("button", name="Line 3").click()
        assert page.evaluate("document.activeElement.id") == "spec"
        assert page.evaluate("document.activeElement.selectionStart") == spec.index("rows: 10")
        page.locator("#spec").fill(spec)
        page.get_by_text("This can run").wait_for()
        page.get_by_text("about 7").wait_for()
        assert page.locator("#checked table").text_content().count("<script>") == 1, "the first rows are shown as text"
        page.get_by_label("Rows a batch").fill("35")
        page.get_by_text("about 2").wait_for()
        assert "rows: 35" in page.locator("#spec").input_value()
        page.get_by_label("Tasks at once").fill("0")
        page.locator("[data-field=cap][aria-invalid=true]").wait_for()


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
        assert re.search(r"\d+ batches in flight: \d+ running tasks", page.locator("#cancel-loses").text_content())
        page.get_by_role("button", name="Cancel the run").click()
        page.locator("#head[data-state=cancelled]").wait_for()


def what_is_pressed_before_the_page_is_whole_is_done(browser: Browser, cluster: Cluster):
    run = cluster.submit(job("pressed", ragged(cluster, "pressed.csv", bad=59), rows=1, per_row="0.5s"))
    with browser.page() as page:
        held = []
        page.route("**/page.js", lambda route: held.append(route))
        page.goto(f"{cluster.url}/runs/{run}")
        until(lambda: page.evaluate("1") and held, "the question for what is around the chart")
        page.get_by_role("button", name="Cancel…").click()
        assert page.locator("dialog[open]").count() == 0
        held[0].continue_()
        page.get_by_role("button", name="Cancel the run").click()
        page.locator("#head[data-state=cancelled]").wait_for()


def a_run_is_paused_resumed_and_cancelled_and_each_state_is_without_an_axe_violation(browser: Browser, cluster: Cluster):
    run = cluster.submit(job("steered", ragged(cluster, "steered.csv", rows=900, bad=899), rows=1, per_row="0.5s"))
    with browser.page() as page:
        page.goto(f"{cluster.url}/runs/{run}")
        page.locator("#head[data-state=running]").wait_for()
        page.locator("#live[data-state=live]").wait_for()
        fine(page)
        page.get_by_role("button", name="Pause").click()
        page.locator("#head[data-state=paused]").wait_for()
        until(lambda: cluster.get(f"/api/runs/{run}")["running"]["now"] == 0, "the end of what runs")
        fine(page)
        page.get_by_role("button", name="Resume").click()
        page.locator("#head[data-state=running]").wait_for()
        page.get_by_role("tab", name="Activity").click()
        page.locator("#panel-activity").get_by_text(re.compile("pause")).first.wait_for()
        fine(page)
        page.keyboard.press("?")
        fine(page)
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Cancel…").click()
        fine(page)
        page.get_by_label("After what runs").check()
        page.get_by_role("button", name="Cancel the run").click()
        page.locator("#head[data-state=cancelled]").wait_for()
        fine(page)
        assert page.get_by_role("button", name="Pause").count() == 0


def fine(page):
    violations = axe_violations(page)
    assert not violations, violations


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
