"""A session's limits stay within the service's."""

from __future__ import annotations

import math

import pytest
from worldloom.cluster.limits import SERVICE_LIMITS, SessionLimits
from worldloom.errors import InputError

MOST = SessionLimits(play_s=100, idle_s=60, grace_s=30, viewers=4)


def test_what_is_not_asked_for_is_the_services_own() -> None:
    assert SERVICE_LIMITS.within(MOST) == MOST


def test_less_is_granted_and_more_is_not() -> None:
    asked = SessionLimits(play_s=10, idle_s=1000, grace_s=math.inf, viewers=9)
    assert asked.within(MOST) == SessionLimits(play_s=10, idle_s=60, grace_s=30, viewers=4)


@pytest.mark.parametrize("asked", [SessionLimits(play_s=-1), SessionLimits(viewers=-1), SessionLimits(idle_s=math.nan)])
def test_what_is_no_limit_is_refused(asked: SessionLimits) -> None:
    with pytest.raises(InputError, match="the limit"):
        asked.within(MOST)
