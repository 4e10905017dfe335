"""Tables, aims and where figures come from."""

from __future__ import annotations

import json
import math

import pytest
import torch
from worldloom.train.evaluation.provenance import commit, provenance
from worldloom.train.evaluation.report import Aim, Report, Table, Tally, mean_of


def table() -> Table:
    tally = Tally("memory", "gap")
    tally.add("camera", 48, psnr=torch.tensor([30.0, 20.0]), ssim=0.5)
    tally.add("none", 48, psnr=math.nan, ssim=0.25)
    tally.add("camera", 48, psnr=torch.tensor([15.0, math.nan]), ssim=0.7)
    return Table(title="Visits (all)", columns={"memory": "memory", "psnr": "PSNR"}, rows=tally.rows())


def test_tally_averages_pairs_and_then_worlds() -> None:
    row = table().row(memory="camera", gap=48)
    assert row["psnr"] == 20.0 and row["psnr_each"] == [25.0, 15.0]
    assert row["ssim"] == pytest.approx(0.6)


def test_mean_leaves_out_what_is_no_number() -> None:
    assert mean_of([1.0, math.nan, 3.0]) == 2.0
    assert math.isnan(mean_of([math.nan]))


def test_table_shows_its_columns_only_and_a_dash_for_nothing() -> None:
    assert table().markdown() == ("**Visits (all)**\n\n| memory | PSNR |\n| --- | --- |\n| camera | 20 |\n| none | – |")


@pytest.mark.parametrize("value, at_most, met", [(36.0, False, True), (34.0, False, False), (34.0, True, True)])
def test_aims_are_met_from_the_right_side(value: float, at_most: bool, met: bool) -> None:
    aim = Aim(what="PSNR", value=value, limit=35.0, at_most=at_most)
    assert aim.met is met and aim.markdown().startswith("- pass" if met else "- FAIL")
    assert not Aim(what="PSNR", value=math.nan, limit=35.0, at_most=at_most).met


def test_report_is_valid_json_with_every_figure() -> None:
    report = Report(title="Revisit", settings={"turn": 8}, tables=[table()], aims=[Aim(what="x", value=1, limit=2)])
    document = json.loads(json.dumps(report.as_json(), allow_nan=False))
    assert document["tables"]["Visits (all)"][1] == {
        "memory": "none", "gap": 48, "psnr": None, "ssim": 0.25, "psnr_each": [None], "ssim_each": [0.25],
    }  # fmt: skip
    assert document["aims"] == [{"what": "x", "value": 1, "limit": 2, "at_most": False, "met": False}]
    assert report.markdown().startswith("## Revisit\n")


def test_provenance_names_machine_commit_and_command() -> None:
    made_by = provenance(torch.device("cpu"))
    assert {"command", "commit", "device", "cores", "torch", "date"} <= made_by.keys()
    assert json.dumps(made_by) and made_by["commit"] == commit()
