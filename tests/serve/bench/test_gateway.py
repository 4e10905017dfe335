"""The benchmark of a gateway: how its limit is found, and what its record says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.serve.bench.gateway import find_limit, is_carried, load_of
from worldloom.serve.bench.gateway_load import Load
from worldloom.serve.bench.records import GatewayLoad
from worldloom.serve.bench.report import format_gateway

from .samples import gateway_record


@given(st.integers(0, 200), st.integers(1, 128))
def test_the_limit_is_found_to_an_eighth_with_few_tries(capacity: int, most: int) -> None:
    tried: list[int] = []

    def holds(sessions: int) -> bool:
        tried.append(sessions)
        return sessions <= capacity

    limit = find_limit(holds, first=4, most=most)
    assert limit <= min(capacity, most)
    assert len(tried) == len(set(tried)) <= 12 and max(tried) <= most
    if limit:
        assert limit in tried and limit + max(1, limit // 8) >= min(capacity, most)
    else:
        assert capacity < min(4, most)


def test_lost_or_late_frames_are_not_carried() -> None:
    assert is_carried(load_of([0.01] * 100, sessions=4, offered=100))
    assert not is_carried(load_of([0.01] * 99, sessions=4, offered=100))
    assert not is_carried(load_of([0.01] * 95 + [0.5] * 5, sessions=4, offered=100))
    assert load_of([], sessions=4, offered=100).loss == 1


def test_a_load_is_made_of_whole_pieces() -> None:
    load = Load(sessions=("a",), frame_rate=40, frame_bytes=10, warm_up_s=2, seconds=5)
    assert (load.piece_s, load.first_measured, load.frames) == (0.2, 80, 280)


def test_the_report_has_a_row_for_each_load() -> None:
    record = gateway_record()
    text = format_gateway(record)
    assert "carries 32 sessions" in text and "0.50%" in text
    assert all(f"{load.sessions:>8}" in text for load in record.loads)


def test_a_load_has_a_share_of_lost_frames() -> None:
    with pytest.raises(ValueError, match="loss"):
        GatewayLoad(sessions=1, overhead_p50_s=0, overhead_p95_s=0, overhead_p99_s=0, loss=1.5)
