"""One browser for all tests of the page, and a service that each of them has for itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..serve.fake_service import FakeService
from .chromium import Page, chromium_page, find_chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium is installed (apt-get install chromium)")
    with chromium_page(chromium) as page:
        yield page


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService(frame_rate=60, chunk_s=0.15).running() as running:
        yield running


@pytest.fixture
def page(browser: Page, service: FakeService) -> Iterator[Page]:
    """The page's first view on a desk, with samples loaded."""
    browser.resize(1280, 800)
    browser.open(service.url)
    browser.wait_for("!document.getElementById('go').disabled")
    browser.problems.clear()
    yield browser
    browser.open("about:blank")
