"""Which frames a client gets while rungs come and go."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.messages import Codec, FramePacket
from worldloom.cluster.video import Rung, RungWish, VideoPiece
from worldloom.serve.watching import Watching, merged

RUNGS = [Rung(codec=Codec.H264, width=64, height=64, kbit_per_s=kbit) for kbit in (3000, 2000, 1000)]
BEST, MIDDLE, _ = RUNGS
SIZE = 4


def packet(frame_id: int, *, is_key: bool) -> FramePacket:
    return FramePacket(
        frame_id=frame_id,
        branch=0,
        chunk=0,
        frame=frame_id,
        data=b"",
        client_time_us=0,
        keys=(False,) * 4,
        camera_pitch=0,
        camera_yaw=0,
        pose=(0,) * 5,
        codec=Codec.H264,
        key_frame=is_key,
    )


class Decoder:
    """Makes what is wished for, as a decoder replica does: a rung that is new begins with a key frame."""

    def __init__(self) -> None:
        self.next_frame_id = 0
        self._before: set[Rung] = set()

    def piece(self, wishes: tuple[RungWish, ...]) -> tuple[VideoPiece, ...]:
        first, self.next_frame_id = self.next_frame_id, self.next_frame_id + SIZE
        pieces = []
        for wish in wishes:
            is_key = wish.key_frame or wish.rung not in self._before
            frames = [packet(frame, is_key=is_key and frame == first) for frame in range(first, first + SIZE)]
            pieces.append(VideoPiece(rung=wish.rung, packets=tuple(frames)))
        self._before = {wish.rung for wish in wishes}
        return tuple(pieces)


def test_a_client_begins_with_a_key_frame_and_is_told_its_format() -> None:
    decoder, client = Decoder(), Watching(BEST)
    others = decoder.piece((RungWish(rung=BEST),))
    assert client.take(others[:0]) == (None, ())
    assert client.wishes() == (RungWish(rung=BEST, key_frame=True),)
    rung, packets = client.take(decoder.piece(client.wishes()))
    assert rung == BEST and packets[0].key_frame and len(packets) == SIZE
    assert client.wishes() == (RungWish(rung=BEST),)


def test_a_client_that_joins_waits_for_the_key_frame() -> None:
    decoder, first, second = Decoder(), Watching(BEST), Watching(BEST)
    first.take(decoder.piece(first.wishes()))
    under_way = decoder.piece(first.wishes())
    assert second.take(under_way) == (None, ())
    wishes = merged([*first.wishes(), *second.wishes()])
    assert wishes == (RungWish(rung=BEST, key_frame=True),)
    joined = decoder.piece(wishes)
    assert second.take(joined)[1] == first.take(joined)[1]


def test_the_old_rung_goes_on_until_the_new_one_begins() -> None:
    decoder, client = Decoder(), Watching(BEST)
    client.take(decoder.piece(client.wishes()))
    under_way = decoder.piece(client.wishes())
    client.wanted = MIDDLE
    assert client.take(under_way)[0] is None and client.sent == BEST
    rung, packets = client.take(decoder.piece(client.wishes()))
    assert rung == MIDDLE and packets[0].key_frame
    assert client.wishes() == (RungWish(rung=MIDDLE),)


def test_after_a_lost_frame_the_next_one_is_a_key_frame() -> None:
    decoder, client = Decoder(), Watching(BEST)
    client.take(decoder.piece(client.wishes()))
    under_way = decoder.piece(client.wishes())
    client.lost()
    assert client.take(under_way) == (None, ())
    assert client.take(decoder.piece(client.wishes()))[1][0].key_frame


@given(st.lists(st.tuples(st.sampled_from(RUNGS), st.booleans()), min_size=1, max_size=20))
def test_whatever_is_wanted_the_frames_are_in_one_piece_and_can_be_decoded(wanted: list[tuple[Rung, bool]]) -> None:
    decoder, client = Decoder(), Watching(BEST)
    shown: Rung | None = None
    expected = None
    for rung, has_lost in wanted:
        client.wanted = rung
        if has_lost:
            client.lost()
            shown = expected = None
        told, packets = client.take(decoder.piece(client.wishes()))
        assert packets, "the decoder has made what was wished for"
        assert expected in (None, packets[0].frame_id)
        if told is not None or shown is None:
            assert told == rung and packets[0].key_frame
            shown = told
        expected = packets[-1].frame_id + 1
    assert shown == client.sent
