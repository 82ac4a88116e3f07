"""A browser without a window: the one that is installed, driven by Playwright."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, BrowserType, sync_playwright

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


@contextmanager
def browser() -> Iterator[Browser]:
    """A fresh browser; the test is skipped where there is none."""
    with sync_playwright() as playwright, launch(playwright.chromium) as one:
        yield one


@contextmanager
def launch(kind: BrowserType, *arguments: str) -> Iterator[Browser]:
    """One more browser of the same Playwright, with arguments of its own."""
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(PROGRAMS)}")
    one = kind.launch(
        executable_path=program,
        args=[*arguments, *(["--no-sandbox"] if os.geteuid() == 0 else [])],
        env={**os.environ, "no_proxy": "*"},
    )
    try:
        yield one
    finally:
        one.close()
