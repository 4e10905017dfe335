"""Who is where, as the directory hears it from gateways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.attendance import MAX_TICKET_S, Attendance, GatewayBeat, Role, UsedTickets
from worldloom.errors import NotAuthorized

LEASE_S = 4.0


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def attendance() -> tuple[Attendance, Clock]:
    clock = Clock()
    return Attendance(lease_s=LEASE_S, clock=clock), clock


def beat(gateway: str, *homes: str, **guests: tuple[str, Role]) -> GatewayBeat:
    return GatewayBeat(gateway=gateway, homes=homes, guests=guests)


def test_the_first_gateway_that_somebody_comes_to_is_the_sessions_home() -> None:
    it, _ = attendance()
    assert it.home("s") is None
    assert it.enter("s", "a", "c1", Role.PLAYER) == "a"
    assert it.enter("s", "b", "c2", Role.VIEWER) == "a" == it.home("s")
    assert it.has_player("s") and it.viewers("s") == 1
    it.leave("b", "c2")
    it.leave("a", "c2")
    assert it.viewers("s") == 0 and it.home("s") == "a"
    it.forget("s")
    assert it.home("s") is None and not it.has_player("s")


def test_a_gateway_that_falls_silent_is_gone_with_its_guests_and_loses_its_sessions() -> None:
    it, clock = attendance()
    it.enter("s", "a", "c1", Role.PLAYER)
    clock.now += LEASE_S + 0.1
    assert it.home("s") is None and not it.has_player("s")
    assert it.enter("s", "b", "c2", Role.PLAYER) == "b"
    assert it.beat(beat("a", "s", c1=("s", Role.PLAYER))) == ("s",)
    assert it.home("s") == "b"


def test_a_gateway_that_restarts_is_nobodys_home() -> None:
    it, _ = attendance()
    it.enter("s", "a", "c1", Role.PLAYER)
    it.started("a")
    assert it.home("s") is None and not it.has_player("s")


def test_a_new_directory_learns_all_from_the_beats() -> None:
    it, _ = attendance()
    assert it.beat(beat("a", "s", c1=("s", Role.PLAYER))) == ()
    assert it.beat(beat("b", c2=("s", Role.VIEWER))) == ()
    assert (it.home("s"), it.has_player("s"), it.viewers("s")) == ("a", True, 1)


def test_a_beat_that_was_on_its_way_while_somebody_came_or_went_changes_neither() -> None:
    it, clock = attendance()
    it.enter("s", "a", "c1", Role.VIEWER)
    written_before = beat("a", "s", c1=("s", Role.VIEWER))
    it.beat(written_before)
    it.enter("s", "a", "c2", Role.PLAYER)
    it.leave("a", "c1")
    it.beat(written_before)
    assert it.has_player("s") and it.viewers("s") == 0
    clock.now += LEASE_S
    it.beat(beat("a", "s", c2=("s", Role.PLAYER)))
    clock.now += 0.1
    it.beat(beat("a", "s"))
    assert not it.has_player("s")


def test_a_guest_that_no_beat_ever_tells_of_is_gone_after_a_lease() -> None:
    it, clock = attendance()
    it.enter("s", "a", "c1", Role.PLAYER)
    clock.now += LEASE_S + 0.1
    it.beat(beat("a", "s"))
    assert not it.has_player("s") and it.home("s") == "a"


@given(st.lists(st.tuples(st.sampled_from(["come", "seated", "go", "gone", "write", "arrive"]), st.integers(0, 9))))
def test_in_any_order_of_messages_the_directory_knows_who_has_come_and_not_gone(steps: list[tuple[str, int]]) -> None:
    it, _ = attendance()
    came: set[str] = set()
    going: set[str] = set()
    gone: set[str] = set()
    seated: dict[str, tuple[str, Role]] = {}
    """As the gateway has it, which hears later that somebody was let in, and says later that somebody has gone."""
    under_way: list[GatewayBeat] = []
    for step, number in steps:
        connection = f"c{number}"
        if step == "come" and connection not in came:
            it.enter("s", "a", connection, Role.VIEWER)
            came.add(connection)
        elif step == "seated" and connection in came - going:
            seated[connection] = ("s", Role.VIEWER)
        elif step == "go" and connection in seated:
            del seated[connection]
            going.add(connection)
        elif step == "gone" and connection in going - gone:
            it.leave("a", connection)
            gone.add(connection)
        elif step == "write":
            under_way.append(beat("a", "s", **seated))
        elif step == "arrive" and under_way:
            it.beat(under_way.pop(0))
        assert len(came - going) <= it.viewers("s") <= len(came - gone)


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["enter", "leave", "beat", "restart", "wait"]), st.sampled_from("ab"), st.integers(0, 3)
        ),
        max_size=40,
    )
)
def test_a_session_has_at_most_one_home_and_it_lives(steps: list[tuple[str, str, int]]) -> None:
    it, clock = attendance()
    homes: dict[str, set[str]] = {"a": set(), "b": set()}
    """What each gateway believes."""
    for step, gateway, number in steps:
        session = f"s{number % 2}"
        if step == "enter":
            home = it.enter(session, gateway, f"c{number}", Role.VIEWER)
            homes[home].add(session)
        elif step == "leave":
            it.leave(gateway, f"c{number}")
        elif step == "beat":
            homes[gateway] -= set(it.beat(beat(gateway, *sorted(homes[gateway]))))
            assert all(it.home(mine) == gateway for mine in homes[gateway])
        elif step == "restart":
            it.started(gateway)
            homes[gateway].clear()
        else:
            clock.now += number
        for one in ("s0", "s1"):
            assert it.home(one) is None or one in homes[it.home(one) or ""]


def test_a_ticket_works_once_and_not_from_before_the_directory() -> None:
    clock = Clock()
    used = UsedTickets(clock=clock)
    used.use("t", clock.now)
    with pytest.raises(NotAuthorized):
        used.use("t", clock.now)
    used.use("u", clock.now + 1)
    with pytest.raises(NotAuthorized):
        used.use("v", clock.now - 1)
    clock.now += MAX_TICKET_S - 1
    with pytest.raises(NotAuthorized):
        used.use("t", 100.0)
