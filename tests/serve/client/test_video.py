"""Decoders of the client."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from worldloom_client import CodecMissing, ProtocolError
from worldloom_client.protocol import session_pb2 as pb
from worldloom_client.video import VideoDecoder


def pictures(count: int) -> list[npt.NDArray[np.uint8]]:
    """A bright bar that moves over a smooth ground."""
    rows, columns = np.mgrid[0:64, 0:96]
    ground = np.stack([rows * 2, columns, np.full_like(rows, 90)], -1).astype(np.uint8)
    shown = []
    for number in range(count):
        picture = ground.copy()
        picture[:, 8 * number : 8 * number + 8] = 240
        shown.append(picture)
    return shown


def encode_h264(shown: list[npt.NDArray[np.uint8]]) -> list[bytes]:
    """One packet a picture, as the service makes them."""
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = 96, 64, "yuv420p"
    encoder.framerate, encoder.options = Fraction(16), {"preset": "ultrafast", "tune": "zerolatency", "crf": "10"}
    frames = [av.VideoFrame.from_ndarray(picture, format="rgb24") for picture in shown]
    return [b"".join(bytes(packet) for packet in encoder.encode(frame)) for frame in frames]


def encode_jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=95)
    return file.getvalue()


def test_each_h264_packet_gives_its_picture_at_once() -> None:
    decoder, shown = VideoDecoder(), pictures(6)
    for frame_id, (packet, picture) in enumerate(zip(encode_h264(shown), shown, strict=True)):
        frame = pb.Frame(frame_id=frame_id, codec=pb.CODEC_H264, data=packet, key_frame=frame_id == 0)
        assert np.abs(decoder.decode(frame, 96, 64).astype(int) - picture).mean() < 6


def test_each_jpeg_gives_its_picture_and_codecs_may_change() -> None:
    decoder, shown = VideoDecoder(), pictures(3)
    for picture in shown:
        frame = pb.Frame(codec=pb.CODEC_JPEG, data=encode_jpeg(picture))
        assert np.abs(decoder.decode(frame, 96, 64).astype(int) - picture).mean() < 4
    raw = pb.Frame(codec=pb.CODEC_RAW_RGB, data=shown[0].tobytes())
    assert np.array_equal(decoder.decode(raw, 96, 64), shown[0])
    again = pb.Frame(codec=pb.CODEC_H264, data=encode_h264(shown)[0], key_frame=True)
    assert decoder.decode(again, 96, 64).shape == (64, 96, 3)


@pytest.mark.parametrize("codec", [pb.CODEC_JPEG, pb.CODEC_H264, pb.CODEC_RAW_RGB])
def test_damaged_data_are_one_clear_error(codec: pb.Codec) -> None:
    with pytest.raises(ProtocolError, match="frame 7"):
        VideoDecoder().decode(pb.Frame(frame_id=7, codec=codec, data=b"\x00\x01\x02" * 50), 96, 64)


def test_a_codec_of_the_future_is_refused() -> None:
    with pytest.raises(CodecMissing, match="codec 0"):
        VideoDecoder().decode(pb.Frame(), 96, 64)
