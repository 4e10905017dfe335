"""A browser for the end-to-end test. `make e2e` wants one; other runs skip what needs it where there is none."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from ..browser.chromium import Page, chromium_page, find_chromium

MISSING = "no Chromium is installed (apt-get install chromium)"


@pytest.fixture(scope="module")
def browser() -> Iterator[Page]:
    chromium = find_chromium()
    if chromium is None and os.environ.get("WORLDLOOM_E2E"):
        pytest.fail(MISSING)
    if chromium is None:
        pytest.skip(MISSING)
    with chromium_page(chromium) as page:
        yield page
