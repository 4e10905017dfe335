"""Encoders of one session's video, one for each rung that is watched: H.264, JPEG, raw."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from PIL import Image

from .h264 import level_of
from .messages import Codec
from .pictures import Frames, Layout, Pictures
from .video import Rung, RungWish

KEY_FRAME_S = 4.0
"""Of video between two key frames that nobody has asked for."""
BUFFER_S = 0.5
"""How much of the bit rate's time a burst of large frames may use up."""
CONSTANT_QUALITY = 21
"""x264's rate factor: what takes fewer bits than the rung allows gets no better than this."""
BEST_JPEG, WORST_JPEG = 85, 25
BT709, LIMITED = 1, 1
"""As PyAV and the stream's own description name colours and their range."""


@dataclass(frozen=True, slots=True)
class EncodedFrame:
    """One frame's bytes."""

    data: bytes
    key_frame: bool = True
    """Whether a decoder can begin here."""


class Encoder(Protocol):
    """Follows one stream in one rung."""

    def encode(self, pictures: Pictures, *, key_frame: bool) -> list[EncodedFrame]:
        """All frames of a piece, the first one as a key frame if asked for."""
        ...


class SessionEncoders:
    """The encoders of one stream. They come and go with what is watched; call it from one thread at a time."""

    def __init__(self, frame_rate: float) -> None:
        self._frame_rate = frame_rate
        self._encoders: dict[Rung, Encoder] = {}

    def encode(self, frames: Frames, wishes: Iterable[RungWish]) -> dict[Rung, list[EncodedFrame]]:
        """One piece, laid out as `Layout` says, in all rungs wished for. A new encoder begins with a key frame."""
        pictures = Pictures(frames)
        wanted = {wish.rung: wish.key_frame for wish in wishes}
        self._encoders = {rung: self._encoders.get(rung) or make_encoder(rung, self._frame_rate) for rung in wanted}
        return {rung: self._encoders[rung].encode(pictures, key_frame=key_frame) for rung, key_frame in wanted.items()}


def make_encoder(rung: Rung, frame_rate: float) -> Encoder:
    """An encoder that has seen nothing yet."""
    match rung.codec:
        case Codec.H264:
            return H264Encoder(rung, frame_rate)
        case Codec.JPEG:
            return JpegEncoder(rung, frame_rate)
        case Codec.RAW_RGB:
            return RawEncoder(rung)


def layout_for(wishes: Iterable[RungWish]) -> Layout:
    """The layout that needs the least work for these rungs."""
    return Layout.I420 if all(wish.rung.codec is Codec.H264 for wish in wishes) else Layout.RGB


class H264Encoder:
    """Constrained baseline in Annex B, each frame at once, parameter sets before each key frame."""

    def __init__(self, rung: Rung, frame_rate: float) -> None:
        """Raises ConfigError when the stream is too large for H.264."""
        self._rung = rung
        self._interval = max(1, round(KEY_FRAME_S * frame_rate))
        self._since_key = self._interval
        self._count = 0
        self._context = _open_x264(rung, frame_rate)

    def encode(self, pictures: Pictures, *, key_frame: bool) -> list[EncodedFrame]:
        """See `Encoder.encode`."""
        if key_frame:
            self._since_key = self._interval
        frames = pictures.video(Layout.I420, self._rung.width, self._rung.height)
        return [self._encode_one(frame) for frame in frames]

    def _encode_one(self, frame: Any) -> EncodedFrame:
        from av.video.frame import PictureType

        is_key = self._since_key >= self._interval
        # Several encoders may share these frames: all that they need is set anew.
        frame.pts, frame.time_base = self._count, self._context.time_base
        frame.pict_type = PictureType.I if is_key else PictureType.P
        (packet,) = self._context.encode(frame)
        self._count += 1
        self._since_key = 1 if is_key else self._since_key + 1
        return EncodedFrame(bytes(packet), bool(packet.is_keyframe))


def _open_x264(rung: Rung, frame_rate: float) -> Any:
    import av

    context = av.CodecContext.create("libx264", "w")
    context.width, context.height, context.pix_fmt = rung.width, rung.height, Layout.I420.value
    context.framerate = Fraction(frame_rate).limit_denominator(1001)
    context.time_base = 1 / context.framerate
    context.thread_count = 1  # slices of threads cost bits, and other streams have use for the cores
    context.colorspace = context.color_primaries = context.color_trc = BT709
    context.color_range = LIMITED
    context.options = {
        "preset": "ultrafast",
        "tune": "zerolatency",
        "profile": "baseline",
        "level": f"{level_of(rung, frame_rate) / 10:.1f}",
        "crf": str(CONSTANT_QUALITY),
        "maxrate": f"{rung.kbit_per_s}k",
        "bufsize": f"{round(rung.kbit_per_s * BUFFER_S)}k",
        "g": str(1 << 30),  # key frames are where this file puts them
        "sc_threshold": "0",
        "forced-idr": "1",
    }
    context.open()
    return context


class JpegEncoder:
    """Each frame a file. The quality falls while files are larger than the rung allows."""

    def __init__(self, rung: Rung, frame_rate: float) -> None:
        self._rung = rung
        self._target_bytes = rung.kbit_per_s * 125 / frame_rate
        self._quality = BEST_JPEG

    def encode(self, pictures: Pictures, *, key_frame: bool) -> list[EncodedFrame]:
        """See `Encoder.encode`."""
        return [self._encode_one(frame) for frame in pictures.rgb(self._rung.width, self._rung.height)]

    def _encode_one(self, frame: Frames) -> EncodedFrame:
        file = io.BytesIO()
        Image.fromarray(frame).save(file, "JPEG", quality=self._quality)
        data = file.getvalue()
        self._quality = next_quality(self._quality, len(data) / self._target_bytes)
        return EncodedFrame(data)


def next_quality(quality: int, fill: float) -> int:
    """The quality of the next file, where the last one had `fill` times the bytes that it may have."""
    if fill > 1.0:
        return max(WORST_JPEG, quality - 6)
    return min(BEST_JPEG, quality + 2) if fill < 0.7 else quality


class RawEncoder:
    """The pixels."""

    def __init__(self, rung: Rung) -> None:
        self._rung = rung

    def encode(self, pictures: Pictures, *, key_frame: bool) -> list[EncodedFrame]:
        """See `Encoder.encode`."""
        return [EncodedFrame(frame.tobytes()) for frame in pictures.rgb(self._rung.width, self._rung.height)]
