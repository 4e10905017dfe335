"""`worldloom eval`: measured quality."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from tqdm import tqdm

if TYPE_CHECKING:
    from ..evaluation.jobs import Job, Setup

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group("eval")
def evaluate() -> None:
    """Measure a preset on held-out worlds: revisit, control, drift, precision, decoder; put it on a page."""


def shared_options(worlds: int) -> Callable[[Command], Command]:
    """Options of every measurement."""

    def add(command: Command) -> Command:
        for option in (
            click.option("--device", default="auto", show_default=True, help="auto, cpu or cuda:N."),
            click.option(
                "--seed", type=click.IntRange(min=0), default=0, show_default=True, help="First held-out world."
            ),
            click.option("--worlds", type=click.IntRange(min=1), default=worlds, show_default=True),
            click.option(
                "--at-once", type=click.IntRange(min=1), default=1, show_default=True,
                help="Worlds played at a time: 32 keep a large GPU busy with the pocket world.",
            ),
            click.option("--pictures", type=click.Path(path_type=Path, file_okay=False),
                         help="Folder for strips of the first worlds, as JPEG."),
            click.option("--pictured", type=click.IntRange(min=1), default=3, show_default=True,
                         help="Worlds with a strip, at most."),
            click.option("--commit", help="Of the code, where it lies outside a checkout."),
            click.option("--json", "json_file", type=click.Path(path_type=Path, dir_okay=False), help="File to write."),
            click.option(
                "--checkpoint", type=click.Path(path_type=Path, exists=True, file_okay=False),
                help="Directory with weights of the preset's layout, in place of its own.",
            ),
            click.option("--preset", default="pocket", show_default=True, help="A preset's name, or a .toml file."),
        ):  # fmt: skip
            command = option(command)
        return command

    return add


ORACLE = click.option("--oracle", is_flag=True, help="Measure rendered truth in the model's place: the best there is.")


@evaluate.command()
@shared_options(worlds=3)
@ORACLE
def revisit(**options: Any) -> None:
    """Walk away and back by the exact reverse: is the place still the same, 48 and 96 latents later?

    Plays ten chunks under each of four memory policies: camera-retrieved, most recent, random, none.
    """
    from ..evaluation import jobs
    from ..evaluation.revisit import RevisitConfig

    _run("revisit", lambda setup: jobs.revisit(setup, RevisitConfig()), **options)


@evaluate.command()
@shared_options(worlds=2)
@ORACLE
def control(**options: Any) -> None:
    """Ask for eight actions: how far is the view turned and moved from where it should be?"""
    from ..evaluation import jobs

    _run("control", jobs.control, **options)


@evaluate.command()
@shared_options(worlds=1)
@ORACLE
@click.option("--chunks", type=click.IntRange(min=1), default=60, show_default=True, help="60 are a minute of play.")
def drift(chunks: int, **options: Any) -> None:
    """Play for a minute, again and again back to the start: does the place stay what it was?"""
    from ..evaluation import jobs
    from ..evaluation.drift import DriftConfig

    _run("drift", lambda setup: jobs.drift(setup, DriftConfig(chunks=chunks)), **options)


@evaluate.command()
@shared_options(worlds=3)
@click.option("--precision", "kind", type=click.Choice(["int8", "fp8", "fp8-attn"]), default="int8", show_default=True,
              help="A CPU emulates them: the same rounding, multiplied in float32.")  # fmt: skip
@click.option("--random-weights", is_flag=True, help="Seeded noise instead of weights: only latents mean something.")
def precision(kind: str, **options: Any) -> None:
    """Make one chunk in 8 bits and in the preset's own dtype from the same state: how far apart are the frames?

    Where a base model lies beside the weights, few steps are also compared with many.
    """
    from ...model.precision import Precision
    from ..evaluation import jobs

    _run("precision", lambda setup: jobs.precision(setup, Precision(kind)), **options)


@evaluate.command()
@shared_options(worlds=4)
@click.option(
    "--pruned", multiple=True, metavar="RATE=FILE", callback=lambda _, __, value: _pruned(value),
    help="A pruned decoder beside the weights; may be repeated. Default: as training exports them.",
)  # fmt: skip
def decoder(pruned: dict[float, str], **options: Any) -> None:
    """Code held-out streams of 133 frames: what do the VAE and its pruned decoders lose?"""
    from ..evaluation import jobs

    _run("decoder", lambda setup: jobs.decoder(setup, pruned), **options)


@evaluate.command("page")
@click.option(
    "--page",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    default="ops/bench/quality.md",
    show_default=True,
    help="Its figures are replaced; what was written by hand stays.",
)
@click.option("--results", type=click.Path(path_type=Path, file_okay=False), default="ops/bench/results/quality",
              show_default=True, help="Holds NAME/NAME.json and pictures of each measurement.")  # fmt: skip
def write_page(page: Path, results: Path) -> None:
    """Put what was measured into the page of figures."""
    from ..evaluation.page import filled

    link = os.path.relpath(results, page.parent)
    page.write_text(filled(page.read_text(encoding="utf-8"), results, link), encoding="utf-8")


def _pruned(values: tuple[str, ...]) -> dict[float, str]:
    """('0.5=a.safetensors',) as {0.5: 'a.safetensors'}."""
    files = {}
    for value in values:
        rate, _, file = value.partition("=")
        try:
            share = float(rate)
        except ValueError:
            raise click.BadParameter(f"{value!r} is not RATE=FILE, such as 0.5=decoder.safetensors") from None
        if not 0 < share < 1 or not file:
            raise click.BadParameter(f"{value!r}: the rate must lie between 0 and 1, and a file must follow")
        files[share] = file
    return files


def _run(
    name: str,
    prepare: Callable[[Setup], Job],
    *,
    preset: str,
    checkpoint: Path | None,
    json_file: Path | None,
    pictures: Path | None,
    pictured: int,
    commit: str | None,
    worlds: int,
    seed: int,
    at_once: int,
    device: str,
    oracle: bool = False,
    random_weights: bool = False,
) -> None:
    """Load, measure behind a progress bar, print tables, and write what was asked for."""
    from ...model.load import resolve_device
    from ...model.preset import load_preset
    from ..evaluation.jobs import Setup
    from ..evaluation.provenance import provenance
    from ..pictures import save_strip

    if checkpoint is not None and random_weights:
        raise click.UsageError("--checkpoint and --random-weights name two sets of weights. Give one of them.")
    loaded = load_preset(preset)
    if checkpoint is not None:
        loaded = loaded.with_directory(checkpoint)
    elif random_weights:
        loaded = loaded.with_random_weights()
    place = resolve_device(device)
    job = prepare(Setup(preset=loaded, device=place, worlds=worlds, seed=seed, oracle=oracle, at_once=at_once))
    with tqdm(total=job.total, unit=job.unit, desc=name, disable=None, dynamic_ncols=True) as bar:
        report = job.run(bar.update)
    weights = "rendered truth" if oracle else "trained" if loaded.trained else "seeded noise, not trained"
    click.echo(report.markdown())
    click.echo(f"Preset {loaded.name}, weights: {weights}.")
    if json_file is not None:
        document = {
            "measurement": name, "preset": loaded.name, "weights": weights, **report.as_json(),
            "made_by": provenance(place, commit),
        }  # fmt: skip
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    if pictures is not None:
        for title, rows in islice(report.pictures.items(), pictured):
            save_strip(rows, pictures / f"{title}.jpg")
