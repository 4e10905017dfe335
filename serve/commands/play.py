"""`worldloom play`: a headless player."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal, NoReturn

import click
from tqdm import tqdm
from worldloom_client import World, WorldFrame

from ...model.clip import FIRST_CLIP_FRAMES, NEW_FRAMES
from ..actions import Actions, fitted
from ..recording import Measurements, describe_weights, format_measurements, record
from ..scripts import load_script, sample_scripts


@click.command()
@click.argument("url")
@click.option(
    "--script", default="walk", show_default=True,
    help=f"An action script: a file, 'random:SEED', or one of {', '.join(sample_scripts())}.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), default="clip.mp4", show_default=True)
@click.option("--sheet", type=click.Path(path_type=Path, dir_okay=False), help="Also write a contact sheet (PNG).")
@click.option(
    "--export", type=click.Path(path_type=Path, dir_okay=False), help="Also write the world, for 'worldloom replay'."
)
@click.option("--sample", help="Start image of the service (default: its first).")
@click.option("--image", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="Your own start image.")
@click.option("--prompt", help="What the world is (default: the sample's prompt).")
@click.option("--seed", type=click.IntRange(min=0), help="Same seed, same world.")
@click.option("--preset", help="Refuse another preset than this one.")
@click.option("--viewpoint", type=click.Choice(["first_person", "third_person"]), help="Who is seen.")
@click.option("--chunks", type=click.IntRange(min=1), help="Play exactly so many chunks of the script.")
def play(
    url: str,
    script: str,
    out: Path,
    sheet: Path | None,
    export: Path | None,
    sample: str | None,
    image: Path | None,
    prompt: str | None,
    seed: int | None,
    preset: str | None,
    viewpoint: Literal["first_person", "third_person"] | None,
    chunks: int | None,
) -> None:
    """Play an action script at the service URL and record a clip.

    The clip shows the keys. Scripts are text, such as 'forward 40; right + camera_right 20', with 'still', 'repeat 3
    { … }', 'reverse', and camera angles such as 'camera_yaw=0.2' (units of 15 degrees a frame) or 'camera_yaw=3deg'.
    """
    if sample and image:
        raise click.UsageError("--sample and --image exclude each other")
    actions = load_actions(script, chunks)
    with progress_bar(actions) as bar:
        seen = asyncio.run(
            record(
                url,
                actions,
                clip=out,
                sheet=sheet,
                export=export,
                title=lambda info: f"worldloom · {script} · {describe_weights(info)}",
                on_frame=lambda world, frame: advance(bar, world, frame),
                sample=sample,
                image=image.read_bytes() if image else None,
                prompt=prompt,
                seed=seed,
                preset=preset,
                viewpoint=viewpoint,
            )
        )
    show(seen, out, sheet)
    if export is not None:
        click.echo(f"world {export}")


def load_actions(script: str, chunks: int | None) -> Actions:
    """The script's actions, cut or followed by stillness to fill exactly `chunks` chunks."""
    if chunks is None:
        return load_script(script)
    frames = FIRST_CLIP_FRAMES + NEW_FRAMES * (chunks - 1)
    return fitted(load_script(script, frames=frames), frames)


def progress_bar(actions: Actions) -> tqdm[NoReturn]:
    """A bar on stderr that counts the actions' frames; silent where stderr is no terminal."""
    return tqdm(total=len(actions), unit=" frames", desc="first chunk", disable=None, dynamic_ncols=True)


def advance(bar: tqdm[NoReturn], world: World, frame: WorldFrame) -> None:
    """One frame further."""
    bar.update()
    bar.set_description(f"chunk {frame.chunk}", refresh=False)


def show(seen: Measurements, clip: Path, sheet: Path | None) -> None:
    """Print the report and where the files are."""
    assert seen.info is not None
    click.echo(format_measurements(seen))
    click.echo(f"\n{describe_weights(seen.info)}")
    click.echo(f"clip  {clip}" + (f"\nsheet {sheet}" if sheet else ""))
