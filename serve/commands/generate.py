"""`worldloom generate`: a clip by the model alone."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from ...model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES
from ...model.preset import Preset
from ..actions import Actions, fitted
from ..images import read_image
from ..samples import list_samples, load_sample
from ..scripts import sample_scripts
from .model_options import chosen_preset, model_options
from .play import load_actions

if TYPE_CHECKING:
    from ...cluster.world import World

OUT_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command()
@click.option("--image", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Start image (a file).")
@click.option(
    "--sample", help=f"Start image and prompt that come with the package: {', '.join(s.name for s in list_samples())}."
)
@click.option("--prompt", help="What the world is (default: the sample's prompt, or none).")
@click.option(
    "--actions", default="walk", show_default=True,
    help=f"An action script: a file, 'random:SEED', or one of {', '.join(sample_scripts())}.",
)  # fmt: skip
@click.option("--out", type=OUT_FILE, default="clip.mp4", show_default=True, help="The clip (H.264).")
@click.option("--sheet", type=OUT_FILE, help="Also write a contact sheet (PNG).")
@model_options()
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same world.")
@click.option("--viewpoint", type=click.Choice(["first_person", "third_person"]), default="first_person")
@click.option("--chunks", type=click.IntRange(min=1), help="Make exactly so many chunks (57 frames, then 40 each).")
@click.option("--device", default="auto", show_default=True, help="'cpu', 'cuda:0', …; 'auto' takes a GPU if any.")
def generate(
    image: Path | None,
    sample: str | None,
    prompt: str | None,
    actions: str,
    out: Path,
    sheet: Path | None,
    preset: str,
    weights: Path | None,
    random_weights: bool,
    precision: str | None,
    decoder: str | None,
    seed: int,
    viewpoint: str,
    chunks: int | None,
    device: str,
) -> None:
    """Generate a clip from an image, a prompt and an action script, without a service and without Ray.

    The clip shows the keys. The same options give the same clip on the same machine.
    """
    # torch takes seconds to import: not for --help.
    from ...cluster.world import World

    if image and sample:
        raise click.UsageError("--image and --sample exclude each other")
    model = chosen_preset(preset, weights=weights, random_weights=random_weights, precision=precision, decoder=decoder)
    pixels, sample_prompt = start_of(model, image, sample)
    script = load_actions(actions, chunks)
    click.echo(f"loading preset {model.name} …")
    world = World.load(model, device=device)
    world.start(pixels, prompt=sample_prompt if prompt is None else prompt, seed=seed, viewpoint=viewpoint)
    title = f"worldloom · {model.name} · {actions}"
    seconds = write_clip(world, script, out=out, sheet=sheet, title=title)
    click.echo(f"{len(script)} frames in {seconds:.1f} s, {len(script) / seconds:.1f} frames a second")
    if not model.trained:
        click.echo(f"preset {model.name}: UNTRAINED weights (seeded noise: the pictures mean nothing)")
    click.echo(f"clip  {out}" + (f"\nsheet {sheet}" if sheet else ""))


def chunks_of(frames: int) -> int:
    """Chunks that hold at least so many frames."""
    return 1 + max(0, math.ceil((frames - FIRST_CLIP_FRAMES) / NEW_FRAMES))


def start_of(preset: Preset, image: Path | None, sample: str | None) -> tuple[npt.NDArray[np.uint8], str]:
    """RGB pixels at the preset's size and a prompt: of the image file, the named sample, or the first sample."""
    if image is not None:
        data, prompt = image.read_bytes(), ""
    else:
        chosen = load_sample(sample) if sample else list_samples()[0]
        data, prompt = chosen.read_bytes(), chosen.prompt
    return read_image(data, height=preset.video.height, width=preset.video.width), prompt


def write_clip(world: World, actions: Actions, *, out: Path, sheet: Path | None, title: str) -> float:
    """Play all actions in a world that has just started, and write its frames. Returns the seconds that it took.

    The last chunk is played to its end with nothing held; frames after the actions are not written.
    """
    # PyAV is not needed for --help either.
    from ..clips import ClipWriter, ContactSheet

    video, steps = world.preset.video, world.preset.sampling.steps
    chunks, started, index = chunks_of(len(actions)), time.perf_counter(), 0
    pictures = ContactSheet(actions, frame_rate=video.frame_rate, title=title)
    bar: tqdm[NoReturn] = tqdm(total=chunks * steps, unit="step", disable=None, dynamic_ncols=True)

    def count_step(done: int, total: int) -> None:
        bar.update()

    with bar, ClipWriter(out, width=video.width, height=video.height, frame_rate=video.frame_rate) as writer:
        for chunk in range(chunks):
            bar.set_description(f"chunk {chunk + 1} of {chunks}")
            rows = fitted(actions[index : index + world.num_new_frames], world.num_new_frames)
            frames = world.step(rows, on_step=count_step)
            for frame in frames[: len(actions) - index]:
                writer.write(frame, actions.row(index))
                pictures.add(index, frame, chunk, actions.row(index))
                index += 1
    if sheet is not None:
        pictures.save(sheet)
    return time.perf_counter() - started
