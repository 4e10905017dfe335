"""`worldloom demo`: the whole service on this machine, played once, and then left to the visitor."""

from __future__ import annotations

import asyncio
import socket
import sys
import threading
import time
from pathlib import Path

import click

from ..recording import Measurements, describe_weights, record
from ..samples import list_samples
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
    # These import Ray, which takes seconds: not for --help.
    from ...cluster.config import ClusterConfig
    from ...model.preset import load_preset
    from ..service import ServiceConfig, free_port, start_service

    config = ServiceConfig(
        cluster=ClusterConfig(preset=load_preset(preset)),
        port=port or (DEFAULT_PORT if is_free(DEFAULT_PORT) else free_port(LOOPBACK)),
    )
    began = time.monotonic()
    click.echo(f"starting the service with preset {preset} …")
    handle = start_service(config)
    try:
        click.echo(f"ready after {time.monotonic() - began:.1f} s at {handle.url}")
        play_demo(handle.url, script=script, sample=sample, seed=seed, chunks=chunks, out=out)
        if not once and sys.stdin.isatty() and sys.stdout.isatty():
            linger(handle.url)
    finally:
        handle.stop()


def play_demo(url: str, *, script: str, sample: str | None, seed: int, chunks: int | None, out: Path) -> Measurements:
    """Play at the service `url`, write out/demo.mp4 and out/demo.png, and print what was measured."""
    actions = load_actions(script, chunks)
    clip, sheet = out / "demo.mp4", out / "demo.png"
    place = sample or list_samples()[0].name
    with progress_bar(actions) as bar:
        seen = asyncio.run(
            record(
                url,
                actions,
                clip=clip,
                sheet=sheet,
                title=lambda ticket: f"worldloom demo · {place} · {script} · seed {seed} · {describe_weights(ticket)}",
                on_frame=lambda world, frame: advance(bar, world, frame),
                sample=place,
                seed=seed,
            )
        )
    show(seen, clip, sheet)
    return seen


def is_free(port: int) -> bool:
    """Whether nobody listens on this port of loopback."""
    with socket.socket() as probe:
        return probe.connect_ex((LOOPBACK, port)) != 0


def linger(url: str) -> None:
    """Leave the service running until Ctrl-C."""
    click.echo(f"\nNow play yourself: {click.style(url, bold=True)}   (Ctrl-C stops)")
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        click.echo("\nstopping …")
