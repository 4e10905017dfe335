"""Processes that all tests of the folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from worldloom.serve.ports import free_port

from .processes import Processes


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    started = Processes(free_port("127.0.0.1"))
    yield started
    started.stop()
