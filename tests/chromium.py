"""A real browser: Chromium of the distribution, driven by Playwright."""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, sync_playwright

_NAMES = ("chromium", "chromium-browser", "google-chrome")


def find_chromium(environ: Mapping[str, str]) -> str:
    """The program; without one the test is skipped, or failed when REQUIRE_CHROMIUM=1."""
    path = environ.get("PATH", "")
    found = next(filter(None, (shutil.which(name, path=path) for name in _NAMES)), None)
    if found is None:
        told = "no Chromium on PATH; install the package chromium"
        if environ.get("REQUIRE_CHROMIUM") == "1":
            pytest.fail(told)
        pytest.skip(told)
    return found


@contextmanager
def running_chromium(environ: Mapping[str, str]) -> Iterator[Browser]:
    """The browser, without a window."""
    program = find_chromium(environ)
    with (
        sync_playwright() as playwright,
        # In a container everybody is root, and there the browser's own cage does not stand.
        playwright.chromium.launch(executable_path=program, args=["--no-sandbox"]) as browser,
    ):
        yield browser
