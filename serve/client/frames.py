"""Frames as a caller gets them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .controls import Held, Pose
from .protocol import session_pb2 as pb


@dataclass(frozen=True, kw_only=True, slots=True)
class WorldFrame:
    """One decoded frame of a world."""

    frame_id: int
    branch: int
    chunk: int
    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB."""
    codec: str
    """As it came: 'jpeg', 'h264' or 'raw'."""
    held: Held
    """What the world was told for this frame."""
    pose: Pose
    """Where it is seen from."""
    received_s: float
    """When it came, on this process's monotonic clock."""
    latency_s: float | None
    """From sending the newest event to this frame, on the first frame that the event shaped."""
    stages_ms: dict[str, float]
    """Milliseconds of the stages behind this piece of a chunk, on its first frame; else empty."""


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
