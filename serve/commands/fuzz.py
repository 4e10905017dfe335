"""`worldloom fuzz`: whether a service stands what clients can send."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

import click
from tqdm import tqdm

if TYPE_CHECKING:
    from ..fuzz.run import FuzzReport

SHOWN_VIOLATIONS = 20


@click.command()
@click.option("--messages", type=click.IntRange(min=1), default=100_000, show_default=True, help="How many to send.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Same seed, same messages.")
@click.option("--attackers", type=click.IntRange(min=1), default=2, show_default=True, help="Sessions that attack.")
@click.option("--url", help="A running service (default: start one with the mock engine).")
def fuzz(messages: int, seed: int, attackers: int, url: str | None) -> None:
    """Send valid, impossible, damaged and oversized messages while another session plays.

    Fails unless every message that is wrong got a typed error or the end of its connection, the other session missed no
    frame and saw no error, and the service still admits sessions.
    """
    from ..fuzz.run import FuzzConfig
    from ..fuzz.run import fuzz as attack
    from ..remote_errors import known_errors

    config = FuzzConfig(messages=messages, seed=seed, attackers=attackers)
    bar: tqdm[NoReturn] = tqdm(total=messages, unit=" messages", desc="starting", disable=None, dynamic_ncols=True)
    with bar, service_at(url, attackers) as address, known_errors():
        bar.set_description("attacking")
        report = attack(address, config, lambda sent: _advance(bar, sent))
    click.echo(format_report(report))
    if report.violations:
        sys.exit(1)


def _advance(bar: tqdm[NoReturn], sent: int) -> None:
    bar.update(sent)


@contextmanager
def service_at(url: str | None, attackers: int) -> Iterator[str]:
    """The URL of a service: the one given, or one with the mock engine that ends with the block."""
    if url is not None:
        yield url
        return
    # Ray takes seconds to import: not where a service runs already.
    from ...cluster.config import ClusterConfig
    from ...model.preset import load_preset
    from ..service import ServiceConfig, start_service

    # The attackers' sessions, the canary's, and one that asks at the end whether it is let in.
    cluster = ClusterConfig(preset=load_preset("mock"), sessions_per_group=attackers + 2)
    with start_service(ServiceConfig(cluster=cluster, port=0)) as service:
        yield service.url


def format_report(report: FuzzReport) -> str:
    """Counts, what the canary saw, and what must not have happened."""
    tally, canary = report.tally, report.canary
    codes = ", ".join(f"{code} {count}" for code, count in tally.codes.most_common())
    lines = [
        f"sent      {tally.messages} messages on {tally.connections} connections",
        f"answers   {codes}",
        f"canary    {canary.frames} frames and {canary.events} events in {canary.played_s:.0f} s, "
        f"{canary.gaps} missed, stalled {canary.stalled_s:.2f} s, "
        f"round trip p95 {1000 * canary.round_trip_p95_s:.0f} ms",
    ]
    if not report.violations:
        return "\n".join([*lines, "no promise was broken"])
    shown = [f"  {violation}" for violation in report.violations[:SHOWN_VIOLATIONS]]
    return "\n".join([*lines, f"{len(report.violations)} promises were broken:", *shown])
