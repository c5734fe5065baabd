"""A real headless Chromium for the tests that look at pages, or the reason why they are skipped."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, sync_playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


def chromium_in(playwright: Playwright) -> str | None:
    """The Chromium named by CHROMIUM, else playwright's own, else the first one on PATH."""
    own = playwright.chromium.executable_path
    candidates = [os.environ.get("CHROMIUM"), own, *(shutil.which(name) for name in NAMES)]
    return next((path for path in candidates if path and Path(path).is_file()), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One headless Chromium for all tests of the session."""
    with sync_playwright() as playwright:
        executable = chromium_in(playwright)
        if executable is None:
            pytest.skip("NO CHROMIUM: run `.venv/bin/playwright install chromium`, or set CHROMIUM to one")
        sandbox = [] if os.geteuid() else ["--no-sandbox"]  # Chromium refuses its sandbox to root
        running = playwright.chromium.launch(executable_path=executable, args=sandbox)
        yield running
        running.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page with its own cookies and storage."""
    context = browser.new_context()
    yield context.new_page()
    context.close()
