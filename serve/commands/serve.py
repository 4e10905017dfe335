"""`worldloom serve`: a service until Ctrl-C."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import click

from ...parallel.planner import Placement
from .model_options import chosen_preset, model_options

DEFAULT_SESSIONS = 4
FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command()
@model_options()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 lets others in.")
@click.option("--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="Of the page and HTTP.")
@click.option("--stream-port", type=click.IntRange(0, 65535), default=0, help="Of the stream (default: a free one).")
@click.option("--public-host", default="", help="Host name that gRPC answers tell of (default: as it is called here).")
@click.option("--grpc-port", type=click.IntRange(0, 65535), default=0, help="Of gRPC (default: a free one).")
@click.option("--tls-certificate", type=FILE, help="PEM file: HTTP, stream and gRPC are encrypted.")
@click.option("--tls-key", type=FILE, help="PEM file of the certificate's key.")
@click.option("--origin", "origins", multiple=True, help="Web origin whose pages may connect (default: any).")
@click.option("--secret", envvar="WORLDLOOM_SECRET", help="Signs tickets, 32 characters or more (default: a new one).")
@click.option("--operator-key", envvar="WORLDLOOM_OPERATOR_KEY", default="", help="Needed to create worlds, if given.")
@click.option("--address", default="local", show_default=True, help="Ray cluster to run on; 'local' starts one.")
@click.option("--gpus", type=click.IntRange(min=1),
              help="GPUs of all groups; processes, for a preset on the CPU (default: as the preset says).")  # fmt: skip
@click.option("--placement", type=click.Choice([kind.value for kind in Placement]),
              help="How GPUs share a world (default: as planned); 'single': each has its own worlds.")  # fmt: skip
@click.option("--decoder-ranks", type=click.IntRange(min=1),
              help="GPUs that decode each picture together, a band of it each (default: as planned).")  # fmt: skip
@click.option("--groups", type=click.IntRange(min=1), help="Worker groups (default: as planned).")
@click.option("--sessions", type=click.IntRange(min=1),
              help="Sessions in each group, planned for (default: 4 are let in, and planned is for one).")  # fmt: skip
@click.option("--verbose", is_flag=True, help="Show what all processes log.")
def serve(
    preset: str,
    host: str,
    port: int,
    stream_port: int,
    public_host: str,
    grpc_port: int,
    tls_certificate: Path | None,
    tls_key: Path | None,
    origins: tuple[str, ...],
    secret: str | None,
    operator_key: str,
    address: str,
    weights: Path | None,
    random_weights: bool,
    precision: str | None,
    decoder: str | None,
    gpus: int | None,
    placement: str | None,
    decoder_ranks: int | None,
    groups: int | None,
    sessions: int | None,
    verbose: bool,
) -> None:
    """Serve a world model until Ctrl-C: a page to play, an HTTP API, a stream of frames."""
    # Ray takes seconds to import: not for --help.
    from ...cluster.config import ClusterConfig
    from ...cluster.lay_out import Wish
    from ..service import ServiceConfig, start_service
    from ..tickets import checked_secret
    from ..tls import tls_files

    model = chosen_preset(preset, weights=weights, random_weights=random_weights, precision=precision, decoder=decoder)
    config = ServiceConfig(
        cluster=ClusterConfig(preset=model, groups=groups or 1, sessions_per_group=sessions or DEFAULT_SESSIONS),
        wish=Wish(
            gpus=gpus,
            groups=groups,
            placement=None if placement is None else Placement(placement),
            sessions=sessions,
            decoder_ranks=decoder_ranks,
        ),
        host=host,
        port=port,
        stream_port=stream_port,
        public_host=public_host,
        grpc_port=grpc_port,
        tls=tls_files(tls_certificate, tls_key),
        origins=origins,
        secret=checked_secret(secret),
        operator_key=operator_key,
        address=address,
        verbose=verbose,
    )
    stopped = threading.Event()
    click.echo(f"starting preset {model.name} …")
    with start_service(config, on_plan=lambda reasons: click.echo("  " + "\n  ".join(reasons))) as handle:
        # Only now: Ray sets a handler of its own when it starts.
        signal.signal(signal.SIGTERM, lambda *_: stopped.set())
        quality = "trained weights" if model.trained else "untrained weights: expect noise"
        click.echo(f"stream at {handle.stream_url}, gRPC at {handle.grpc_target}")
        click.echo(f"ready at {click.style(handle.url, bold=True)} ({quality}; Ctrl-C stops)")
        try:
            stopped.wait()
        except KeyboardInterrupt:
            click.echo()
        click.echo("stopping …")
