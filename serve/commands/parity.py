"""`worldloom parity`."""

from __future__ import annotations

from pathlib import Path

import click

FOLDER = click.Path(file_okay=False, path_type=Path)


@click.command()
@click.argument("case_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--out", type=FOLDER, required=True, help="Folder for the outputs.")
def parity(case_dir: Path, out: Path) -> int:
    """Write what this model computes for golden cases, to compare with another implementation.

    CASE_DIR is laid out like the golden vectors, without their expected files, or is one of their folders. For each
    inputs file an output is written to the same path below the output folder, with `inputs` replaced by `expected`,
    and with the golden tensor names. Numbers are float32, computed on the CPU.
    """
    from ...cluster.parity import run_cases
    from ..cli import report

    failed = 0
    for result in run_cases(case_dir, out):
        if result.error is None:
            click.echo(f"{result.name} → {result.output}")
        else:
            failed += 1
            click.echo(f"{result.name} failed", err=True)
            report(result.error)
    return 1 if failed else 0
