"""Chromium as the suite drives it: pages that fail on any script error, axe, and a line that can be cut."""

import contextlib
import os
import pathlib
import socket
import threading

from cluster import until
from playwright.sync_api import Page, sync_playwright

FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
WIDTHS = (390, 800, 1440)
THEMES = ("light", "dark")


class Browser(contextlib.AbstractContextManager):
    """One browser for all tests."""

    def __init__(self):
        self.playwright = sync_playwright().start()
        chromium = self.playwright.chromium
        self.browser = chromium.launch(executable_path=os.environ["CHROMIUM"], args=FLAGS)

    @contextlib.contextmanager
    def page(self, width: int = 1440, theme: str = "light", forgive_network: bool = False, forgive: tuple[str, ...] = (), **more):
        """Opens a page; on closing, whatever its scripts complained about is a failure, unless it is forgiven."""
        context = self.browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=theme, bypass_csp=False, **more
        )
        page = context.new_page()
        page.set_default_timeout(20_000)
        complaints: list[str] = []
        page.on("pageerror", lambda error: complaints.append(f"script error: {error}"))
        page.on("dialog", lambda dialog: (complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        page.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        try:
            yield page
        finally:
            context.close()
        forgiven = forgive + (("net::", "Failed to load resource") if forgive_network else ())
        complaints = [text for text in complaints if not any(words in text for words in forgiven)]
        assert not complaints, complaints

    def __exit__(self, *_):
        self.browser.close()
        self.playwright.stop()


def axe_violations(page: Page) -> list[str]:
    """Runs axe over the page by the driver, which the page's policy does not bind."""
    page.evaluate(pathlib.Path(os.environ["AXE"]).read_text() + "; 0")
    rules = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]}
    found = page.evaluate("rules => axe.run(document, rules)", rules)["violations"]
    return [f"{one['id']}: {one['nodes'][0]['html'][:160]} ({one['nodes'][0]['failureSummary'][:200]})" for one in found]


def becomes(page: Page, expression: str, seconds: float = 30):
    """Waits until an expression holds, by the driver: the page's policy forbids what the driver's own waiting does."""
    until(lambda: page.evaluate(expression), expression, seconds)


def focus(page: Page, selector: str, text: str | None = None):
    """Presses Tab until something has the focus."""
    for _ in range(120):
        page.keyboard.press("Tab")
        if page.evaluate(
            "([selector, text]) => document.activeElement.matches(selector) && (!text || document.activeElement.textContent === text)",
            [selector, text],
        ):
            return
    raise AssertionError(f"Tab never reaches {selector}")


def is_drawn(page: Page, canvas: str = "#chart canvas") -> bool:
    """Tells whether a canvas has more than a handful of colours: axes alone have fewer."""
    return page.evaluate(
        """selector => {
          const canvas = document.querySelector(selector);
          if (!canvas || !canvas.width) return false;
          const data = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const colours = new Set();
          const pixels = new Uint32Array(data.buffer);
          for (let at = 0; at < pixels.length; at += 3) colours.add(pixels[at]);
          return colours.size > 8;
        }""",
        canvas,
    )


class Line(contextlib.AbstractContextManager):
    """A line to a port that can be cut and mended."""

    def __init__(self, port: int):
        self.target = port
        self.is_whole = True
        self.pairs: list[socket.socket] = []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            if not self.is_whole:
                near.close()
                continue
            far = socket.create_connection(("127.0.0.1", self.target))
            self.pairs += [near, far]
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=self.carry, args=(source, sink), daemon=True).start()

    def carry(self, source: socket.socket, sink: socket.socket):
        with contextlib.suppress(OSError):
            while data := source.recv(65_536):
                sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def cut(self):
        self.is_whole = False
        for end in self.pairs:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        self.pairs.clear()

    def mend(self):
        self.is_whole = True

    def __exit__(self, *_):
        self.cut()
        self.listener.close()
