"""The log of what was tried keeps its form."""

from __future__ import annotations

import re
from pathlib import Path

LOG = Path(__file__).parents[3] / "ops" / "bench" / "log.md"
KEYS = ["date", "machine", "commit", "command", "prediction", "result", "conclusion"]


def test_every_entry_says_when_where_what_and_what_follows() -> None:
    _, *entries = LOG.read_text(encoding="utf-8").split("\n## ")
    assert entries
    for entry in entries:
        found = re.findall(r"^- (\w+): \S", entry, re.MULTILINE)
        assert found == KEYS, f"{entry.splitlines()[0]!r} has {found}"
