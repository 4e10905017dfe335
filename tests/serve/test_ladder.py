"""The rungs of a stream."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.cluster.h264 import codec_string
from worldloom.cluster.messages import Codec
from worldloom.cluster.video import Rung
from worldloom.errors import ConfigError, MessageInvalid
from worldloom.model.preset import VideoConfig, list_presets, load_preset
from worldloom.serve.ladder import choose_codec, ladder

WORLD = VideoConfig(height=704, width=1280, frame_rate=40)
LIMITS = st.one_of(st.just(0), st.integers(2, 4000))


@given(
    st.sampled_from(Codec),
    st.builds(
        VideoConfig,
        height=st.sampled_from([32, 128, 704]),
        width=st.sampled_from([64, 224, 1280]),
        frame_rate=st.floats(1, 240),
    ),
    LIMITS,
    LIMITS,
    LIMITS,
)
def test_rungs_fall_and_keep_to_the_limits(
    codec: Codec, video: VideoConfig, width: int, height: int, kbit: int
) -> None:
    rungs = ladder(video, codec, max_width=width, max_height=height, max_kbit_per_s=kbit)
    rates = [rung.kbit_per_s for rung in rungs]
    assert rungs and rates == sorted(set(rates), reverse=True)
    for rung in rungs:
        assert rung.codec is codec and rung.width % 2 == rung.height % 2 == 0
        assert rung.width <= min(video.width, width or video.width)
        assert rung.height <= min(video.height, height or video.height)
        assert codec is Codec.RAW_RGB or not kbit or rung.kbit_per_s <= kbit


def test_the_best_rung_has_the_worlds_size_and_the_last_one_is_cheap() -> None:
    rungs = ladder(WORLD, Codec.H264)
    assert (rungs[0].width, rungs[0].height) == (1280, 704)
    assert rungs[-1].width == 640 and rungs[-1].kbit_per_s < rungs[0].kbit_per_s / 8


def test_a_smaller_screen_gets_the_worlds_shape() -> None:
    best = ladder(WORLD, Codec.H264, max_width=640, max_height=640)[0]
    assert (best.width, best.height) == (640, 352)


def test_all_presets_have_h264() -> None:
    for name in list_presets():
        video = load_preset(name).video
        assert all(codec_string(rung, video.frame_rate).startswith("avc1.42c0") for rung in ladder(video, Codec.H264))


def test_a_stream_too_large_for_h264_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"16000×9000"):
        codec_string(Rung(codec=Codec.H264, width=16000, height=9000, kbit_per_s=1), 60)


def test_the_first_known_codec_is_taken_and_jpeg_where_none_is_asked_for() -> None:
    assert choose_codec([]) is Codec.JPEG
    assert choose_codec([None, Codec.H264, Codec.JPEG]) is Codec.H264
    with pytest.raises(MessageInvalid, match="codecs"):
        choose_codec([None])
