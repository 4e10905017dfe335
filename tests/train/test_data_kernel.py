"""The renderer's Triton kernel against PyTorch: in Triton's interpreter, or compiled where there is a GPU."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor

if find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)
if not torch.cuda.is_available():
    from ..model.fast import interpreter  # noqa: F401  # before any kernel

from worldloom.train.data.kernel.launch import Tile, render_frames
from worldloom.train.data.kernel.measure import SIZE, deviations
from worldloom.train.data.paths import sample_episodes
from worldloom.train.data.render import reference_pass, render
from worldloom.train.data.worlds import HELD_OUT_FROM, Worlds, sample_worlds

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SMALL = (24, 40)
WHOLE = Tile(rows=32, columns=64)
"""One program a small frame: the interpreter takes its time for each."""
SCENES = {
    "dungeon": 0,
    "sunset street": 1,
    "night street": 17,
    "day garden": 6,
    "night garden": 22,
    "hall": 3,
}


@pytest.fixture(scope="module")
def worlds() -> Worlds:
    return sample_worlds(list(SCENES.values())).to(DEVICE)


@pytest.fixture(scope="module")
def poses(worlds: Worlds) -> Tensor:
    """(B, 5), some way into an episode; the first world's looks up and the last one's down."""
    walked = sample_episodes(worlds.to("cpu"), 161, 5).poses[:, 120]
    walked[0, 3], walked[-1, 3] = -27.0, 24.0
    return walked.to(DEVICE)


def test_the_kernel_makes_the_pictures_that_pytorch_makes(worlds: Worlds, poses: Tensor) -> None:
    off = deviations(worlds, poses, SMALL, WHOLE)
    share = (off > 2).float().mean((1, 2))
    # A sample may fall to either side of an edge, and a stretch of wall between two levels of detail.
    assert (share < 0.025).all(), dict(zip(SCENES, share.tolist(), strict=True))
    assert share.mean() < 0.006
    assert off.float().median() == 0


@pytest.mark.parametrize("pitch", [89.9, -89.9, 60.0])
def test_the_kernel_looks_straight_up_and_down(worlds: Worlds, poses: Tensor, pitch: float) -> None:
    steep = poses[3:4].clone()
    steep[:, 3] = pitch
    assert (deviations(worlds.select([3]), steep, SMALL, WHOLE) > 2).float().mean() < 0.01


def test_tiles_that_stick_out_of_the_picture_and_odd_samplings_change_nothing(worlds: Worlds, poses: Tensor) -> None:
    world = torch.tensor([1, 4], device=DEVICE)
    for supersample in (1, 3):
        ours = render_frames(worlds, world, poses[world], 9, 6, supersample, Tile(rows=8, columns=8))
        exact = reference_pass(worlds, world, poses[world], 9, 6, supersample, fineness=16, slots=16)
        assert ours.shape == (2, 9, 6, 3)
        assert ((ours.int() - exact.int()).abs().amax(-1) > 2).float().mean() < 0.01


def test_no_frames_are_no_trouble(worlds: Worlds, poses: Tensor) -> None:
    none = torch.zeros(0, dtype=torch.long, device=DEVICE)
    assert render_frames(worlds, none, poses[none], *SMALL, 2).shape == (0, *SMALL, 3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_full_frames_of_many_worlds_agree_on_a_gpu() -> None:
    drawn = sample_worlds(range(HELD_OUT_FROM, HELD_OUT_FROM + 16))
    poses = sample_episodes(drawn, 161, 0).poses.to("cuda")
    many = drawn.to("cuda")
    off = deviations(many, poses[:, 80])
    assert ((off > 2).float().mean((1, 2)) < 0.01).all()
    video = render(many, poses[:, 79:82], *SIZE)
    assert torch.equal(video[:, 1], render(many, poses[:, 80:81], *SIZE)[:, 0])
