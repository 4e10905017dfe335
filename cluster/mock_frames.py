"""Frames that carry what they show as a bar code, so that a test can read back which actions made them. NumPy only.

┌──────────────────────────┐
│ ▚▞▚▚▞▞▚ bar code ▚▞▞▚▞▚▞ │  FRAME record and trace, one bit a cell; survives JPEG and H.264
│──────── chunk bar ───────│  as long as the frame's number in its chunk
│   sky, striped by yaw    │
│──── horizon, by pitch ───│
│ ▣ ▢ ▢ ▣   floor          │  W S A D
└──────────────────────────┘
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..errors import ConfigError

FrameImage = npt.NDArray[np.uint8]

RECORD = np.dtype(
    [
        ("branch", "<u2"),
        ("chunk", "<u2"),
        ("frame", "u1"),
        ("keys", "u1"),
        ("mouse", "i1", 2),
        ("pose", "<i4", 4),
    ]
)
"""One frame's story: numbers, pressed keys as bits, mouse in hundredths, x, y, pitch and yaw in hundredths."""
_CODED_BYTES = RECORD.itemsize + 2
_CELL_SIZES = (8, 4, 2)
_BLACK, _WHITE = 16, 235
_KEY_COLORS = np.array([(232, 88, 74), (92, 188, 110), (86, 132, 240), (244, 196, 64)], np.uint8)
_CHUNK_COLORS = np.array([(210, 180, 255), (160, 230, 255), (255, 210, 160), (190, 255, 180)], np.uint8)
_STRIPE_DEGREES = 15.0
_FIELD_OF_VIEW_DEGREES = 90.0


@dataclass(frozen=True, kw_only=True, slots=True)
class MockFrame:
    """What a frame of the mock shows."""

    branch: int
    chunk: int
    frame: int
    """Within its chunk."""
    keys: tuple[bool, bool, bool, bool]
    """W, S, A, D."""
    mouse: tuple[float, float]
    """Pitch and yaw in units of 15 degrees, to a hundredth."""
    pose: tuple[float, float, float, float]
    """x, y, pitch and yaw, in units and degrees, to a hundredth."""
    trace: int
    """Checksum of the latents behind the frame, as far back as the decoder's reach."""


def draw_frame(record: np.void, trace: int, *, height: int, width: int) -> FrameImage:
    """An RGB frame (height, width, 3) for one RECORD. Raises ConfigError if the code does not fit into the frame."""
    coded = _draw_code(record.tobytes() + trace.to_bytes(2, "little"), height, width)
    picture = np.empty((height, width, 3), np.uint8)
    picture[: len(coded)] = coded[:, :, None]
    _draw_view(picture[len(coded) :], record)
    return picture


def read_frame(image: FrameImage) -> MockFrame:
    """What `draw_frame` drew, also after lossy coding."""
    height, width, _ = image.shape
    cell, rows, columns = _code_grid(height, width)
    gray = image[: rows * cell, : columns * cell].mean(axis=-1).reshape(rows, cell, columns, cell)
    bits = gray.mean(axis=(1, 3)).ravel() > (_BLACK + _WHITE) / 2
    coded = np.packbits(bits[: 8 * _CODED_BYTES]).tobytes()
    record = np.frombuffer(coded[: RECORD.itemsize], RECORD)[0]
    first, second, third, fourth = (bool(record["keys"] >> key & 1) for key in range(4))
    pitch, yaw = (int(value) / 100 for value in record["mouse"])
    x, y, pose_pitch, pose_yaw = (int(value) / 100 for value in record["pose"])
    return MockFrame(
        branch=int(record["branch"]),
        chunk=int(record["chunk"]),
        frame=int(record["frame"]),
        keys=(first, second, third, fourth),
        mouse=(pitch, yaw),
        pose=(x, y, pose_pitch, pose_yaw),
        trace=int.from_bytes(coded[RECORD.itemsize :], "little"),
    )


def _code_grid(height: int, width: int) -> tuple[int, int, int]:
    """(pixels a cell, rows, columns) of the bar code, at most three quarters of the frame."""
    for cell in _CELL_SIZES:
        columns = width // cell
        rows = -(-8 * _CODED_BYTES // columns) if columns else height
        if rows * cell <= height * 3 // 4:
            return cell, rows, columns
    raise ConfigError(f"a frame of {height}×{width} is too small for the mock", hint="Use at least 32×48 pixels.")


def _draw_code(coded: bytes, height: int, width: int) -> npt.NDArray[np.uint8]:
    cell, rows, columns = _code_grid(height, width)
    bits = np.zeros(rows * columns, np.uint8)
    bits[: 8 * _CODED_BYTES] = np.unpackbits(np.frombuffer(coded, np.uint8))
    cells = np.where(bits.reshape(rows, columns), _WHITE, _BLACK).astype(np.uint8)
    gray = np.full((rows * cell, width), _BLACK, np.uint8)
    gray[:, : columns * cell] = cells.repeat(cell, axis=0).repeat(cell, axis=1)
    return gray


def _draw_view(view: FrameImage, record: np.void) -> None:
    """Sky and floor seen at the record's pose, a bar for the place in the chunk, and a square for each key."""
    height, width, _ = view.shape
    pose: npt.NDArray[Any] = record["pose"] / 100.0
    horizon = int(np.clip(height * (0.5 - pose[2] / _FIELD_OF_VIEW_DEGREES), 0, height))
    heading = pose[3] + (np.arange(width) / width - 0.5) * _FIELD_OF_VIEW_DEGREES
    is_light = (np.floor(heading / _STRIPE_DEGREES) % 2).astype(bool)[:, None]
    view[:horizon] = np.where(is_light, (120, 160, 220), (90, 130, 200))
    view[horizon:] = np.where(is_light, (96, 88, 80), (76, 70, 64))
    bar = max(1, height // 16)
    view[:bar, : int(width * (int(record["frame"]) + 1) / 57)] = _CHUNK_COLORS[int(record["chunk"]) % 4]
    side = max(2, min(height // 4, width // 8))
    for key, color in enumerate(_KEY_COLORS):
        left = (side + side // 2) * key + side // 2
        is_pressed = record["keys"] >> key & 1
        view[height - side - bar : height - bar, left : left + side] = color if is_pressed else color // 4
