"""`worldloom bench`: how fast worlds are made, as records that others can make again."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
from tqdm import tqdm

from ...parallel.planner import Placement
from .model_options import chosen_preset, model_options

if TYPE_CHECKING:
    from ..bench.run import BenchConfig, BenchRun

OUT_FILE = click.Path(path_type=Path, dir_okay=False)
FOLDER = click.Path(path_type=Path, file_okay=False)

json_option = click.option("--json", "json_file", type=OUT_FILE, help="Write the record here.")
commit_option = click.option("--commit", help="What is measured (default: the checkout's commit).")
sessions_option = click.option(
    "--sessions", type=click.IntRange(min=1), default=1, show_default=True, help="Worlds that are played at once."
)


@click.group(invoke_without_command=True)
@model_options()
@click.option("--sessions", type=click.IntRange(min=1), multiple=True, default=(1,), show_default=True,
              help="Worlds that are played at once; may be given several times, for a run each.")  # fmt: skip
@click.option("--chunks", type=click.IntRange(min=2), default=60, show_default=True, help="Chunks of each world.")
@click.option("--gpus", type=click.IntRange(min=1), default=1, show_default=True,
              help="GPUs of this machine that share the work, each with a process.")  # fmt: skip
@click.option("--placement", type=click.Choice([kind.value for kind in Placement]),
              help="How several GPUs share it (default: as planned); 'single': each has its own worlds.")  # fmt: skip
@click.option("--bands", is_flag=True, help="Several GPUs decode each frame together, and not each its own worlds.")
@click.option("--device", default="auto", show_default=True, help="'cpu', 'cuda:0', …; 'auto' takes a GPU if any.")
@click.option("--through", type=click.Choice(["process", "ray"]), default="process", show_default=True,
              help="All in this process, or ranks, decoders and memory store as Ray actors.")  # fmt: skip
@click.option(
    "--memory-limit-gb", type=click.FloatRange(min=0, min_open=True), help="Pretend that the GPU has so much."
)
@click.option("--profile", type=OUT_FILE, help="Then trace three more chunks into this .json.gz.")
@json_option
@commit_option
@click.pass_context
def bench(ctx: click.Context, /, **options: Any) -> None:
    """Measure how fast worlds are made, without a network: plan, retrieve, denoise, commit, decode to RGB.

    Loads and warms up first. Frames a second count from the last frame of a world's first chunk to the last frame of
    its last one; a record needs at least 60 chunks.
    """
    if ctx.invoked_subcommand is None:
        run_engine(**options)


def run_engine(
    *,
    sessions: tuple[int, ...],
    chunks: int,
    gpus: int,
    placement: str | None,
    bands: bool,
    device: str,
    through: str,
    memory_limit_gb: float | None,
    profile: Path | None,
    json_file: Path | None,
    commit: str | None,
    **model: Any,
) -> None:
    # torch takes seconds to import: not for --help.
    from ..bench.run import BenchConfig, run_benches

    if through == "ray" and (memory_limit_gb is not None or profile is not None):
        raise click.UsageError("--memory-limit-gb and --profile look at this process: not with --through ray")
    if gpus > 1 and (memory_limit_gb is not None or profile is not None):
        raise click.UsageError("--memory-limit-gb and --profile look at one process: not with several GPUs")
    if through == "ray" and (bands or (placement == Placement.SINGLE and gpus > 1)):
        raise click.UsageError("through Ray, one group has all GPUs, and a decoder one: no --bands, no single ones")
    preset, sessions = chosen_preset(**model), tuple(sorted(set(sessions)))
    config = BenchConfig(
        preset=preset,
        chunks=chunks,
        sessions=max(sessions),
        gpus=gpus,
        placement=None if placement is None else Placement(placement),
        bands=bands,
        device=device,
        through_ray=through == "ray",
        profile=profile,
        memory_limit_gb=memory_limit_gb,
        commit=commit,
    )
    if gpus > 1 and through == "process":
        for run in _run_on_ranks(config, sessions):
            _tell(run, json_file, sessions)
        return
    bar: tqdm[NoReturn] = tqdm(
        total=chunks * sum(sessions), unit="chunk", desc=f"{preset.name}: warming up", disable=None, dynamic_ncols=True
    )
    with bar:
        runs = run_benches(config, sessions, lambda times: _advance(bar, f"chunk {times.chunk}"))
        for run in runs:
            with bar.external_write_mode():
                _tell(run, json_file, sessions)


def _tell(run: BenchRun, json_file: Path | None, sessions: tuple[int, ...]) -> None:
    """Print a run, and write its record; of several, each into a file named after its sessions."""
    from ..bench.records import write_record
    from ..bench.report import format_run

    click.echo(format_run(run))
    if json_file is not None:
        several = len(sessions) > 1
        file = json_file.with_stem(f"{json_file.stem}_s{run.record.sessions}") if several else json_file
        write_record(run.record, file)
        click.echo(f"record {file}")


@bench.command("serve")
@model_options()
@sessions_option
@click.option("--url", help="A running service, of the model that the options name (default: start one).")
@click.option("--seconds", type=click.FloatRange(min=1), default=60, show_default=True,
              help="How long to play as fast as frames come, and again at the world's own pace.")  # fmt: skip
@click.option(
    "--starts",
    type=click.IntRange(min=1),
    default=8,
    show_default=True,
    help="Worlds to begin by prompt, and by image.",
)
@click.option("--gpus", type=click.IntRange(min=1), help="Of the service (default: as its preset says).")
@click.option("--placement", type=click.Choice([kind.value for kind in Placement]),
              help="How GPUs share a world (default: as planned).")  # fmt: skip
@json_option
@commit_option
def bench_serve(
    url: str | None,
    seconds: float,
    starts: int,
    sessions: int,
    gpus: int | None,
    placement: str | None,
    json_file: Path | None,
    commit: str | None,
    **model: Any,
) -> None:
    """Measure the whole service on Ray: encoded frames that a client on this machine receives, how fast they are made,
    and how long a world takes to begin and an action to show."""
    from ..bench.records import write_record
    from ..bench.report import format_served
    from ..bench.served import ServedConfig, measure_service, service_at

    preset = chosen_preset(**model)
    config = ServedConfig(
        preset=preset,
        seconds=seconds,
        sessions=sessions,
        starts=starts,
        gpus=gpus,
        placement=None if placement is None else Placement(placement),
        commit=commit,
    )
    bar: tqdm[NoReturn] = tqdm(unit=" frames", desc=f"{preset.name}: starting", disable=None, dynamic_ncols=True)
    with bar, service_at(url, config) as (address, served):
        record = measure_service(address, served, lambda: _advance(bar, "playing"))
    click.echo(format_served(record))
    if json_file is not None:
        write_record(record, json_file)
        click.echo(f"record {json_file}")


@bench.command("gateway")
@click.option(
    "--seconds", type=click.FloatRange(min=1), default=10, show_default=True, help="How long each load lasts."
)
@click.option("--most", type=click.IntRange(min=1), default=64, show_default=True, help="Try no more sessions.")
@json_option
@commit_option
def bench_gateway(seconds: float, most: int, json_file: Path | None, commit: str | None) -> None:
    """Find how many sessions one gateway carries on this machine, at 40 frames a second of 60 kB each.

    Pushes frames as decoders do, through a real gateway, to players that take the time. More and more sessions play at
    once, until frames are lost or one in a hundred is later than a piece of play.
    """
    from ..bench.gateway import GatewayBenchConfig, measure_gateway
    from ..bench.records import write_record
    from ..bench.report import format_gateway

    config = GatewayBenchConfig(seconds=seconds, most_sessions=most, commit=commit)
    bar: tqdm[NoReturn] = tqdm(unit=" loads", desc="starting", disable=None, dynamic_ncols=True)
    with bar:
        record = measure_gateway(config, lambda load: _advance(bar, f"{load.sessions} sessions"))
    click.echo(format_gateway(record))
    if json_file is not None:
        write_record(record, json_file)
        click.echo(f"record {json_file}")


@bench.command("table")
@click.option("--results", type=FOLDER, default="ops/bench/results", show_default=True, help="Folder of records.")
@click.option("--out", type=OUT_FILE, default="ops/bench/table.md", show_default=True, help="The markdown file.")
@click.option("--readme", type=OUT_FILE, default="README.md", show_default=True, help="Has the table of many GPUs.")
def bench_table(results: Path, out: Path, readme: Path) -> None:
    """Write the table of all records, and that of many GPUs into the README. Run it where the checkout is."""
    from ..bench.many_gpus import write_many_gpus
    from ..bench.records import read_records
    from ..bench.table import format_table

    records = read_records(results)
    out.write_text(format_table(records), encoding="utf-8")
    write_many_gpus(readme, records)
    click.echo(f"{len(records)} records → {out}, {readme}")


@bench.command("simulate")
@model_options()
@click.option("--gpus", type=click.IntRange(min=1), multiple=True, default=(8, 64, 1000), show_default=True)
@click.option("--gpu-gb", type=click.FloatRange(min=1), default=150, show_default=True, help="10⁹ bytes of each GPU.")
@click.option("--results", type=FOLDER, default="ops/bench/results", show_default=True, help="Folder of records.")
@click.option("--write", is_flag=True, help="Add the records to the folder.")
def bench_simulate(gpus: tuple[int, ...], gpu_gb: float, results: Path, write: bool, **model: Any) -> None:
    """How many sessions larger fleets would play, from the measured records, and how well that fits them."""
    from ..bench.records import read_records, write_record
    from ..bench.simulated import compare, format_comparison, measured_runs, simulate

    preset = chosen_preset(**model)
    runs = measured_runs(preset, read_records(results))
    click.echo(format_comparison(compare(preset, runs)) + "\n")
    for count in gpus:
        record = simulate(preset, count, round(1e9 * gpu_gb), runs)
        click.echo(
            f"{count:>6} GPUs: {record.sessions} sessions of {record.fps:.1f} frames a second, "
            f"{record.fps_total:.0f} in all, groups {record.placement}, first frame after {record.first_frame_s:.2f} s"
        )
        if write:
            write_record(record, results / f"{preset.name}_{preset.precision}_simulated_{count}.json")


def _run_on_ranks(config: BenchConfig, sessions: tuple[int, ...]) -> Iterator[BenchRun]:
    """The runs, on the first of the ranks. Where this process is none of them it starts them, and exits as they do."""
    from ..bench.on_ranks import is_launched, launch, launched_ranks
    from ..bench.run import run_benches

    if not is_launched():
        arguments = sys.argv[2:] if sys.argv[1:2] == ["bench"] else sys.argv[1:]
        sys.exit(launch(config.gpus, arguments))
    with launched_ranks(config) as ranks:
        for run in run_benches(config, sessions, lambda times: None, ranks=ranks):
            if ranks.is_first:
                yield run


def _advance(bar: tqdm[NoReturn], what: str) -> None:
    bar.update()
    bar.set_description(what, refresh=False)
