"""A perfect model has perfect figures in every test, and faulty ones do not."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from worldloom.model.poses import Float32
from worldloom.model.preset import VideoConfig
from worldloom.train.evaluation import control, drift, revisit
from worldloom.train.evaluation.moves import Moves, there_and_back
from worldloom.train.evaluation.player import Player, TruthPlay, TruthPlayer
from worldloom.train.evaluation.recall import Policy
from worldloom.train.evaluation.report import Report, Row, number
from worldloom.train.evaluation.scenes import Scene, others_like, scenes_for_script, scenes_to_explore

VIDEO = VideoConfig(height=32, width=64, frame_rate=16)
CPU = torch.device("cpu")
POLICIES = (Policy.CAMERA, Policy.RECENT, Policy.NONE)
REVISIT = revisit.RevisitConfig(turn=48, gaps=(8, 20), spread=1, floor_pairs=16, policies=POLICIES)
DRIFT = drift.DriftConfig(chunks=4, others=2)
TRIED = ("W", "turn left", "look up")


class CachedScene(Scene):
    """Renders a pose once, however many tests and players look from there."""

    _known: ClassVar[dict[tuple[object, ...], Tensor]] = {}

    def truth(self, poses: Float32, shrink: int = 1) -> Tensor:
        return self._recall(super().truth, poses, shrink)

    def seen(self, poses: Float32, shrink: int = 1) -> Tensor:
        return self._recall(super().seen, poses, shrink)

    def _recall(self, look: Callable[[Float32, int], Tensor], poses: Float32, shrink: int) -> Tensor:
        keys = [(look.__name__, self.seed, *self.start.tolist(), *pose, shrink) for pose in poses.tolist()]
        new = [index for index, key in enumerate(keys) if key not in self._known]
        if new:
            self._known.update(zip((keys[index] for index in new), look(poses[new], shrink), strict=True))
        return torch.stack([self._known[key] for key in keys])


def cached(scene: Scene) -> Scene:
    return CachedScene(world=scene.world, start=scene.start, video=scene.video)


class MirroredPlayer(TruthPlayer):
    """Takes left for right."""

    def step(self, play: TruthPlay, moves: Moves) -> tuple[Tensor, TruthPlay]:
        return super().step(play, moves.mirrored())


class FrozenPlayer(TruthPlayer):
    """Never moves."""

    def step(self, play: TruthPlay, moves: Moves) -> tuple[Tensor, TruthPlay]:
        frames, play = super().step(play, moves)
        return torch.from_numpy(play.scene.image).expand_as(frames).clone(), play


@dataclass(frozen=True, kw_only=True, slots=True)
class OtherPlace:
    scene: Scene
    since: int
    """Frame."""


class ForgetfulPlayer(TruthPlayer):
    """Shows another place from some frame on, unless its memory is of a policy that helps."""

    def __init__(self, other: OtherPlace, helps: Policy | None) -> None:
        self.other = other
        self.helps = helps
        self.policy = Policy.CAMERA

    def begin(self, scene: Scene, policy: Policy = Policy.CAMERA) -> TruthPlay:
        self.policy = policy
        return super().begin(scene, policy)

    def step(self, play: TruthPlay, moves: Moves) -> tuple[Tensor, TruthPlay]:
        frames, after = super().step(play, moves)
        assert after.moves is not None
        first = len(after.moves) - len(moves)
        keep = max(0, self.other.since - first)
        if self.policy is not self.helps and keep < len(frames):
            frames[keep:] = self.other.scene.truth(after.moves.poses()[first + keep :])
        return frames, after


@pytest.fixture(scope="module")
def way() -> Scene:
    return cached(scenes_for_script(there_and_back(revisit.way_out(REVISIT.turn)), 1, 0, VIDEO, CPU)[0])


@pytest.fixture(scope="module")
def star() -> Scene:
    return cached(scenes_for_script(control.star(), 1, 3, VIDEO, CPU)[0])


@pytest.fixture(scope="module")
def walk() -> tuple[Scene, Moves]:
    scene, path = scenes_to_explore(1, max(DRIFT.legs) + 1, 4, VIDEO, CPU)[0]
    return cached(scene), path


def elsewhere(scene: Scene, since: int) -> OtherPlace:
    return OtherPlace(scene=cached(others_like(scene, 1)[0]), since=since)


def revisited(player: Player[TruthPlay], scene: Scene) -> Report:
    return revisit.measure(player, [scene], REVISIT, lambda: None)


def controlled(player: Player[TruthPlay], scene: Scene) -> Report:
    return control.measure(player, [scene], lambda: None, TRIED)


def summary_of(report: Report) -> list[Row]:
    return list(report.table("All actions").rows)


def test_perfect_model_comes_back_to_the_same_place_under_any_policy(way: Scene) -> None:
    visits = revisited(TruthPlayer(), way)
    for row in visits.table("Second visit").rows:
        assert number(row["psnr"]) > 45 and number(row["ssim"]) > 0.99
        assert number(row["sharpness"]) == pytest.approx(1, abs=0.01)
        seen = [number(row[key]) for key in ("psnr_first", "psnr_second")]
        assert all(math.isnan(value) or value > 45 for value in seen)
    assert len(visits.table("Second visit").rows) == len(POLICIES) * len(REVISIT.gaps)
    assert all(number(row["psnr"]) < 30 and number(row["ssim"]) < 0.9 for row in visits.table("Floor").rows)
    assert not any(aim.met for aim in visits.aims), "no policy can be better than another"


def test_revisit_tells_the_policy_that_remembers_from_those_that_do_not(way: Scene) -> None:
    visits = revisited(ForgetfulPlayer(elsewhere(way, REVISIT.turn + 4), Policy.CAMERA), way)
    assert len(visits.aims) == 4 and all(aim.met for aim in visits.aims)
    table = visits.table("Second visit")
    forgotten = table.row(memory=Policy.NONE.value, gap=20)
    assert number(forgotten["psnr_first"]) > 45 > 25 > number(forgotten["psnr_second"])
    floor = visits.table("Floor").row(memory=Policy.NONE.value)
    assert number(forgotten["ssim"]) < number(floor["ssim"]) + 0.2


def test_perfect_model_is_steered_exactly(star: Scene) -> None:
    report = controlled(TruthPlayer(), star)
    for row in summary_of(report):
        # Pictures of 8×16 pixels tell no smaller angles.
        assert number(row["rotation_deg"]) < 2 and number(row["translation_m"]) < 0.2
        assert row["hit"] == 1.0
    confusion = report.table("Confusion")
    assert [row[action] for row, action in zip(confusion.rows, TRIED, strict=True)] == [1.0] * len(TRIED)
    assert all(aim.met for aim in report.aims)


def test_a_model_that_takes_left_for_right_is_found_out(star: Scene) -> None:
    report = controlled(MirroredPlayer(), star)
    table = report.table("Each action")
    for clip in control.CLIPS:
        turned = table.row(clip=clip, action="turn left")
        assert turned["hit"] == 0.0 and number(turned["rotation_deg"]) == pytest.approx(48, abs=4)
        assert table.row(clip=clip, action="W")["hit"] == 1.0
    assert report.table("Confusion").row(asked="turn left")["turn right"] == 1.0


def test_a_model_that_never_moves_is_found_out(star: Scene) -> None:
    report = controlled(FrozenPlayer(), star)
    assert [row["hit"] for row in summary_of(report)] == [0.0, 0.0]
    assert all(row[control.STILL] == 1.0 for row in report.table("Confusion").rows)
    walked = report.table("Each action").row(clip="first clip", action="W")
    assert number(walked["translation_relative"]) == pytest.approx(1, abs=0.15)
    assert not any(aim.met for aim in report.aims)


def test_perfect_model_does_not_drift(walk: tuple[Scene, Moves]) -> None:
    report = drift.measure(TruthPlayer(), [walk], DRIFT, lambda: None)
    for title in ("Over time", "Back at the start"):
        for row in report.table(title).rows:
            assert number(row["sharpness"]) == pytest.approx(1, abs=1e-4)
            assert (row["colour"], row["recognised"]) == (0.0, 1.0)
            assert math.isnan(number(row["psnr"])) or number(row["psnr"]) > 100
    home = report.table("Back at the start").rows
    assert all(number(row["seen"]) > 0.95 for row in home)
    assert len(report.details["chunks"]) == DRIFT.chunks and all(aim.met for aim in report.aims)


def test_a_model_that_ends_up_elsewhere_has_drifted(walk: tuple[Scene, Moves]) -> None:
    player = ForgetfulPlayer(elsewhere(walk[0], 97), None)
    report = drift.measure(player, [walk], DRIFT, lambda: None)
    recognised = [row["recognised"] for row in report.details["chunks"]]
    assert recognised[:2] == [1.0, 1.0] and recognised[2:] == [0.0, 0.0]
    last = report.table("Back at the start").rows[-1]
    assert number(last["psnr"]) < 25 and number(last["ssim"]) < 0.8 and number(last["colour"]) > 2
    assert not any(aim.met for aim in report.aims)
