"""The token bucket."""

from __future__ import annotations

from worldloom.serve.rate_limit import RateLimit


def test_a_burst_passes_and_then_the_rate() -> None:
    now = 0.0
    limit = RateLimit(per_s=10, burst=5, clock=lambda: now)
    assert [limit.admits() for _ in range(6)] == [True] * 5 + [False]
    now = 0.25
    assert [limit.admits() for _ in range(3)] == [True, True, False]
    now = 100.0
    assert [limit.admits() for _ in range(6)] == [True] * 5 + [False]
