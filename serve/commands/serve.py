"""`worldloom serve`: a service until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from ...model.preset import load_preset


@click.command()
@click.option("--preset", default="pocket", show_default=True, help="The model: a preset's name, or a .toml file.")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 lets others in.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Of the page and HTTP.")
@click.option("--stream-port", type=click.IntRange(0, 65535), default=0, help="Of the stream (default: a free one).")
@click.option("--address", default="local", show_default=True, help="Ray cluster to run on; 'local' starts one.")
@click.option(
    "--weights", type=click.Path(path_type=Path, exists=True, file_okay=False), help="Directory with other weights."
)
@click.option("--random-weights", is_flag=True, help="Seeded noise instead of weights.")
@click.option("--groups", type=click.IntRange(min=1), default=1, show_default=True, help="Worker groups.")
@click.option("--sessions", type=click.IntRange(min=1), default=4, show_default=True, help="Sessions in each group.")
@click.option("--verbose", is_flag=True, help="Show what all processes log.")
def serve(
    preset: str,
    host: str,
    port: int,
    stream_port: int,
    address: str,
    weights: Path | None,
    random_weights: bool,
    groups: int,
    sessions: int,
    verbose: bool,
) -> None:
    """Serve a world model until Ctrl-C: a page to play, an HTTP API, a stream of frames."""
    # Ray takes seconds to import: not for --help.
    from ...cluster.config import ClusterConfig
    from ..service import ServiceConfig, start_service

    if weights is not None and random_weights:
        raise click.UsageError("--weights and --random-weights exclude each other")
    model = load_preset(preset)
    if weights is not None:
        model = model.with_directory(weights)
    elif random_weights:
        model = model.with_random_weights()
    config = ServiceConfig(
        cluster=ClusterConfig(preset=model, groups=groups, sessions_per_group=sessions),
        host=host,
        port=port,
        stream_port=stream_port,
        address=address,
        verbose=verbose,
    )
    stopped = threading.Event()
    click.echo(f"starting preset {model.name} …")
    with start_service(config) as handle:
        # Only now: Ray sets a handler of its own when it starts.
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        quality = "trained weights" if model.trained else "untrained weights: expect noise"
        click.echo(f"ready at {click.style(handle.url, bold=True)} ({quality}; Ctrl-C stops)")
        try:
            stopped.wait()
        except KeyboardInterrupt:
            click.echo()
        click.echo("stopping …")
