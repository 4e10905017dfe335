"""Quality rungs of a session's video, and what gateways and decoders tell each other of them. Values only."""

from __future__ import annotations

from dataclasses import dataclass

from .messages import Codec, FramePacket


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One encoding of a session's video. A decoder replica holds one encoder for each rung that is watched, and all who
    watch that rung get the same bytes."""

    codec: Codec
    width: int
    """Pixels, even."""
    height: int
    """Pixels, even."""
    kbit_per_s: int
    """What the encoder may spend at the world's frame rate, over half a second. What raw frames take is what it is."""


@dataclass(frozen=True, kw_only=True, slots=True)
class RungWish:
    """A rung that somebody watches, or is about to."""

    rung: Rung
    key_frame: bool = False
    """Whether its next piece has to begin with a key frame: somebody joins, has lost a frame or changes rungs."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class VideoPiece:
    """The frames of one piece of a chunk in one rung."""

    rung: Rung
    packets: tuple[FramePacket, ...]

    @property
    def begins_with_key_frame(self) -> bool:
        """Whether a client can change to this rung here."""
        return self.packets[0].key_frame
