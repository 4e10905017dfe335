"""`worldloom demo`: the whole service on this machine, played once, and then left to the visitor."""

from __future__ import annotations

import asyncio
import sys
import threading
import time
from pathlib import Path

import click

from ...errors import ConfigError
from ...model.preset import load_preset
from ..actions import Actions
from ..ports import choose_port, free_port
from ..recording import Measurements, describe_weights, record
from ..samples import list_samples, load_sample
from .play import advance, load_actions, progress_bar, show

DEMO_SCRIPT = "tour"
DEMO_SEED = 7
DEFAULT_PORT = 8000
LOOPBACK = "127.0.0.1"


@click.command()
@click.option("--preset", default="pocket", show_default=True, help="The model to serve.")
@click.option("--script", default=DEMO_SCRIPT, show_default=True, help="What is played; see 'worldloom play --help'.")
@click.option("--sample", help="Start image (default: the first sample).")
@click.option("--seed", type=click.IntRange(min=0), default=DEMO_SEED, show_default=True)
@click.option("--chunks", type=click.IntRange(min=1), help="Play exactly so many chunks of the script.")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), default="out", show_default=True)
@click.option("--port", type=click.IntRange(1, 65535), help="Port of the web page (default: 8000, or a free one).")
@click.option("--once", is_flag=True, help="Stop after the clip, also at a terminal.")
def demo(
    preset: str, script: str, sample: str | None, seed: int, chunks: int | None, out: Path, port: int | None, once: bool
) -> None:
    """Start the service, play a script through it, and record out/demo.mp4. At a terminal, the page stays open."""
    # Ray takes seconds to import: not for --help.
    from ...cluster.config import ClusterConfig
    from ..service import ServiceConfig, start_service

    actions = load_actions(script, chunks)
    place = load_sample(sample or list_samples()[0].name).name
    config = ServiceConfig(cluster=ClusterConfig(preset=load_preset(preset)), port=port or default_port())
    began = time.monotonic()
    click.echo(f"starting the service with preset {preset} …")
    with start_service(config) as service:
        click.echo(f"ready after {time.monotonic() - began:.1f} s at {service.url}")
        play_demo(service.url, actions, sample=place, seed=seed, out=out)
        if not once and sys.stdin.isatty() and sys.stdout.isatty():
            linger(service.url)


def play_demo(url: str, actions: Actions, *, sample: str, seed: int, out: Path) -> Measurements:
    """Play at the service `url`, write out/demo.mp4 and out/demo.png, and print what was measured."""
    clip, sheet = out / "demo.mp4", out / "demo.png"
    with progress_bar(actions) as bar:
        seen = asyncio.run(
            record(
                url,
                actions,
                clip=clip,
                sheet=sheet,
                title=lambda info: f"worldloom demo · {sample} · seed {seed} · {describe_weights(info)}",
                on_frame=lambda world, frame: advance(bar, world, frame),
                sample=sample,
                seed=seed,
            )
        )
    show(seen, clip, sheet)
    return seen


def default_port() -> int:
    """The usual port, or a free one if somebody listens there."""
    try:
        return choose_port(LOOPBACK, DEFAULT_PORT)
    except ConfigError:
        return free_port(LOOPBACK)


def linger(url: str) -> None:
    """Leave the service running until Ctrl-C."""
    click.echo(f"\nNow play yourself: {click.style(url, bold=True)}   (Ctrl-C stops)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("\nstopping …")
