"""How the pages look: three widths, light and dark, no violation of axe on any page and state; pictures for the README."""

import os
import pathlib

from browser import THEMES, WIDTHS, Browser, axe_violations, becomes, is_drawn
from cluster import Cluster, going_on, sample, until
from fixture import fixtures

# What axe looks into: every width once, every theme once; what fits is checked in all of them.
LOOKED_INTO = ((390, "light"), (800, "light"), (1440, "dark"))
SAMPLES = ("static_job", "dynamic_job", "prio_dynamic_job")


def every_page_fits_three_widths_in_both_themes_without_an_axe_violation(browser: Browser, cluster: Cluster):
    failed = cluster.submit(going_on(cluster))
    cluster.wait_for(failed)
    newest = ",".join(run["id"] for run in cluster.get("/api/runs?page_size=3")["runs"])
    places = ["/", f"/compare?runs={newest}", "/workers", "/new", "/runs/r99"]
    places += [f"/runs/{failed}#tab={tab}" for tab in ("failures", "tasks", "batches", "spec", "activity")]
    places += [f"/runs/{failed}#task=3/0/1", "/runs/r1#by=slot"]
    for place in places:
        with browser.page(forgive_network=place.endswith("r99")) as page:
            page.goto(cluster.url + place)
            page.wait_for_load_state("load")
            for width in WIDTHS:
                for theme in THEMES:
                    page.set_viewport_size({"width": width, "height": 900})
                    page.emulate_media(color_scheme=theme)
                    if place.startswith("/runs/r") and not place.endswith("r99"):
                        until(lambda: is_drawn(page), f"the chart of {place}")
                    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                    assert wide <= 0, f"{place} is {wide} px too wide at {width}"
                    if (width, theme) in LOOKED_INTO:
                        violations = axe_violations(page)
                        assert not violations, (place, width, theme, violations)


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
    with browser.page(1200) as page:
        page.goto(f"{fixtures().url}/runs/r2")
        becomes(page, "document.querySelector('#chart .scale').textContent.includes('shown as')")
        page.wait_for_timeout(1500)
        shot(page.locator("#chart"), target / "million.png")
    for picture in target.glob("*.png"):
        assert picture.stat().st_size < 200_000, picture


def shot(locator, path: pathlib.Path):
    locator.screenshot(path=path)
    assert path.stat().st_size < 200_000, path
