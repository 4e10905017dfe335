"""Encoders, by decoding what they made."""

from __future__ import annotations

import io
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from worldloom.cluster.encoders import (
    BEST_JPEG,
    KEY_FRAME_S,
    WORST_JPEG,
    EncodedFrame,
    SessionEncoders,
    layout_for,
    make_encoder,
    next_quality,
)
from worldloom.cluster.h264 import codec_string
from worldloom.cluster.messages import Codec
from worldloom.cluster.pictures import Layout, Pictures
from worldloom.cluster.video import Rung, RungWish

RATE = 10.0
HEIGHT, WIDTH = 96, 160
PIECE = 8

Images = npt.NDArray[np.uint8]


def walk(frames: int, *, first: int = 0, height: int = HEIGHT, width: int = WIDTH) -> Images:
    """A soft picture that moves, RGB (frames, height, width, 3)."""
    y, x = np.mgrid[:height, :width]
    moments = np.arange(first, first + frames)[:, None, None]
    waves = [128 + 90 * np.sin((x + 2 * moments) / 17), 128 + 90 * np.sin(y / 11 - moments / 9), 60 + (x + y) / 3 % 90]
    return np.stack([np.broadcast_to(wave, (frames, height, width)) for wave in waves], -1).astype(np.uint8)


def rung(codec: Codec = Codec.H264, *, width: int = WIDTH, height: int = HEIGHT, kbit: int = 2000) -> Rung:
    return Rung(codec=codec, width=width, height=height, kbit_per_s=kbit)


def decoded(stream: list[EncodedFrame]) -> Images:
    """The frames of an H.264 stream, each shown as soon as its bytes are there."""
    context: Any = av.CodecContext.create("h264", "r")
    context.options = {"flags": "low_delay"}
    context.thread_count = 1
    pictures = []
    for frame in stream:
        pictures += context.decode(av.Packet(frame.data))
    return np.stack([picture.to_ndarray(format="rgb24", src_colorspace="ITU709") for picture in pictures])


def psnr(one: Images, other: Images) -> float:
    """Decibels."""
    error = np.mean((one.astype(float) - other.astype(float)) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def encode(
    frames: Images, at: Rung, *, keys_at: tuple[int, ...] = (), encoder: Any = None, size: int = PIECE
) -> list[EncodedFrame]:
    """All frames, in pieces; a key frame is asked for with the pieces of these numbers."""
    encoder = encoder or make_encoder(at, RATE)
    stream = []
    for number, first in enumerate(range(0, len(frames), size)):
        stream += encoder.encode(Pictures(frames[first : first + size]), key_frame=number in keys_at)
    return stream


def keys_of(stream: list[EncodedFrame]) -> list[int]:
    return [number for number, frame in enumerate(stream) if frame.key_frame]


def test_h264_shows_each_frame_at_once_and_well() -> None:
    frames = walk(3 * PIECE)
    stream = encode(frames, rung())
    shown = decoded(stream)
    assert len(stream) == len(shown) == len(frames)
    assert min(psnr(one, other) for one, other in zip(shown, frames, strict=True)) > 33
    assert sum(len(frame.data) for frame in stream) < frames.nbytes / 20


def test_key_frames_come_at_the_start_when_asked_for_and_from_time_to_time() -> None:
    interval = round(KEY_FRAME_S * RATE)
    stream = encode(walk(120), rung(), keys_at=(2,))
    assert keys_of(stream) == [0, 2 * PIECE, 2 * PIECE + interval, 2 * PIECE + 2 * interval]


def test_decoding_can_begin_at_any_key_frame() -> None:
    frames = walk(4 * PIECE)
    stream = encode(frames, rung(), keys_at=(3,))
    assert psnr(decoded(stream[3 * PIECE :]), frames[3 * PIECE :]) > 33


def test_the_stream_is_what_its_codec_string_says() -> None:
    for at in (rung(), rung(width=1280, height=704, kbit=9000)):
        data = encode(walk(1, width=at.width, height=at.height), at)[0].data
        start = data.index(b"\x00\x00\x01\x67") + 4
        assert codec_string(at, RATE) == f"avc1.{data[start : start + 3].hex()}"


def test_colours_are_those_that_the_stream_names() -> None:
    stream = encode(walk(1), rung())
    context: Any = av.CodecContext.create("h264", "r")
    (frame,) = context.decode(av.Packet(stream[0].data)) or context.decode(None)
    assert (frame.colorspace, frame.color_range) == (1, 1)


def test_h264_keeps_to_its_bit_rate() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (80, HEIGHT, WIDTH, 3), np.uint8)
    sizes = {kbit: sum(len(frame.data) for frame in encode(noise, rung(kbit=kbit))) for kbit in (300, 3000)}
    for kbit, size in sizes.items():
        assert size * 8 / 1000 / (80 / RATE) < 1.5 * kbit
    assert sizes[300] < sizes[3000] / 3


def test_smaller_rungs_are_smaller_pictures() -> None:
    frames = walk(PIECE)
    shown = decoded(encode(frames, rung(width=80, height=48)))
    assert shown.shape == (PIECE, 48, 80, 3)
    expected = np.stack([np.asarray(Image.fromarray(frame).resize((80, 48), Image.Resampling.BOX)) for frame in frames])
    assert psnr(shown, expected) > 30


def test_jpeg_files_show_the_frames_each_by_itself() -> None:
    frames = walk(PIECE)
    stream = encode(frames, rung(Codec.JPEG, kbit=50_000))
    shown = np.stack([np.asarray(Image.open(io.BytesIO(frame.data))) for frame in stream])
    assert keys_of(stream) == list(range(PIECE)) and psnr(shown, frames) > 33


def test_jpeg_files_shrink_to_their_bit_rate() -> None:
    noise = np.random.default_rng(3).integers(0, 256, (40, HEIGHT, WIDTH, 3), np.uint8)
    stream = encode(noise, rung(Codec.JPEG, kbit=800))
    assert len(stream[0].data) > 10_000 > len(stream[-1].data)


@given(st.integers(WORST_JPEG, BEST_JPEG), st.floats(0, 100))
def test_jpeg_quality_stays_within_bounds_and_falls_only_when_files_are_too_large(quality: int, fill: float) -> None:
    after = next_quality(quality, fill)
    assert WORST_JPEG <= after <= BEST_JPEG
    assert after <= quality if fill > 1 else after >= quality


def test_raw_frames_are_the_pixels() -> None:
    frames = walk(2)
    stream = encode(frames, rung(Codec.RAW_RGB))
    assert b"".join(frame.data for frame in stream) == frames.tobytes()


def wish(at: Rung, *, key_frame: bool = False) -> RungWish:
    return RungWish(rung=at, key_frame=key_frame)


def test_a_sessions_encoders_come_and_go_with_what_is_watched() -> None:
    encoders, small, files = SessionEncoders(RATE), rung(width=80, height=48), rung(Codec.JPEG)
    frames = [walk(PIECE, first=PIECE * number) for number in range(4)]
    first = encoders.encode(frames[0], [wish(rung())])
    both = encoders.encode(frames[1], [wish(rung()), wish(small), wish(files)])
    other = encoders.encode(frames[2], [wish(small, key_frame=True)])
    again = encoders.encode(frames[3], [wish(rung()), wish(small)])

    assert set(first) == {rung()} and set(both) == {rung(), small, files} and set(other) == {small}
    assert keys_of(first[rung()]) == [0] and keys_of(both[rung()]) == []
    assert keys_of(both[small]) == keys_of(other[small]) == [0] and keys_of(again[small]) == []
    # An encoder that nobody watched is gone: the next one begins anew.
    assert keys_of(again[rung()]) == [0]
    assert psnr(decoded(again[rung()]), frames[3]) > 33
    assert len(decoded([*both[small], *other[small], *again[small]])) == 3 * PIECE


def test_frames_in_planes_are_encoded_as_frames_in_rgb_are() -> None:
    frames = walk(PIECE)
    planes = np.stack([frame.to_ndarray() for frame in Pictures(frames).video(Layout.I420, WIDTH, HEIGHT)])
    assert planes.shape == (PIECE, HEIGHT * 3 // 2, WIDTH)
    for at in (rung(), rung(width=80, height=48)):
        assert encode(planes, at) == encode(frames, at)
    assert psnr(Pictures(planes).rgb(WIDTH, HEIGHT), frames) > 35


def test_planes_are_wanted_where_only_h264_is_watched() -> None:
    assert layout_for([wish(rung()), wish(rung(width=80))]) is Layout.I420
    assert layout_for([wish(rung()), wish(rung(Codec.JPEG))]) is Layout.RGB


@pytest.mark.parametrize("colour", [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255), (0, 0, 0)])
def test_planes_hold_colours_as_bt709_defines_them(colour: tuple[int, int, int]) -> None:
    frame = np.broadcast_to(np.array(colour, np.uint8), (1, 16, 16, 3))
    plane = Pictures(frame).video(Layout.I420, 16, 16)[0].to_ndarray()
    red, green, blue = (part / 255 for part in colour)
    luma = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    expected = (16 + 219 * luma, 128 + 224 * (blue - luma) / 1.8556, 128 + 224 * (red - luma) / 1.5748)
    seen = (plane[:16].mean(), plane[16:20].mean(), plane[20:].mean())
    assert seen == pytest.approx(expected, abs=1.5)
