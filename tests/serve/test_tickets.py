"""Signed credentials: what was minted is read back, and what was not is refused."""

from __future__ import annotations

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.attendance import MAX_TICKET_S, Claim, Role
from worldloom.errors import InputError, NotAuthorized
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.tickets import TICKET_S, Tickets, check_origin, new_secret

SECRET = new_secret()
NOW = 1_000_000.5


class Clock:
    now = NOW

    def __call__(self) -> float:
        return self.now


def tickets() -> tuple[Tickets, Clock]:
    clock = Clock()
    return Tickets(SECRET, clock=clock), clock


@pytest.mark.parametrize("role", list(Role))
def test_a_ticket_says_what_it_was_minted_for_until_it_expires(role: Role) -> None:
    here, clock = tickets()
    minted = here.mint("s", role, valid_s=5, origins=("https://game.example",), max_kbit_per_s=900)
    assert minted.expires_at_s == int(NOW) + 5
    claim = here.read(pb.Hello(ticket=minted.ticket))
    assert (claim.session, claim.role, claim.max_kbit_per_s) == ("s", role, 900)
    assert claim.origins == ("https://game.example",) and claim.issued_at == NOW and not claim.token_hash
    assert claim.ticket != here.read(pb.Hello(ticket=here.mint("s", role).ticket)).ticket
    clock.now += 5
    with pytest.raises(NotAuthorized, match="expired"):
        here.read(pb.Hello(ticket=minted.ticket))


def test_a_ticket_is_valid_for_a_minute_and_never_for_long() -> None:
    here, _ = tickets()
    assert here.mint("s", Role.PLAYER).expires_at_s == int(NOW) + TICKET_S
    for valid_s in (MAX_TICKET_S + 1, -1):
        with pytest.raises(InputError):
            here.mint("s", Role.PLAYER, valid_s=valid_s)
    with pytest.raises(InputError):
        here.mint("s", Role.PLAYER, origins=("https://a.example",) * 17)


def test_a_resume_token_keeps_seat_and_limits_and_does_not_expire() -> None:
    here, clock = tickets()
    claim = Claim(role=Role.VIEWER, origins=("https://game.example",), max_kbit_per_s=7, ticket="t")
    token = here.resume_token(claim, "s", "seat")
    clock.now += 10**6
    again = here.read(pb.Hello(resume_token=token))
    assert again == Claim(role=Role.VIEWER, session="s", seat="seat", origins=claim.origins, max_kbit_per_s=7)


def test_credentials_of_another_kind_or_another_service_are_refused() -> None:
    here, _ = tickets()
    ticket, resume = here.mint("s", Role.PLAYER).ticket, here.resume_token(Claim(), "s", "seat")
    unsigned = jwt.encode({"kind": "ticket", "sub": "s", "role": "player"}, "", algorithm="none")
    strange = Tickets(new_secret()).mint("s", Role.PLAYER).ticket
    for hello in (
        pb.Hello(),
        pb.Hello(ticket=resume),
        pb.Hello(resume_token=ticket),
        pb.Hello(ticket=unsigned),
        pb.Hello(ticket=strange),
        pb.Hello(ticket=""),
    ):
        with pytest.raises(NotAuthorized):
            here.read(hello)


@given(st.integers(0, 400), st.characters(codec="ascii"))
def test_a_changed_ticket_is_refused_or_says_the_same(place: int, letter: str) -> None:
    here, _ = tickets()
    ticket = here.mint("s", Role.VIEWER, valid_s=60).ticket
    changed = ticket[: place % len(ticket)] + letter + ticket[place % len(ticket) + 1 :]
    try:
        claim = here.read(pb.Hello(ticket=changed))
    except NotAuthorized:
        return
    # The last letter of a signature has bits that mean nothing.
    assert (claim.session, claim.role) == ("s", Role.VIEWER)


@pytest.mark.parametrize(
    ("origin", "of_ticket", "allowed", "is_let_in"),
    [
        (None, (), (), True),
        ("https://a.example", (), (), True),
        ("https://a.example", (), ("https://a.example",), True),
        ("https://b.example", (), ("https://a.example",), False),
        (None, (), ("https://a.example",), True),
        ("https://a.example", ("https://a.example",), (), True),
        ("https://b.example", ("https://a.example",), (), False),
        (None, ("https://a.example",), (), False),
    ],
)
def test_pages_connect_from_where_they_may(
    origin: str | None, of_ticket: tuple[str, ...], allowed: tuple[str, ...], is_let_in: bool
) -> None:
    claim = Claim(origins=of_ticket)
    if is_let_in:
        check_origin(origin, claim=claim, allowed=allowed)
    else:
        with pytest.raises(NotAuthorized):
            check_origin(origin, claim=claim, allowed=allowed)
