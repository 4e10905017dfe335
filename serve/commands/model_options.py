"""The options that say which model a command runs, and how it computes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ...model.precision import Precision
from ...model.preset import DecoderChoice, Preset, load_preset

Command = TypeVar("Command", bound=Callable[..., Any])

_DIRECTORY = click.Path(path_type=Path, exists=True, file_okay=False)


def model_options(default: str = "pocket") -> Callable[[Command], Command]:
    """Adds --preset, --weights, --random-weights, --precision and --decoder: the arguments of `chosen_preset`."""

    def add(command: Command) -> Command:
        for option in (
            click.option(
                "--decoder",
                type=click.Choice([choice.value for choice in DecoderChoice]),
                help="Full, or pruned by 50 or 75 %.",
            ),
            click.option(
                "--precision",
                type=click.Choice([kind.value for kind in Precision]),
                help="How the transformer computes.",
            ),
            click.option("--random-weights", is_flag=True, help="Seeded noise instead of weights."),
            click.option("--weights", type=_DIRECTORY, help="Directory with other weights."),
            click.option("--preset", default=default, show_default=True, help="A preset's name, or a .toml file."),
        ):
            command = option(command)
        return command

    return add


def chosen_preset(
    preset: str, *, weights: Path | None, random_weights: bool, precision: str | None, decoder: str | None
) -> Preset:
    """The preset that these options describe; None leaves what the preset says.

    Raises click.UsageError on options that exclude each other, PresetUnknown or ConfigError.
    """
    if weights is not None and random_weights:
        raise click.UsageError("--weights and --random-weights exclude each other")
    model = load_preset(preset)
    if weights is not None:
        model = model.with_directory(weights)
    elif random_weights:
        model = model.with_random_weights()
    if precision is not None:
        model = model.with_precision(Precision(precision))
    return model if decoder is None else model.with_decoder(DecoderChoice(decoder))
