"""Each input is timed once, from its coming to the report that its first frame was shown."""

from __future__ import annotations

import pytest
from worldloom.serve.latency import MAX_WAITING, ActionLatency


def test_an_event_is_timed_when_its_first_frame_has_been_shown() -> None:
    seen: list[float] = []
    latency = ActionLatency(seen.append)
    latency.offered(1, 10.0)
    latency.offered(2, 10.5)
    latency.applied(1, 57)
    latency.applied(2, 60)
    latency.shown(57, 11.0)
    assert seen == []
    latency.shown(58, 11.25)
    latency.shown(58, 12.0)
    assert seen == [1.25]
    latency.shown(100, 13.0)
    assert seen == [1.25, 2.5]


def test_events_that_another_gateway_took_are_not_timed() -> None:
    latency = ActionLatency(lambda seconds: pytest.fail("timed"))
    latency.applied(9, 3)
    latency.shown(100, 1.0)


def test_events_that_never_apply_hold_a_bounded_place() -> None:
    seen: list[float] = []
    latency = ActionLatency(seen.append)
    for event in range(2 * MAX_WAITING):
        latency.offered(event, 0.0)
        latency.applied(event, 1)
    latency.shown(2, 1.0)
    assert len(seen) == MAX_WAITING
