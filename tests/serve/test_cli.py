"""The command line: lazy subcommands, help, errors and exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from worldloom.errors import PresetUnknown
from worldloom.serve import cli as cli_module


@click.command("sample")
@click.option("--how", default="well")
def sample(how: str) -> None:
    """End in the way that was asked for. More text."""
    if how == "unknown preset":
        raise PresetUnknown("no preset 'huge'", hint="Presets: pocket.")
    if how == "fault":
        raise KeyError("inner\ndetail")
    if how == "ctrl-c":
        raise KeyboardInterrupt
    click.echo("done")


@pytest.fixture(autouse=True)
def only_the_sample_command(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = EntryPoint("sample", "sample_command:sample", cli_module.COMMAND_GROUP)
    monkeypatch.setattr(cli_module, "entry_points", lambda group: [entry])
    monkeypatch.setattr(EntryPoint, "load", lambda entry: sample)
    monkeypatch.delenv("WORLDLOOM_DEBUG", raising=False)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)


def run_main(*arguments: str) -> int:
    with pytest.raises(SystemExit) as ended:
        cli_module.main(list(arguments))
    assert isinstance(ended.value.code, int)
    return ended.value.code


def test_a_subcommand_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("sample") == 0
    assert capsys.readouterr().out == "done\n"


def test_a_planned_error_is_two_lines_and_exit_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("sample", "--how", "unknown preset") == 2
    assert capsys.readouterr().err == "error: no preset 'huge'\nhint: Presets: pocket.\n"


def test_debug_shows_the_traceback_of_a_planned_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLDLOOM_DEBUG", "1")
    assert run_main("sample", "--how", "unknown preset") == 2
    assert "Traceback" in capsys.readouterr().err


def test_a_wrong_option_exits_2_with_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("sample", "--when", "now") == 2
    error = capsys.readouterr().err
    assert error.startswith("Usage: worldloom sample") and "--when" in error


def test_an_unknown_command_exits_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("dance") == 2
    assert "dance" in capsys.readouterr().err


def test_ctrl_c_exits_130_without_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("sample", "--how", "ctrl-c") == 130
    assert capsys.readouterr().err.split() == ["stopped"]


def test_an_unexpected_error_is_one_line_unless_debugging(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    error = KeyError("inner")
    cli_module.report_unexpected(KeyError, error, None)
    assert "unexpected KeyError: 'inner'\n" in capsys.readouterr().err
    monkeypatch.setenv("WORLDLOOM_DEBUG", "1")
    cli_module.report_unexpected(KeyError, error, None)
    assert capsys.readouterr().err.startswith("KeyError")


def test_help_takes_the_first_sentence_from_the_source_without_importing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample_command.py").write_text(
        'raise ImportError\ndef sample():\n    """Do this\n    well. Then rest."""'
    )
    monkeypatch.syspath_prepend(tmp_path)
    result = CliRunner().invoke(cli_module.cli, ["--help"])
    assert result.exit_code == 0
    assert "sample  Do this well.\n" in result.output
    assert "sample_command" not in sys.modules


def test_help_of_the_installed_command_loads_no_heavy_module() -> None:
    program = (
        "import sys\nfrom worldloom.serve.cli import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'ray', 'numpy', 'av'} & set(sys.modules)\nsys.exit(f'loaded {heavy}' if heavy else 0)\n"
    )
    environment = {**os.environ, "NO_COLOR": "1"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    for command in ("demo", "serve", "play", "generate", "fetch", "parity"):
        assert f"  {command} " in done.stdout
