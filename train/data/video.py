"""RGB frames to and from H.264 files and JPEG pictures."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from ...errors import InputError

Frames = npt.NDArray[np.uint8]

H264_CRF = "14"
"""Quality of stored video: visually lossless at small sizes."""
JPEG_QUALITY = 93


def encode_mp4(frames: Frames, frames_per_second: float) -> bytes:
    """An mp4 of frames (F, H, W, 3) with even H and W; the same frames give the same bytes."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=Fraction(frames_per_second).limit_denominator(1000))
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "yuv444p"
        # One thread, since the split into threads shows in the bytes.
        stream.options = {"crf": H264_CRF, "preset": "veryfast", "threads": "1"}
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def decode_video(source: bytes | Path, *, name: str = "", limit: int | None = None) -> Frames:
    """All frames, or the first `limit`, of a video as (F, H, W, 3) RGB.

    Raises InputError, naming the file, when it is no video or holds no frame.
    """
    label = name or str(source)[:80]
    frames: list[Frames] = []
    try:
        with av.open(io.BytesIO(source) if isinstance(source, bytes) else str(source), "r") as container:
            for frame in container.decode(video=0):
                frames.append(frame.to_ndarray(format="rgb24").astype(np.uint8, copy=False))
                if limit is not None and len(frames) >= limit:
                    break
    except (av.FFmpegError, IndexError) as error:
        raise InputError(
            f"{label} is no readable video: {error}", hint="encode it as H.264 mp4 and try again"
        ) from error
    if not frames:
        raise InputError(f"{label} holds no frame", hint="remove the file")
    return np.stack(frames)


def encode_jpeg(frame: Frames) -> bytes:
    """A JPEG of one frame (H, W, 3) without chroma subsampling."""
    buffer = io.BytesIO()
    Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def decode_jpeg(data: bytes, *, name: str) -> Frames:
    """One frame (H, W, 3). Raises InputError, naming the file, when it is no picture."""
    try:
        return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{name} is no readable picture: {error}", hint="write the shard again") from error


def fit(frames: Frames, height: int, width: int) -> Frames:
    """Frames (F, H, W, 3) scaled to height×width as they are; the model's camera is anisotropic anyway."""
    if frames.shape[1:3] == (height, width):
        return frames
    return np.stack([np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BOX)) for f in frames])
