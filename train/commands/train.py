"""`worldloom train`: the stages of training, each from a recipe."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from ...errors import WorldloomError

Command = TypeVar("Command", bound=Callable[..., Any])


def options(command: Command) -> Command:
    """What every stage takes."""
    for option in reversed(
        (
            click.option("--recipe", default="pocket", show_default=True, help="Recipe name, or a .toml file."),
            click.option("--out", type=click.Path(path_type=Path), default=Path("out/train"), show_default=True,
                         help="Run folder: weights, curves, strips and figures, a folder for each stage."),
            click.option("--seconds", type=float, help="Wall-clock budget of the stage, rendering included."),
            click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True),
            click.option("--weights-only", is_flag=True, help="Write no optimizer states."),
            click.option("--quick", is_flag=True, help="A few steps at full size: compiles and times every kernel."),
            click.option("--launch", is_flag=True, help="Launch every kernel by itself instead of recording steps as "
                         "CUDA graphs: slower, for debugging."),
            click.option("--carried", type=click.Path(path_type=Path, exists=True, file_okay=False),
                         help="Folder of files that --pack wrote elsewhere: go on from their weights."),
            click.option("--seed", type=int, help="In place of the recipe's: other worlds, paths and noise. Worlds are "
                         "numbered from it on, so go on with one that is thousands away."),
            click.option("--pack", type=click.Path(path_type=Path), help="Folder for weights and one zip of the rest."),
        )
    ):  # fmt: skip
        command = option(command)
    return command


@click.group()
def train() -> None:
    """Train a world: vae, decoder, prune, base, distill, mixture, export."""


@train.command(name="run")
@click.argument("stages", nargs=-1, required=True)
@options
def run_stages(stages: tuple[str, ...], **kwargs: Any) -> None:
    """Run STAGES one after another. Seconds after a colon bound a stage: vae:450 prune:100."""
    _run([_with_seconds(stage) for stage in stages], **kwargs)


def _add(stage: str, help_text: str) -> None:
    @train.command(name=stage, help=help_text)
    @options
    def one(**kwargs: Any) -> None:
        _run([(stage, None)], **kwargs)


_add("vae", "Train the video autoencoder on freshly rendered frames.")
_add("decoder", "Train the autoencoder's decoder on, with latents as they are.")
_add("prune", "Train smaller decoders from the full one.")
_add("base", "Train transformer and text encoder by flow matching.")
_add("distill", "Distil the base model to a few steps.")
_add("mixture", "Fine-tune two experts, for high and for low noise.")
_add("speed", "Measure rendering, encoding and autoencoder steps on this machine.")
_add("export", "Write the trained weights in the published layout, into the folder 'export' of the run.")
_add("export-all", "Write all that was trained, the base model too, into 'export-all': to measure, not to ship.")


def _with_seconds(stage: str) -> tuple[str, float | None]:
    name, _, seconds = stage.partition(":")
    return name, float(seconds) if seconds else None


def _run(
    stages: list[tuple[str, float | None]],
    *,
    recipe: str,
    out: Path,
    seconds: float | None,
    device: str,
    weights_only: bool,
    quick: bool,
    launch: bool,
    carried: Path | None,
    pack: Path | None,
    seed: int | None,
) -> None:
    # Imported late, so that `--help` and the processes that draw worlds need no torch.
    import torch

    from ...model.preset import load_preset
    from .. import bundle, driver
    from ..compiling import load_kernels, save_kernels, set_up_torch
    from ..ranks import join
    from ..recipe import load_recipe
    from ..stage import Workplace

    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    set_up_torch()
    plan = load_recipe(recipe)
    plan = driver.quick(plan) if quick else plan
    out.mkdir(parents=True, exist_ok=True)
    names = [name for name, _ in stages]
    with join(chosen) as ranks:
        if carried is not None:
            if ranks.is_first:
                bundle.unpack(carried, out)
            ranks.wait()
            load_kernels(carried)
        place = Workplace(
            preset=load_preset(plan.preset),
            out=out,
            ranks=ranks,
            seed=plan.seed if seed is None else seed,
            keep_state=not weights_only,
            recording=not launch,
            pack=None if quick else pack,
        )
        try:
            for name, bound in stages:
                driver.run_stage(name, plan, place, bound if bound is not None else seconds)
                if ranks.is_first:
                    click.echo(driver.summary(out, [name]))
        except WorldloomError as error:
            raise click.ClickException(f"{error.message} {error.hint}") from error
        finally:
            # What stages before a failure made is packed too.
            if ranks.is_first and pack is not None:
                # A quick run trains nothing worth keeping: its result is the figures and the compiled kernels.
                for path in bundle.pack(out, pack, [] if quick else driver.folders_of(names, plan)):
                    click.echo(f"{path.name} {path.stat().st_size:,} bytes")
                save_kernels(pack)
