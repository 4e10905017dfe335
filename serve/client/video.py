"""Encoded frames to pictures. JPEG and H.264 need PyAV, the extra `video`; raw frames need nothing."""

from __future__ import annotations

import importlib.util
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import CodecMissing, ProtocolError
from .protocol import session_pb2 as pb

Image = npt.NDArray[np.uint8]
CODECS = {"jpeg": pb.CODEC_JPEG, "h264": pb.CODEC_H264, "raw": pb.CODEC_RAW_RGB}
CODEC_NAMES = {codec: name for name, codec in CODECS.items()}
_NAMES = {pb.CODEC_JPEG: "mjpeg", pb.CODEC_H264: "h264"}


def has_video() -> bool:
    """Whether JPEG and H.264 can be decoded here."""
    return importlib.util.find_spec("av") is not None


class VideoDecoder:
    """Decodes one stream. Frames have to come in their order, from a key frame on."""

    def __init__(self) -> None:
        self._codec: Any = None
        self._context: Any = None

    def decode(self, frame: pb.Frame, width: int, height: int) -> Image:
        """The picture as RGB (H, W, 3); `width` and `height` are those of a raw frame.

        Raises CodecMissing, or ProtocolError for data that are none of the codec.
        """
        if frame.codec == pb.CODEC_RAW_RGB:
            if len(frame.data) != height * width * 3:
                raise _damaged(frame, f"{len(frame.data)} bytes for {height} × {width} pixels")
            return np.frombuffer(frame.data, np.uint8).reshape(height, width, 3)
        if frame.codec not in _NAMES:
            raise CodecMissing(f"frame {frame.frame_id} has codec {frame.codec}", hint="Install the service's release.")
        return self._decode(frame)

    def _decode(self, frame: pb.Frame) -> Image:
        if not has_video():
            raise CodecMissing(
                f"frame {frame.frame_id} is {_NAMES[frame.codec].upper()}, and PyAV is not installed",
                hint="Install worldloom-client[video], or ask for raw frames.",
            )
        # Half a second to import, and no need of it for raw frames.
        import av

        if self._codec != frame.codec:
            self._codec, self._context = frame.codec, av.CodecContext.create(_NAMES[frame.codec], "r")
            # One thread and no reordering: each packet gives its picture at once.
            self._context.thread_count = 1
            self._context.flags |= av.codec.context.Flags.low_delay
        try:
            pictures = self._context.decode(av.Packet(frame.data))
        except av.FFmpegError as error:
            raise _damaged(frame, str(error)) from error
        if not pictures:
            raise _damaged(frame, "no picture")
        image: Image = pictures[-1].to_ndarray(format="rgb24")
        return image


def _damaged(frame: pb.Frame, what: str) -> ProtocolError:
    return ProtocolError(f"frame {frame.frame_id} does not decode: {what}", hint="Tell the service's operator.")
