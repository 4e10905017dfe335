"""The `worldloom` command. Subcommands come from the entry-point group `worldloom.commands`; none is imported here."""

from __future__ import annotations

import ast
import importlib.util
import os
import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from importlib.metadata import version as installed_version
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import click

from ..errors import WorldloomError

COMMAND_GROUP = "worldloom.commands"
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130


class LazyGroup(click.Group):
    """A group whose commands are entry points, loaded when one is run, but not to list them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return sorted(_entry_points())

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        entry = _entry_points().get(cmd_name)
        if entry is None:
            return None
        command = entry.load()
        assert isinstance(command, click.Command), f"{entry.value} is no click command"
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        rows = [(name, _one_line_help(entry)) for name, entry in sorted(_entry_points().items())]
        if rows:
            with formatter.section("Commands"):
                formatter.write_dl(rows)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(installed_version("worldloom"), prog_name="worldloom")
@click.option("--debug", is_flag=True, envvar="WORLDLOOM_DEBUG", help="Show tracebacks (also: WORLDLOOM_DEBUG=1).")
def cli(debug: bool) -> None:
    """Serve interactive world models: actions in, video out, places remembered."""
    if debug:
        os.environ["WORLDLOOM_DEBUG"] = "1"


def main(arguments: list[str] | None = None) -> NoReturn:
    """Run the command line and leave the process with an exit code: 0, 1 (failed), 2 (wrong use) or 130 (stopped)."""
    sys.excepthook = report_unexpected
    try:
        result = cli.main(args=arguments, prog_name="worldloom", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        click.echo("stopped", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except WorldloomError as error:
        report(error)
        sys.exit(EXIT_USAGE)
    sys.exit(result if isinstance(result, int) else 0)


def report(error: WorldloomError) -> None:
    """Write what was wrong and what to do to stderr."""
    if _debugging():
        traceback.print_exception(error)
    click.echo(f"{click.style('error:', fg='red', bold=True)} {error.message}", err=True)
    if error.hint:
        click.echo(f"{click.style('hint:', fg='cyan', bold=True)} {error.hint}", err=True)


def report_unexpected(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    """The process's last word on an exception that nobody planned: one line, or the traceback with --debug."""
    if _debugging() or not issubclass(kind, Exception):
        sys.__excepthook__(kind, error, trace)
        return
    lines = str(error).splitlines() or [""]
    click.echo(f"{click.style('error:', fg='red', bold=True)} unexpected {kind.__name__}: {lines[0]}", err=True)
    hint = "This is a fault of worldloom. Run again as 'worldloom --debug …' for the traceback."
    click.echo(f"{click.style('hint:', fg='cyan', bold=True)} {hint}", err=True)


def _debugging() -> bool:
    return os.environ.get("WORLDLOOM_DEBUG", "") not in ("", "0")


def _entry_points() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=COMMAND_GROUP)}


def _one_line_help(entry: EntryPoint) -> str:
    """First sentence of the command's docstring, read from its source: importing all commands would load torch."""
    try:
        spec = importlib.util.find_spec(entry.module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return "(not installed)"
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == entry.attr:
            paragraph = (ast.get_docstring(node) or "").split("\n\n")[0]
            return " ".join(paragraph.split()).split(". ")[0].rstrip(".") + "."
    return ""
