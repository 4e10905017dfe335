"""`worldloom data`: make, import, check and look at training data."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from tqdm import tqdm

from ...errors import InputError

if TYPE_CHECKING:
    from ..data.report import Report
    from ..data.sample import Sample

OUT = click.Path(path_type=Path, file_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False, exists=True)
REPORT = "report.json"


@click.group()
def data() -> None:
    """Make, import, check and look at training data: video, poses, actions and prompts in tar shards."""


def size_of(_: click.Context, __: click.Parameter, value: str) -> tuple[int, int]:
    """'128x224' as (height, width)."""
    try:
        height, width = (int(part) for part in value.lower().split("x"))
    except ValueError:
        raise click.BadParameter(f"{value!r} is not HEIGHTxWIDTH, such as 128x224") from None
    if height < 8 or width < 8 or height % 2 or width % 2:
        raise click.BadParameter(f"{height}x{width}: both sides must be even and at least 8")
    return height, width


def shared_options(command: Callable[..., None]) -> Callable[..., None]:
    """Options of everything that writes a data set."""
    for option in (
        click.option(
            "--shard-size", type=click.IntRange(min=1), default=32, show_default=True, help="Samples a shard."
        ),
        click.option("--format", "video_format", type=click.Choice(["mp4", "jpeg"]), default="mp4", show_default=True),
        click.option("--size", default="128x224", show_default=True, callback=size_of, help="HEIGHTxWIDTH in pixels."),
        click.option("--frames", type=click.IntRange(min=2), default=161, show_default=True, help="Frames a sample."),
        click.option("--out", type=OUT, required=True, help="Folder of the data set."),
    ):
        command = option(command)
    return command


@data.command("render")
@shared_options
@click.option("--worlds", type=click.IntRange(min=1), default=64, show_default=True)
@click.option(
    "--first-seed", type=click.IntRange(min=0), default=0, show_default=True, help="From 1000000 on: held out."
)
@click.option("--episodes", type=click.IntRange(min=1), default=1, show_default=True, help="Episodes a world.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Of the paths.")
@click.option("--device", default="cpu", show_default=True, help="cpu or cuda.")
@click.option("--workers", type=click.IntRange(min=0), default=0, show_default=True, help="Processes that draw worlds.")
def render_command(
    out: Path,
    frames: int,
    size: tuple[int, int],
    video_format: str,
    shard_size: int,
    worlds: int,
    first_seed: int,
    episodes: int,
    seed: int,
    device: str,
    workers: int,
) -> None:
    """Render episodes in procedural worlds. Started again, it goes on where it stopped."""
    from ..data.rendered import RenderConfig, render_samples
    from ..data.report import Report
    from ..data.shards import Manifest, open_dataset, shard_path, write_shard

    config = RenderConfig(
        first_seed=first_seed,
        worlds=worlds,
        episodes_per_world=episodes,
        frames=frames,
        height=size[0],
        width=size[1],
        seed=seed,
    )
    manifest = Manifest(
        format=video_format, shard_samples=shard_size, num_samples=config.num_samples, recipe=config.recipe()
    )
    missing, report = open_dataset(out, manifest), Report()
    with tqdm(total=config.num_samples, initial=config.num_samples - _count(missing, manifest), unit="episode") as bar:
        for index in missing:
            start = index * shard_size
            samples = render_samples(config, start, start + shard_size, device, workers=workers)
            write_shard(shard_path(out, index), report.passing(_ticking(samples, bar)), video_format=video_format)
    _finish(report, out / REPORT)


@data.command("import")
@shared_options
@click.argument("kind", type=click.Choice(["recorded", "captures", "doom"]))
@click.argument("folder", type=FOLDER, required=False)
@click.option("--stride", type=click.IntRange(min=1), default=1, show_default=True, help="Use every n-th frame.")
@click.option("--metric", is_flag=True, help="Recorded cameras are in metres; else their scale is estimated.")
@click.option("--maps", default="1-32", show_default=True, help="Doom maps, such as 1-4 or 7.")
@click.option("--walks", type=click.IntRange(min=1), default=4, show_default=True, help="Samples a Doom map.")
@click.option("--tolerance", type=float, default=1.5, show_default=True, help="Frames a capture may drift.")
def import_command(
    out: Path,
    frames: int,
    size: tuple[int, int],
    video_format: str,
    shard_size: int,
    kind: str,
    folder: Path | None,
    stride: int,
    metric: bool,
    maps: str,
    walks: int,
    tolerance: float,
) -> None:
    """Import recorded video with cameras, engine captures, or walks through Doom (Freedoom).

    KIND recorded: FOLDER of videos with .npz (extrinsics_c2w, intrinsics) or RealEstate10K .txt beside them. KIND
    captures: FOLDER of videos with .csv or .jsonl tables of pose and input. KIND doom needs no folder.
    """
    from ..data.captures import read_captures
    from ..data.doom import DoomConfig, play_doom
    from ..data.recorded import WindowConfig, read_recordings
    from ..data.report import Report

    report = Report()
    window = WindowConfig(frames=frames, height=size[0], width=size[1], stride=stride, metric=metric)
    if kind == "doom":
        numbers = map_numbers(maps)
        doom = DoomConfig(maps=numbers, samples_per_map=walks, frames=frames, height=size[0], width=size[1])
        samples = play_doom(doom, report.bad_file)
    elif folder is None:
        raise click.UsageError(f"'{kind}' needs a FOLDER")
    elif kind == "recorded":
        samples = read_recordings(folder, window, report.bad_file)
    else:
        samples = read_captures(folder, window, report.bad_file, tolerance_frames=tolerance)
    recipe = {"source": kind, "folder": folder and folder.name, "frames": frames, "size": list(size), "stride": stride}
    _write_stream(samples, report, out, video_format, shard_size, recipe)
    _finish(report, out / REPORT)


def map_numbers(text: str) -> tuple[int, ...]:
    """'1-4' or '7' as numbers."""
    low, _, high = text.partition("-")
    if not low.isdigit() or (high and not high.isdigit()) or int(low) < 1 or int(high or low) > 32:
        raise click.BadParameter(f"{text!r} is no map or range of maps from 1 to 32", param_hint="--maps")
    return tuple(range(int(low), int(high or low) + 1))


@data.command("check")
@click.argument("folder", type=FOLDER)
@click.option(
    "--report",
    "path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Report file (default: FOLDER/check.json).",
)
def check_command(folder: Path, path: Path | None) -> None:
    """Read every sample, run the filters, print statistics. Ends with 1 when a file or sample is bad."""
    from ..data.report import Report
    from ..data.shards import read_dataset

    report = Report()
    for _ in tqdm(report.passing(read_dataset(folder, report.bad_file)), unit="sample"):
        pass
    _finish(report, path or folder / "check.json")
    if report.unreadable or report.dropped:
        raise SystemExit(1)


@data.command("preview")
@click.argument("folder", type=FOLDER)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="preview.png", show_default=True)
@click.option("--rows", type=click.IntRange(1, 64), default=8, show_default=True, help="Samples to show.")
@click.option("--columns", type=click.IntRange(1, 32), default=8, show_default=True, help="Frames of each.")
def preview_command(folder: Path, out: Path, rows: int, columns: int) -> None:
    """Draw a contact sheet of the first samples, with the held keys."""
    from PIL import Image

    from ..data.report import Report
    from ..data.shards import read_dataset
    from ..data.sheet import contact_sheet

    report = Report()
    samples = list(islice(read_dataset(folder, report.bad_file), rows))
    for name, reason in report.unreadable:
        click.echo(f"skipped {name}: {reason}")
    if not samples:
        raise InputError(f"{folder} holds no readable sample", hint=f"run 'worldloom data check {folder}'")
    out.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(contact_sheet(samples, columns)).save(out)
    click.echo(f"{len(samples)} samples drawn to {out}")


def _count(shards: Iterable[int], manifest: Any) -> int:
    return sum(min(manifest.shard_samples, manifest.num_samples - index * manifest.shard_samples) for index in shards)


def _ticking(samples: Iterator[Sample], bar: tqdm[Any]) -> Iterator[Sample]:
    for sample in samples:
        bar.update()
        yield sample


def _write_stream(
    samples: Iterator[Sample], report: Report, out: Path, video_format: str, shard_size: int, recipe: dict[str, Any]
) -> None:
    """Writes a source whose length is not known before. Shards that are there already are read past, not rewritten."""
    from ..data.shards import Manifest, open_dataset, shard_path, write_shard

    open_dataset(out, Manifest(format=video_format, shard_samples=shard_size, num_samples=0, recipe=recipe))
    with tqdm(unit="sample") as bar:
        kept = report.passing(_ticking(samples, bar))
        for index, first in enumerate(kept):
            group = chain([first], islice(kept, shard_size - 1))
            path = shard_path(out, index)
            if path.exists():
                deque(group, maxlen=0)
            else:
                write_shard(path, group, video_format=video_format)


def _finish(report: Report, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    report.write(path)
    for line in report.lines():
        click.echo(line)
    click.echo(f"report: {path}")
