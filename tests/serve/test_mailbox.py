"""What waits for a connection: in order, and bounded."""

from __future__ import annotations

import asyncio

from hypothesis import given
from hypothesis import strategies as st
from worldloom.serve.mailbox import MAX_MESSAGES, Mailbox, MailboxLimits, Outgoing, outgoing
from worldloom.serve.protocol.generated import session_pb2 as pb

LIMITS = MailboxLimits(frames=4, frame_bytes=100)


def frame(number: int, size: int = 1) -> Outgoing:
    return Outgoing(bytes(size), frame_id=number)


@given(st.lists(st.tuples(st.sampled_from(["frame", "other", "take", "drop"]), st.integers(1, 120)), max_size=60))
def test_frames_are_bounded_and_nothing_else_is_lost_or_out_of_order(steps: list[tuple[str, int]]) -> None:
    async def run() -> None:
        mailbox = Mailbox(LIMITS)
        expected: list[Outgoing] = []
        for number, (step, size) in enumerate(steps):
            waiting = [message for message in expected if message.frame_id is not None]
            if step == "frame":
                message = frame(number, size)
                fits = len(waiting) < LIMITS.frames and sum(len(one.data) for one in waiting) + size <= 100
                assert mailbox.put(message) == fits
                expected = [*expected, message] if fits else [one for one in expected if one.frame_id is None]
            elif step == "other":
                message = Outgoing(bytes(size))
                assert mailbox.put(message)
                expected.append(message)
            elif step == "drop":
                assert mailbox.drop_frames() == len(waiting)
                expected = [one for one in expected if one.frame_id is None]
            elif expected:
                taken = await mailbox.take(max_bytes=size)
                assert taken == expected[: len(taken)]
                assert len(taken) == 1 or sum(len(one.data) for one in taken) <= size
                del expected[: len(taken)]
            assert len(mailbox) == len(expected)

    asyncio.run(run())


def test_of_states_in_a_row_only_the_newest_waits() -> None:
    async def run() -> list[int]:
        mailbox = Mailbox(LIMITS)
        for step in (1, 2):
            mailbox.put(outgoing(pb.ServerMessage(status=pb.Status(step=step))))
        mailbox.put(outgoing(pb.ServerMessage(bye=pb.Bye())))
        mailbox.put(outgoing(pb.ServerMessage(status=pb.Status(step=3))))
        taken = await mailbox.take(max_bytes=1000)
        return [pb.ServerMessage.FromString(one.data).status.step for one in taken]

    assert asyncio.run(run()) == [2, 0, 3]


def test_who_waits_is_woken_by_a_message_and_by_the_end() -> None:
    async def run() -> None:
        mailbox = Mailbox(LIMITS)
        waiting = asyncio.ensure_future(mailbox.take())
        await asyncio.sleep(0)
        message = frame(1)
        mailbox.put(message)
        assert await waiting == [message]
        mailbox.put(message)
        mailbox.close()
        assert not mailbox.put(frame(2))
        assert await mailbox.take() == [message]
        assert await mailbox.take() == []

    asyncio.run(run())


def test_a_mailbox_that_nobody_reads_closes() -> None:
    mailbox = Mailbox(LIMITS)
    for _ in range(MAX_MESSAGES):
        mailbox.put(Outgoing(b"x"))
    assert not mailbox.is_overrun
    mailbox.put(Outgoing(b"x"))
    assert mailbox.is_overrun and len(mailbox) == MAX_MESSAGES
