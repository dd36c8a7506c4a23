"""Chromium for the tests of the report: no network, and everything it complains about is kept."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


@dataclass
class Window:
    """A page and what it did that it should not do."""

    page: Any
    console: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def open(self, file: Path, address: str = "") -> None:
        """Load a file and wait until it can be used."""
        self.page.goto(file.resolve().as_uri() + address)
        self.page.wait_for_selector("html[data-ready]", timeout=60_000)

    def shown(self) -> str:
        """Return the text of the chosen sample."""
        return self.page.inner_text("#sample")

    def count(self) -> int:
        """Return how many samples the list holds."""
        return int(self.page.inner_text("#count").split(" ")[0].replace(",", ""))

    def wait(self, selector: str, text: str) -> None:
        """Wait until an element says a text; the page's policy forbids scripts to do so."""
        from playwright.sync_api import expect

        expect(self.page.locator(selector)).to_contain_text(text)

    @property
    def quiet(self) -> bool:
        """Whether nothing was complained of, asked for or popped up."""
        assert (self.console, self.requests, self.dialogs) == ([], [], [])
        return True


@contextmanager
def chromium() -> Iterator[Any]:
    """Start the browser of the machine.

    Raises:
        AssertionError: if there is none; a test that needs it must not pass without it.
    """
    from playwright.sync_api import sync_playwright

    found = next(filter(None, map(shutil.which, NAMES)), None)
    assert found, "No Chromium is installed: apt-get install -y chromium (bash .ci/run does so)"
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def window(browser: Any, **options: Any) -> Iterator[Window]:
    """Open a window that refuses every request but the one for the file itself."""
    options.setdefault("viewport", {"width": 1280, "height": 900})
    context = browser.new_context(**options)
    opened = Window(context.new_page())
    page = opened.page

    def route(route: Any) -> None:
        if route.request.url.startswith("file:"):
            route.continue_()
        else:
            opened.requests.append(route.request.url)
            route.abort()

    def dialog(one: Any) -> None:
        opened.dialogs.append(one.message)
        one.dismiss()

    page.route(lambda url: not url.startswith("data:"), route)
    page.on("dialog", dialog)
    page.on("pageerror", lambda error: opened.console.append(f"error: {error}"))
    page.on("console", lambda line: opened.console.append(f"{line.type}: {line.text}"))
    yield opened
    context.close()
