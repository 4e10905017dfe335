"""Processes that all tests of the folder share."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from worldloom.serve.ports import free_port

from .processes import Processes

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def processes() -> Iterator[Processes]:
    # The processes import the jobs of the tests by name.
    sys.path.insert(0, str(ROOT))
    started = Processes(free_port("127.0.0.1"))
    yield started
    started.stop()
    sys.path.remove(str(ROOT))
