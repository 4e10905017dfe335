"""Frames as a client gets them."""

from __future__ import annotations

import io
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...errors import MessageInvalid
from ..actions import Held
from ..protocol.generated import session_pb2 as pb


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldFrame:
    """One decoded frame of a world."""

    frame_id: int
    branch: int
    chunk: int
    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB."""
    held: Held
    """What the world was told for this frame."""
    received_s: float
    """When it came, on this process's monotonic clock."""
    latency_s: float | None
    """From sending the newest event to this frame, on the first frame that the event shaped."""
    stages_ms: dict[str, float]
    """Milliseconds of the stages behind this piece of a chunk, on its first frame; else empty."""


def decode_image(frame: pb.Frame, width: int, height: int) -> npt.NDArray[np.uint8]:
    """The picture in a frame as RGB (H, W, 3). Raises MessageInvalid on another codec than JPEG and raw."""
    if frame.codec == pb.CODEC_RAW_RGB:
        return np.frombuffer(frame.data, np.uint8).reshape(height, width, 3)
    if frame.codec != pb.CODEC_JPEG:
        raise MessageInvalid(f"frame {frame.frame_id} has codec {frame.codec}", hint="Install the service's release.")
    with Image.open(io.BytesIO(frame.data)) as image:
        return np.asarray(image.convert("RGB"))


def held_from(action: pb.ActionFrame) -> Held:
    """The frame's action as this package writes it."""
    return Held(
        forward=action.forward,
        back=action.back,
        left=action.left,
        right=action.right,
        camera_pitch=action.camera_pitch,
        camera_yaw=action.camera_yaw,
    )


def stages_from(stages: pb.StageTimes) -> dict[str, float]:
    """Stage times in the order in which they happen, denoising steps as 'step 1', 'step 2', …"""
    steps = {f"step {number}": value for number, value in enumerate(stages.step_ms, start=1)}
    return {
        "queue": stages.queue_ms,
        "plan": stages.plan_ms,
        "retrieve": stages.retrieve_ms,
        **steps,
        "commit": stages.commit_ms,
        "decode": stages.decode_ms,
        "encode": stages.encode_ms,
    }
