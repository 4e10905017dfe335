"""`worldloom fetch`: a preset's weights from the Hugging Face hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from ...model import hub
from ...model.locations import default_directory
from ...model.preset import load_preset


@click.command()
@click.argument("preset")
@click.option(
    "--dir",
    "directory",
    type=click.Path(path_type=Path, file_okay=False),
    help="Where to put the files (default: below WORLDLOOM_CACHE or the user's cache folder, where presets look).",
)
@click.option("--revision", help="Branch, tag or commit of the repository (default: the preset's).")
def fetch(preset: str, directory: Path | None, revision: str | None) -> None:
    """Download the weights of PRESET from the Hugging Face hub and verify them.

    Only the files that the preset uses. Stop it at any time: run again, it goes on where it stopped. HF_ENDPOINT and
    HF_TOKEN work as everywhere.
    """
    chosen = load_preset(preset)
    if revision is not None:
        chosen = replace(chosen, weights=replace(chosen.weights, revision=revision))
    place = hub.fetch(chosen, directory)
    click.echo(f"{chosen.name}: complete and verified in {place}")
    if place != default_directory(load_preset(preset).weights):
        click.echo(f"Use it with: worldloom serve --preset {preset} --weights {place}")
