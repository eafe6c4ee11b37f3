"""A real browser, a real server for it to read, and whoever looks at the page: who notes everything that goes wrong."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Dialog, Locator, Page, Route, expect, sync_playwright

from pci_agent.api.serving import http_server
from services import missing

ARTEFACTS = Path(__file__).resolve().parents[1] / ".artefacts"
PATIENCE_MS = 15_000
_CHROMIUM = "chromium"
_FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
_WATCH = """
window.broken = [];
addEventListener("securitypolicyviolation", (event) => broken.push(`${event.violatedDirective} ${event.blockedURI}`));
addEventListener("unhandledrejection", (event) => broken.push(String(event.reason)));
"""


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    found = shutil.which(_CHROMIUM)
    if found is None:
        missing("Chromium")
    with sync_playwright() as playwright:
        made = playwright.chromium.launch(executable_path=found, args=list(_FLAGS))
        try:
            yield made
        finally:
            made.close()


@contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an application on loopback, and give its address."""
    server = http_server(app, "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    try:
        yield f"http://{server.bind_addr[0]}:{server.bind_addr[1]}"
    finally:
        server.stop()
        thread.join()


@dataclass
class Reader:
    """
    Somebody who looks at the page.

    Attributes:
        page: the browser's
        url: the API's address
        complaints: what the browser complained about, and what was asked for elsewhere
    """

    page: Page
    url: str
    complaints: list[str] = field(default_factory=list)

    def goes_to(self, view: str, heading: str | None = None) -> None:
        """Open a view, and wait until it is drawn."""
        self.page.goto(f"{self.url}/ui/#/{view}")
        if heading is None:
            expect(self.page.locator("main h1")).to_be_visible()
        else:
            expect(self.page.locator("main h1")).to_contain_text(heading)

    def sees(self, text: str) -> None:
        """Wait until a text stands in the page's content."""
        expect(self.page.locator("main")).to_contain_text(text)

    def row(self, text: str) -> Locator:
        """The row of a table that has a text in it."""
        return self.page.locator("tbody tr", has_text=text)

    def cell(self, address: str) -> Locator:
        """The cell of a function in a host's picture."""
        return self.page.locator(f".cell[title^='{address}']")

    def searches(self, word: str) -> None:
        """Write a word into the search, and press Enter."""
        self.page.locator("#search-for").fill(word)
        self.page.locator("#search-for").press("Enter")

    def keeps(self, name: str, *, whole: bool = True) -> Path:
        """Keep a picture of what is seen."""
        ARTEFACTS.mkdir(exist_ok=True)
        path = ARTEFACTS / f"{name}.png"
        self.page.screenshot(path=path, full_page=whole)
        return path


def _amiss(told: ConsoleMessage, url: str) -> bool:
    """Whether a word of the browser is a complaint; that the API refused something, or was away, is none."""
    asked = told.location["url"].removeprefix(url)
    refused = told.text.startswith("Failed to load resource") and asked.startswith(("/v3/", "/ui/session"))
    return told.type in ("error", "warning") and not refused


@contextmanager
def reader(browser: Browser, url: str, **options: Any) -> Iterator[Reader]:
    """Let somebody look, with a browser profile of their own; at the end nothing may have gone wrong."""
    context = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, "reduced_motion": "reduce", **options})
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    context.add_init_script(_WATCH)
    page = context.new_page()
    made = Reader(page, url)
    page.on("console", lambda told: made.complaints.append(told.text) if _amiss(told, url) else None)
    page.on("pageerror", lambda error: made.complaints.append(str(error)))

    def asked(dialog: Dialog) -> None:
        made.complaints.append(f"asked: {dialog.message}")
        dialog.dismiss()

    def elsewhere(route: Route) -> None:
        made.complaints.append(f"asked for {route.request.url}")
        route.abort()

    page.on("dialog", asked)
    context.route(lambda address: not address.startswith(f"{url}/"), elsewhere)
    try:
        yield made
        made.complaints += page.evaluate("window.broken ?? []")
        assert made.complaints == []
    finally:
        context.close()
