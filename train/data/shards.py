"""Data sets on disk: tar shards in the WebDataset layout, written whole or not at all. SCHEMA.md describes them."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ...errors import ConfigError, InputError
from .sample import Sample
from .video import Frames, decode_jpeg, decode_video, encode_jpeg, encode_mp4

SCHEMA: Final = "worldloom-quadruplets-1"
MANIFEST: Final = "dataset.json"
FORMATS: Final = ("mp4", "jpeg")

OnBad = Callable[[str, str], None]
"""(name, reason) of a file that is skipped."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Manifest:
    """What a data set was made from: `dataset.json` beside its shards."""

    format: str
    """'mp4' or 'jpeg'."""
    shard_samples: int
    num_samples: int
    """Samples that were asked for; filters may have kept fewer."""
    recipe: Mapping[str, Any]
    """Everything that decides the content, fit for JSON."""

    @property
    def num_shards(self) -> int:
        return -(-self.num_samples // self.shard_samples)

    def to_json(self) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "format": self.format,
            "shard_samples": self.shard_samples,
            "num_samples": self.num_samples,
            "recipe": dict(self.recipe),
        }


def open_dataset(folder: Path, manifest: Manifest) -> list[int]:
    """Creates the folder or goes on with it; returns the shards that are still to be written.

    Raises ConfigError when the folder holds a data set of another recipe.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / MANIFEST
    wanted = json.loads(json.dumps(manifest.to_json()))
    if path.exists():
        found = _read_json(path)
        if found != wanted:
            different = sorted(key for key in wanted if found.get(key) != wanted[key])
            raise ConfigError(
                f"{folder} holds a data set that differs in: {', '.join(different)}",
                hint="choose another folder, or the same settings to go on where it stopped",
            )
    else:
        path.write_text(json.dumps(wanted, indent=1, sort_keys=True) + "\n")
    for half_written in folder.glob("*.tar.part"):
        half_written.unlink()
    return [index for index in range(manifest.num_shards) if not shard_path(folder, index).exists()]


def shard_path(folder: Path, index: int) -> Path:
    """Path of a shard."""
    return folder / f"shard-{index:06d}.tar"


def shard_paths(folder: Path) -> list[Path]:
    """All finished shards in order. Raises InputError when there are none."""
    found = sorted(folder.glob("shard-*.tar"))
    if not found:
        raise InputError(f"{folder} has no shard-*.tar", hint="give a folder that 'worldloom data' wrote")
    return found


def write_shard(path: Path, samples: Iterable[Sample], *, video_format: str) -> int:
    """Writes a shard under another name and renames it when it is complete; returns how many samples it holds.

    The same samples give the same bytes: entries have no times, owners or process ids.
    """
    part = path.with_suffix(".tar.part")
    count = 0
    with tarfile.open(part, "w", format=tarfile.USTAR_FORMAT) as tar:
        for sample in samples:
            for extension, data in _encode(sample, video_format):
                entry = tarfile.TarInfo(f"{sample.key}.{extension}")
                entry.size = len(data)
                tar.addfile(entry, io.BytesIO(data))
            count += 1
    part.rename(path)
    return count


def read_shard(path: Path, on_bad: OnBad) -> Iterator[Sample]:
    """Samples of a shard in order. Each damaged one is told to `on_bad` with its name, and skipped."""
    try:
        with tarfile.open(path, "r:") as tar:
            for key, files in _grouped(tar):
                name = f"{path.name}/{key}"
                try:
                    yield _decode(key, files)
                except (InputError, KeyError, ValueError, TypeError) as error:
                    on_bad(name, error.message if isinstance(error, InputError) else f"{type(error).__name__}: {error}")
    except (tarfile.TarError, OSError) as error:
        on_bad(path.name, f"no readable tar: {error}")


def read_dataset(folder: Path, on_bad: OnBad) -> Iterator[Sample]:
    """Samples of all shards in order; see `read_shard`."""
    for path in shard_paths(folder):
        yield from read_shard(path, on_bad)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no readable JSON: {error}", hint="remove it and write the data set again"
        ) from error
    if not isinstance(found, dict):
        raise InputError(f"{path} holds no JSON object", hint="remove it and write the data set again")
    return found


def _npy(array: npt.NDArray[Any]) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _encode(sample: Sample, video_format: str) -> Iterator[tuple[str, bytes]]:
    """(extension, bytes) of each file of a sample, small ones first."""
    meta = {
        "schema": SCHEMA,
        "source": sample.source,
        "frames": len(sample.frames),
        "height": sample.frames.shape[1],
        "width": sample.frames.shape[2],
        "frames_per_second": sample.frames_per_second,
        "intrinsics": [float(value) for value in sample.intrinsics],
        "meta": sample.meta,
    }
    yield "json", json.dumps(meta, sort_keys=True).encode()
    yield "prompts.json", json.dumps(list(sample.prompts)).encode()
    yield "poses.npy", _npy(sample.poses.astype(np.float32))
    yield "extrinsics.npy", _npy(sample.extrinsics.astype(np.float32))
    yield "actions.npy", _npy(np.concatenate([sample.keyboard, sample.mouse], -1).astype(np.float32))
    if video_format == "mp4":
        yield "mp4", encode_mp4(sample.frames, sample.frames_per_second)
    else:
        for index, frame in enumerate(sample.frames):
            yield f"{index:05d}.jpg", encode_jpeg(frame)


def _grouped(tar: tarfile.TarFile) -> Iterator[tuple[str, dict[str, bytes]]]:
    """Neighbouring files of one key, as WebDataset groups them: the key ends at the first dot."""
    key, files = "", dict[str, bytes]()
    for entry in tar:
        content = tar.extractfile(entry)
        if content is None:
            continue
        this, _, extension = entry.name.partition(".")
        if this != key and files:
            yield key, files
            files = {}
        key = this
        files[extension] = content.read()
    if files:
        yield key, files


def _decode(key: str, files: dict[str, bytes]) -> Sample:
    """Raises InputError, KeyError, TypeError or ValueError on a damaged sample."""
    missing = {"json", "prompts.json", "poses.npy", "extrinsics.npy", "actions.npy"} - files.keys()
    if missing:
        raise InputError(f"sample {key} lacks {', '.join(sorted(missing))}")
    meta = json.loads(files["json"])
    if meta.get("schema") != SCHEMA:
        raise InputError(f"sample {key} has schema {meta.get('schema')!r}, not {SCHEMA}")
    arrays = {
        name: np.load(io.BytesIO(files[f"{name}.npy"]), allow_pickle=False)
        for name in ("poses", "extrinsics", "actions")
    }
    frames = _decode_frames(key, files)
    if len(frames) != meta["frames"]:
        raise InputError(f"sample {key} holds {len(frames)} frames where its meta data says {meta['frames']}")
    return Sample(
        key=key,
        frames=frames,
        poses=arrays["poses"],
        extrinsics=arrays["extrinsics"],
        intrinsics=np.asarray(meta["intrinsics"], np.float32),
        keyboard=arrays["actions"][:, :6],
        mouse=arrays["actions"][:, 6:],
        prompts=tuple(json.loads(files["prompts.json"])),
        frames_per_second=float(meta["frames_per_second"]),
        source=meta["source"],
        meta=meta["meta"],
    )


def _decode_frames(key: str, files: dict[str, bytes]) -> Frames:
    if "mp4" in files:
        return decode_video(files["mp4"], name=f"{key}.mp4")
    pictures = sorted(name for name in files if name.endswith(".jpg"))
    if not pictures:
        raise InputError(f"sample {key} has neither an mp4 nor pictures")
    return np.stack([decode_jpeg(files[name], name=f"{key}.{name}") for name in pictures])
