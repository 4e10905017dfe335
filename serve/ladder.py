"""The rungs of a stream, best first, within what its client asks for."""

from __future__ import annotations

from collections.abc import Sequence

from ..cluster.messages import Codec
from ..cluster.video import Rung
from ..errors import MessageInvalid
from ..model.preset import VideoConfig

STEPS = ((1.0, 1.0), (1.0, 0.5), (0.75, 0.5), (0.5, 0.5), (0.5, 0.25))
"""(scale of the sides, share of the best quality's bits for each pixel)."""
BITS_PER_PIXEL = {Codec.H264: 0.25, Codec.JPEG: 2.5}
LEAST_KBIT_PER_S = {Codec.H264: 600, Codec.JPEG: 4000}
"""Of the best rung: small pictures take more bits for each pixel."""
SMALLEST_SIDE = 64
"""Pixels: pictures are not scaled below it."""
BITS_OF_RAW = 24


def ladder(
    video: VideoConfig, codec: Codec, *, max_width: int = 0, max_height: int = 0, max_kbit_per_s: int = 0
) -> tuple[Rung, ...]:
    """At least one rung, with falling bit rates, in the world's shape. A limit of 0 is none. A bit rate below that of
    the last rung is given to that one. Raw video has one rung, which only its size can make smaller."""
    fit = min(1.0, (max_width or video.width) / video.width, (max_height or video.height) / video.height)
    if codec is Codec.RAW_RGB:
        width, height = _scaled(video, fit)
        return (Rung(codec=codec, width=width, height=height, kbit_per_s=_kbit(video, width, height, BITS_OF_RAW)),)
    rungs: list[Rung] = []
    for scale, share in STEPS:
        width, height = _scaled(video, fit * scale)
        least = LEAST_KBIT_PER_S[codec] * scale * scale * share
        kbit = max(_kbit(video, width, height, BITS_PER_PIXEL[codec] * share), round(least))
        if scale < 1.0 and min(width, height) < SMALLEST_SIDE:
            continue
        if not rungs or kbit < rungs[-1].kbit_per_s:
            rungs.append(Rung(codec=codec, width=width, height=height, kbit_per_s=kbit))
    return _limited(rungs, max_kbit_per_s)


def choose_codec(asked: Sequence[Codec | None]) -> Codec:
    """The first codec that is known; JPEG where none is asked for. Raises MessageInvalid when none is known."""
    if not asked:
        return Codec.JPEG
    known = [codec for codec in asked if codec is not None]
    if not known:
        raise MessageInvalid("Hello asks for codecs that this service does not have", hint="It has H264, JPEG and RAW.")
    return known[0]


def _scaled(video: VideoConfig, scale: float) -> tuple[int, int]:
    return _even(video.width * scale), _even(video.height * scale)


def _even(pixels: float) -> int:
    # Colour has half the resolution.
    return max(2, int(pixels / 2) * 2)


def _kbit(video: VideoConfig, width: int, height: int, bits_per_pixel: float) -> int:
    return round(width * height * video.frame_rate * bits_per_pixel / 1000)


def _limited(rungs: list[Rung], max_kbit_per_s: int) -> tuple[Rung, ...]:
    if not max_kbit_per_s:
        return tuple(rungs)
    fitting = [rung for rung in rungs if rung.kbit_per_s <= max_kbit_per_s]
    if fitting:
        return tuple(fitting)
    last = rungs[-1]
    return (Rung(codec=last.codec, width=last.width, height=last.height, kbit_per_s=max_kbit_per_s),)
