"""The browser and the service of the tests of the page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from .browsing import CHROMIUM, lacking, playwright

    if CHROMIUM is None:
        lacking("chromium")
    with playwright.sync_playwright() as driver:
        one = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield one
        one.close()


@pytest.fixture(scope="module")
def service() -> Iterator[Any]:
    from pyharmony.serve import PAGE

    from . import test_server

    with test_server.running(page=PAGE, timeout=120.0, max_upload=3_000_000) as one:
        one.contexts = {}
        yield one
