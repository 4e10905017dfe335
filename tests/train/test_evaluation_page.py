"""The page of figures says what the files of figures say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from worldloom.errors import ConfigError
from worldloom.train.commands.eval import evaluate
from worldloom.train.evaluation.page import MISSING, filled
from worldloom.train.evaluation.report import Aim, Report, Row, Table

BENCH_DIR = Path(__file__).parents[2] / "ops" / "bench"
PAGE = "By hand.\n\n<!-- measured: drift -->\nold figures\n<!-- end -->\n\nAlso by hand.\n"
ROWS: list[Row] = [
    {"chunk": 0.0, "psnr": 31.25, "each": [1.0, 2.0]},
    {"chunk": 1.0, "psnr": float("nan"), "each": [3.0]},
]
TABLE = Table(title="Over time", columns={"chunk": "chunk", "psnr": "PSNR"}, rows=ROWS)
REPORT = Report(
    title="Drift", settings={"worlds": [7, 8]}, tables=[TABLE], aims=[Aim(what="PSNR", value=31.25, limit=30)]
)
MADE_BY = {"device": "NVIDIA H200", "torch": "2.11.0", "commit": "0123456789ab", "command": "worldloom eval drift"}


def write_results(folder: Path, **changes: object) -> None:
    document = {**REPORT.as_json(), "preset": "pocket", "weights": "trained", "made_by": MADE_BY, **changes}
    (folder / "drift").mkdir()
    (folder / "drift" / "drift.json").write_text(json.dumps(document, allow_nan=False))


def test_figures_replace_what_stood_between_the_marks(tmp_path: Path) -> None:
    write_results(tmp_path)
    (tmp_path / "drift" / "drift-7.jpg").touch()
    page = filled(PAGE, tmp_path, "results")
    assert page.startswith("By hand.\n") and page.endswith("Also by hand.\n") and "old figures" not in page
    assert TABLE.markdown() in page and "- pass: PSNR 31.2 (aim ≥ 30)" in page
    assert "2 held-out worlds" in page and "commit 0123456: `worldloom eval drift`" in page
    assert "![drift-7](results/drift/drift-7.jpg)" in page
    assert filled(page, tmp_path, "results") == page


def test_a_report_survives_its_file() -> None:
    document = json.loads(json.dumps(REPORT.as_json(), allow_nan=False))
    assert Report.from_json(document).as_json() == REPORT.as_json()
    assert Report.from_json(document).markdown() == REPORT.markdown()


def test_what_was_not_measured_is_said(tmp_path: Path) -> None:
    assert MISSING in filled(PAGE, tmp_path, "results")


def test_pages_without_marks_and_files_without_figures_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no mark"):
        filled("Nothing here.", tmp_path, "results")
    write_results(tmp_path)
    (tmp_path / "drift" / "drift.json").write_text('{"preset": "pocket"}')
    with pytest.raises(ConfigError, match=r"drift\.json lacks"):
        filled(PAGE, tmp_path, "results")
    (tmp_path / "drift" / "drift.json").write_text("cut off {")
    with pytest.raises(ConfigError, match=r"drift\.json is no JSON"):
        filled(PAGE, tmp_path, "results")


def test_the_command_writes_the_page_that_is_in_the_repository(tmp_path: Path) -> None:
    shipped = (BENCH_DIR / "quality.md").read_text(encoding="utf-8")
    assert filled(shipped, BENCH_DIR / "results" / "quality", "results/quality") == shipped
    write_results(tmp_path)
    page = tmp_path / "page.md"
    page.write_text(PAGE)
    run = CliRunner().invoke(
        evaluate, ["page", "--page", str(page), "--results", str(tmp_path)], catch_exceptions=False
    )
    assert run.exit_code == 0 and "31.2" in page.read_text()
