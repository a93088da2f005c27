"""What a page must not do, whatever the data says: texts stay texts, commands are taken from our own pages only."""

import re
import urllib.error
import urllib.request

from browser import Browser
from cluster import ATTACK, Cluster, job, ragged, until


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


def commands_of_other_origins_are_refused_and_nothing_inline_runs(browser: Browser, cluster: Cluster):
    json = {"Content-Type": "application/json"}
    run = cluster.submit(job("watched", ragged(cluster, "watched.csv")))
    commands = (f"/api/runs/{run}/cancel", "/api/workers/w1/drain", "/api/runs")
    for command in commands:
        assert status(cluster, command, json | {"Origin": "http://evil.example"}) == 403, command
        assert status(cluster, command, json | {"Sec-Fetch-Site": "cross-site"}) == 403, command
        assert status(cluster, command, json | {"Host": "evil.example"}) == 403, command
        assert status(cluster, command, {"Content-Type": "text/plain"}) == 415, command
    with browser.page(forgive=("Content Security Policy", "content security policy")) as page:
        page.goto(cluster.url)
        page.evaluate(
            """() => {
              const script = document.createElement("script");
              script.textContent = "window.inline = true";
              document.body.append(script);
              document.body.insertAdjacentHTML("beforeend", "<a id=handler onclick='window.inline = true'>x</a>");
              document.getElementById("handler").click();
            }"""
        )
        assert page.evaluate("window.inline") is None
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{cluster.url}/runs/{run}")
        page.locator("#chart .scale").wait_for()
        assert all(url.startswith(cluster.url) for url in asked), asked


def status(cluster: Cluster, path: str, headers: dict) -> int:
    request = urllib.request.Request(cluster.url + path, b"{}", headers)
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
