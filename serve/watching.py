"""Which rung of a session's video one client gets."""

from __future__ import annotations

from collections.abc import Iterable

from ..cluster.messages import FramePacket
from ..cluster.video import Rung, RungWish, VideoPiece


class Watching:
    """A client changes rungs only at a key frame, and gets nothing before its first one."""

    def __init__(self, rung: Rung) -> None:
        self.wanted = rung
        """The rung that is best now; set it, and the stream follows at the next piece."""
        self.sent: Rung | None = None
        """The rung of the last frames. None: a key frame is waited for, as after `lost`."""

    def lost(self) -> None:
        """The client has missed a frame: the next one it gets is a key frame."""
        self.sent = None

    def wishes(self) -> tuple[RungWish, ...]:
        """What the decoder has to encode for this client."""
        if self.wanted == self.sent:
            return (RungWish(rung=self.wanted),)
        new = RungWish(rung=self.wanted, key_frame=True)
        return (new,) if self.sent is None else (RungWish(rung=self.sent), new)

    def take(self, pieces: Iterable[VideoPiece]) -> tuple[Rung | None, tuple[FramePacket, ...]]:
        """Of one piece in all its rungs, the packets for this client; and their rung, if the client has to be told of
        another VideoFormat before."""
        by_rung = {piece.rung: piece for piece in pieces}
        best = by_rung.get(self.wanted)
        is_new = self.sent != self.wanted and best is not None and best.begins_with_key_frame
        if is_new:
            self.sent = self.wanted
        mine = None if self.sent is None else by_rung.get(self.sent)
        if mine is None:
            self.lost()
            return None, ()
        return (self.wanted if is_new else None), mine.packets


def merged(wishes: Iterable[RungWish]) -> tuple[RungWish, ...]:
    """Each rung once, with a key frame if anybody waits for one."""
    found: dict[Rung, bool] = {}
    for wish in wishes:
        found[wish.rung] = found.get(wish.rung, False) or wish.key_frame
    return tuple(RungWish(rung=rung, key_frame=key_frame) for rung, key_frame in found.items())
