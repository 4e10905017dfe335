"""`worldloom convert`: weights in 8 bits."""

from __future__ import annotations

from pathlib import Path

import click

from .model_options import chosen_preset


@click.command()
@click.argument("target", type=click.Path(path_type=Path))
@click.option("--preset", default="mg3-5b", show_default=True, help="A preset's name, or a .toml file.")
@click.option(
    "--weights", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Directory with other weights."
)
@click.option("--precision", type=click.Choice(["int8", "fp8"]), default="fp8", show_default=True)
def convert(target: Path, preset: str, weights: Path | None, precision: str) -> None:
    """Write a preset's weights to the new directory TARGET, its transformer in 8 bits.

    Half the size, and less to read at each start. What a model computes in that precision stays the same. Use it with
    --weights TARGET.
    """
    # torch takes seconds to import: not for --help.
    from ...model import convert as conversion
    from ...model.precision import Precision

    model = chosen_preset(preset, weights=weights, random_weights=False, precision=None, decoder=None)
    conversion.convert(model, target, Precision(precision))
    click.echo(f"{model.name} in {precision}: {target}")
