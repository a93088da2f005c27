"""Limits while runs go on: changed on the pages, explained, shared by pools and the coordinator's cap."""

from browser import THEMES, WIDTHS, Browser, becomes, focus
from cluster import ATTACK, Cluster, job, ragged, until
from journeys import fine


def slow(cluster: Cluster, name: str, file: str, **more) -> dict:
    """Returns a job that takes minutes, a row a batch."""
    return job(name, ragged(cluster, file, rows=900, bad=899), rows=1, per_row="0.5s", **more)


def fine_everywhere(page, what: str):
    """Looks at an open dialog in both themes and at every width: no violation, nothing too wide."""
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert wide <= 0, f"{what} is {wide} px too wide at {width}"
        box = page.locator("dialog[open]").bounding_box()
        assert box["x"] >= 0 and box["x"] + box["width"] <= width, (what, width, box)
        for theme in THEMES:
            page.emulate_media(color_scheme=theme)
            fine(page)


def the_keyboard_changes_limits_of_a_run_and_asks_what_holds_it(browser: Browser, cluster: Cluster):
    run = cluster.submit(slow(cluster, "limited", "limited.csv"))
    with browser.page(forgive=("400",)) as page:
        page.goto(f"{cluster.url}/runs/{run}")
        page.locator("#head[data-state=running]").wait_for()
        focus(page, "[data-act=limits]")
        page.keyboard.press("Enter")
        page.get_by_role("heading", name="Change limits").wait_for()
        page.locator("dialog[open] summary").click()
        fine_everywhere(page, "the limits")
        assert page.get_by_label("Tasks at once", exact=True).get_attribute("placeholder") == "now 4"
        focus(page, "dialog [name=max_concurrent]")
        page.keyboard.insert_text("many")
        page.keyboard.press("Enter")
        page.locator("dialog[open] [role=alert]").get_by_text("is no number").wait_for()
        page.keyboard.press("Control+a")
        page.keyboard.insert_text("0")
        page.keyboard.press("Enter")
        page.locator("dialog[open] [role=alert]").get_by_text("max_concurrent: must be at least 1").wait_for()
        fine_everywhere(page, "a limit that is refused")
        page.keyboard.press("Control+a")
        page.keyboard.insert_text("1")
        focus(page, "dialog [name=max_committing]")
        page.keyboard.insert_text("7")
        focus(page, "dialog [name='rate:load']")
        page.keyboard.insert_text("50/s")
        focus(page, "dialog button.primary", "Change them")
        page.keyboard.press("Enter")
        page.locator("dialog[open]").wait_for(state="detached")
        shown = cluster.get(f"/api/runs/{run}")
        assert (shown["cap"], shown["batches"]["max_committing"], shown["ops"][2]["rate"]) == (1, 7, "50/1s"), shown
        until(lambda: cluster.get(f"/api/runs/{run}")["running"]["now"] == 1, "what ran above the new cap has ended")
        focus(page, "[data-act=explain]")
        page.keyboard.press("Enter")
        page.locator("dialog[open]").get_by_text("the run's cap: 1 of 1 in use").first.wait_for()
        fine_everywhere(page, "the explanation")
        # What is explained is not what was when the dialog was opened.
        cluster.post(f"/api/runs/{run}/pause", {})
        page.locator("dialog[open]").get_by_text("The run is paused.").wait_for()
        page.locator("dialog[open]").get_by_text("the run is paused; resume it").first.wait_for()
        page.keyboard.press("Escape")
        assert page.locator("dialog[open]").count() == 0
        page.get_by_role("tab", name="Activity").click()
        page.locator("#panel-activity").get_by_text("max_concurrent=1").first.wait_for()
    cluster.post(f"/api/runs/{run}/cancel", {})
    cluster.wait_for(run)


def pools_and_the_coordinators_cap_are_listed_and_set(browser: Browser, cluster: Cluster):
    with browser.page(forgive=("400",)) as page:
        page.goto(f"{cluster.url}/workers")
        page.get_by_role("button", name="New pool…").click()
        page.get_by_label("Name").fill(ATTACK)
        page.get_by_label("Units").fill("1")
        page.get_by_role("button", name="Set it").click()
        page.locator("dialog[open] [role=alert]").get_by_text("name:").wait_for()
        assert page.locator("dialog img, dialog script").count() == 0
        fine_everywhere(page, "a pool that is refused")
        page.get_by_label("Name").fill("geocoder")
        page.get_by_role("button", name="Set it").click()
        page.get_by_role("button", name="Change the pool geocoder").wait_for()
        spec = slow(cluster, "pooled", "<img src=x onerror=alert(8)>.csv")
        spec["ops"][0]["pools"] = ["geocoder"]
        run = cluster.submit(spec)
        row = page.locator("tr", has_text="geocoder")
        row.get_by_text("1 of 1").wait_for()
        row.get_by_role("link", name=run).wait_for()
        fine(page)
        page.get_by_role("button", name="Change the pool geocoder").click()
        assert page.get_by_label("Units").input_value() == "1"
        fine_everywhere(page, "a pool")
        page.get_by_label("Units").fill("3")
        page.keyboard.press("Enter")
        row.get_by_text("3 of 3").wait_for()
        page.get_by_role("button", name="Change the coordinator's cap").click()
        fine_everywhere(page, "the coordinator's cap")
        page.get_by_label("Tasks at once").fill("2")
        page.get_by_role("button", name="Set it").click()
        becomes(page, "document.querySelector('[data-cap]').dataset.cap === '2'")
        assert cluster.get("/api/cluster")["max_concurrent"] == 2
        row.get_by_text("2 of 3").wait_for()
        page.goto(f"{cluster.url}/runs/{run}")
        page.get_by_role("button", name="Why not more?").click()
        page.locator("dialog[open]").get_by_text("the coordinator's cap: 2 of 2 in use").first.wait_for()
        assert page.locator("main img, main script, dialog img, dialog script").count() == 0
        page.keyboard.press("Escape")
        page.goto(f"{cluster.url}/workers")
        page.get_by_role("button", name="Change the coordinator's cap").click()
        page.get_by_label("Tasks at once").fill("none")
        page.get_by_role("button", name="Set it").click()
        page.get_by_text("no cap is set").wait_for()
    cluster.post(f"/api/runs/{run}/cancel", {})
    cluster.wait_for(run)
