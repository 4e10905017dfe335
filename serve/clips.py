"""Video clips and contact sheets of a world, with the pressed keys drawn in."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..errors import ConfigError
from ..model.poses import Float32, integrate_poses
from .actions import Actions, Held
from .overlay import Frame, describe, draw_keys, key_strip

LEGIBLE_HEIGHT = 360
"""Smaller frames are enlarged by a whole factor until at least this high, so that keys can be read."""
_RATE_DENOMINATOR = 1000


class ClipWriter:
    """Writes frames to an H.264 mp4 as they come. The file is whole once closed, also when fewer frames came."""

    def __init__(self, path: str | Path, *, width: int, height: int, frame_rate: float) -> None:
        """Raises ConfigError when the file cannot be made."""
        self.path = Path(path)
        self.frames = 0
        self._size = (height, width)
        self._scale = math.ceil(LEGIBLE_HEIGHT / height)
        self._container = _open_mp4(self.path)
        self._stream = self._container.add_stream(
            "libx264", rate=Fraction(frame_rate).limit_denominator(_RATE_DENOMINATOR)
        )
        # 4:2:0 video has even sides.
        self._stream.width = width * self._scale // 2 * 2
        self._stream.height = height * self._scale // 2 * 2
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = {"crf": "18", "preset": "veryfast"}

    def write(self, frame: Frame, held: Held | None = None) -> None:
        """Append an RGB frame (H, W, 3); with `held`, the keys are drawn on it."""
        assert frame.shape == (*self._size, 3), f"a frame of {frame.shape} in a clip of {self._size}"
        picture = enlarge(frame, self._scale)
        if held is not None:
            picture = draw_keys(picture, held)
        picture = np.ascontiguousarray(picture[: self._stream.height, : self._stream.width])
        self._container.mux(self._stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        self.frames += 1

    def close(self) -> None:
        """Finish the file; without frames, remove it."""
        if self._container is None:
            return
        if self.frames:
            self._container.mux(self._stream.encode(None))
        self._container.close()
        self._container = None
        if not self.frames:
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def enlarge(frame: Frame, scale: int) -> Frame:
    """The frame (H, W, 3) at `scale` times its size, smoothly but crisp (Lanczos)."""
    if scale == 1:
        return frame
    size = (frame.shape[1] * scale, frame.shape[0] * scale)
    return np.asarray(Image.fromarray(frame).resize(size, Image.Resampling.LANCZOS))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tile:
    """One picture of a contact sheet."""

    frame: Frame
    """(H, W, 3) RGB."""
    time_s: float
    chunk: int
    held: Held
    seen_at_s: float | None = None
    """When an earlier picture was taken from the same place, in the same direction."""


class ContactSheet:
    """A grid of evenly spaced frames of a clip, each with its time, chunk and keys, and when it was there before."""

    def __init__(self, actions: Actions, *, frame_rate: float, title: str, tiles: int = 24) -> None:
        """For a clip of which each frame has a row of `actions`."""
        self.title = title
        self._frame_rate = frame_rate
        wanted = np.linspace(0, max(0, len(actions) - 1), tiles).round().astype(int)
        self._seen_at = places_seen(actions, np.unique(wanted).tolist())
        self._tiles: list[Tile] = []

    def add(self, index: int, frame: Frame, chunk: int, held: Held) -> None:
        """Offer frame number `index` of the clip; only the evenly spaced ones are kept."""
        if index in self._seen_at:
            earlier = self._seen_at[index]
            seen_at_s = None if earlier is None else earlier / self._frame_rate
            time_s = index / self._frame_rate
            self._tiles.append(Tile(frame=frame.copy(), time_s=time_s, chunk=chunk, held=held, seen_at_s=seen_at_s))

    def save(self, path: str | Path) -> None:
        """Write the sheet as PNG. Raises ConfigError when the file cannot be made."""
        picture = draw_sheet(self._tiles, title=self.title)
        _make_folder(Path(path))
        try:
            picture.save(path, format="PNG")
        except OSError as error:
            raise _cannot_write(Path(path), error) from error


def places_seen(actions: Actions, frames: Sequence[int]) -> dict[int, int | None]:
    """For each of the frames, in rising order, the first of them that looks from the same place in the same direction
    after the camera has moved in between; None where there is none."""
    poses = integrate_poses(actions.keyboard, actions.mouse)
    moved_at = np.flatnonzero(np.abs(np.diff(poses, axis=0)).max(axis=1, initial=0) > _SAME_POSE)
    seen: dict[int, int | None] = {}
    for at in frames:
        same = [before for before in seen if _apart(poses[at], poses[before]) < _SAME_POSE]
        has_moved = bool(same) and bool(((moved_at >= same[0]) & (moved_at < at)).any())
        seen[at] = same[0] if has_moved else None
    return seen


def _apart(pose: Float32, other: Float32) -> float:
    """The largest difference in any number of two poses; full turns of the yaw do not count."""
    difference = np.abs(pose - other)
    difference[4] = abs((pose[4] - other[4] + 180) % 360 - 180)
    return float(difference.max())


_SAME_POSE = 0.5
"""Units (of a centimetre) and degrees that rounding may part equal poses."""
_MARGIN = 16
_CAPTION = 40
_TITLE = 52
_BACKGROUND = (15, 17, 23)
_INK = (226, 230, 240)
_FAINT = (140, 148, 166)
_ACCENT = (255, 196, 87)


def draw_sheet(tiles: list[Tile], *, title: str, columns: int = 6, tile_width: int = 288) -> Image.Image:
    """The tiles in reading order under a title, `columns` a row."""
    columns = max(1, min(columns, len(tiles)))
    rows = math.ceil(len(tiles) / columns)
    tile_height = max((round(tile.frame.shape[0] * tile_width / tile.frame.shape[1]) for tile in tiles), default=0)
    cell_width, cell_height = tile_width + _MARGIN, tile_height + _CAPTION + _MARGIN // 2
    sheet = Image.new("RGB", (columns * cell_width + _MARGIN, rows * cell_height + _TITLE + _MARGIN), _BACKGROUND)
    ImageDraw.Draw(sheet).text((_MARGIN, _TITLE / 2), title, fill=_INK, font=ImageFont.load_default(19), anchor="lm")
    for number, tile in enumerate(tiles):
        row, column = divmod(number, columns)
        left, top = _MARGIN + column * cell_width, _TITLE + row * cell_height
        picture = Image.fromarray(tile.frame).resize((tile_width, tile_height), Image.Resampling.LANCZOS)
        sheet.paste(picture, (left, top))
        _draw_caption(sheet, tile, left, top + tile_height, tile_width)
    return sheet


def _draw_caption(sheet: Image.Image, tile: Tile, left: int, top: int, width: int) -> None:
    draw = ImageDraw.Draw(sheet)
    where = f"{tile.time_s:.1f} s   chunk {tile.chunk}"
    draw.text((left, top + 6), where, fill=_INK, font=ImageFont.load_default(13))
    if tile.seen_at_s is not None:
        label, font = f"back at the place of {tile.seen_at_s:.1f} s", ImageFont.load_default(13)
        corner = (left + 6, top - 6)
        draw.rectangle(draw.textbbox(corner, f" {label} ", font=font, anchor="lb"), fill=_BACKGROUND)
        draw.text(corner, f" {label}", fill=_ACCENT, font=font, anchor="lb")
    draw.text((left, top + 22), describe(tile.held), fill=_FAINT, font=ImageFont.load_default(11))
    strip = key_strip(tile.held, cap=14)
    sheet.paste(strip, (left + width - strip.width, top + 5), strip)


def write_file(path: Path, content: bytes) -> None:
    """Write a file, in a folder that is made where there is none. Raises ConfigError when it cannot be made."""
    _make_folder(path)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _open_mp4(path: Path) -> Any:
    # PyAV opens the file with the first packet; a place that cannot be written is to be known before any work.
    write_file(path, b"")
    return av.open(str(path), "w", format="mp4", options={"movflags": "faststart"})


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: Exception) -> ConfigError:
    return ConfigError(f"cannot write {path}: {error}", hint="Choose another place for the output.")
