"""Which action rows a latent frame sees, and what the module may mix."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from worldloom.model.action import ActionModule, ActionWindows, window_actions
from worldloom.model.action_config import ActionConfig

CONFIG = ActionConfig(
    blocks=(0,),
    heads_num=2,
    hidden_size=8,
    img_hidden_size=32,
    keyboard_dim_in=6,
    keyboard_hidden_dim=32,
    mouse_dim_in=2,
    mouse_hidden_dim=16,
    mouse_qk_dim_list=(4, 2, 2),
    rope_dim_list=(4, 6, 6),
    rope_theta=256,
)
FRAMES, POSITIONS = 3, 5


def numbered_rows(count: int, width: int) -> Tensor:
    """(1, count, width), each row filled with its index."""
    return torch.arange(count).float()[None, :, None].expand(1, count, width)


def windows_of(count: int, frames: int, memory: int = 0) -> ActionWindows:
    return window_actions(
        CONFIG,
        keyboard=numbered_rows(count, 6),
        mouse=numbered_rows(count, 2),
        memory_keyboard=100 + numbered_rows(memory, 6) if memory else None,
        memory_mouse=100 + numbered_rows(memory, 2) if memory else None,
        frames=frames,
    )


@pytest.mark.parametrize(("count", "frames", "oldest"), [(57, 15, -12), (56, 14, -8)])
def test_a_latent_frame_sees_twelve_rows_and_row_0_stands_in_for_what_came_before(
    count: int, frames: int, oldest: int
) -> None:
    windows = windows_of(count, frames)
    for latent in range(frames):
        expected = [max(4 * latent + oldest + row, 0) for row in range(12)]
        assert windows.keyboard[0, latent, :, 0].tolist() == expected
        assert windows.mouse[0, latent].tolist() == [row for row in expected for _ in range(2)]


def test_a_memory_frame_sees_its_single_row_twelve_times() -> None:
    windows = windows_of(12, 3, memory=2)
    assert windows.keyboard.shape == (1, 5, 12, 6)
    for frame in range(2):
        assert set(windows.keyboard[0, frame].flatten().tolist()) == {100 + frame}
        assert set(windows.mouse[0, frame].tolist()) == {100 + frame}
    assert torch.equal(windows.keyboard[:, 2:], windows_of(12, 3).keyboard)


def test_memory_and_clip_count_their_frames_from_zero_each() -> None:
    rope = windows_of(12, 3, memory=2).mouse_rope
    alone = windows_of(12, 3).mouse_rope
    assert torch.equal(rope.cos[:, 2:], alone.cos)
    assert torch.equal(rope.sin[:, :2], alone.sin[:, :2])


@pytest.mark.parametrize(("count", "frames"), [(57, 14), (56, 15), (58, 15), (3, 1)])
def test_rows_that_do_not_make_the_frames_are_refused(count: int, frames: int) -> None:
    with pytest.raises(ValueError, match=f"{count} action rows for {frames} latent frames"):
        windows_of(count, frames)


@pytest.fixture
def module() -> ActionModule:
    torch.manual_seed(0)
    return ActionModule(CONFIG).requires_grad_(False)


def tokens(seed: int = 0) -> Tensor:
    return torch.randn(1, FRAMES * POSITIONS, 32, generator=torch.Generator().manual_seed(seed))


def conditioned(module: ActionModule, x: Tensor, *, keyboard: float = 1.0, mouse: float = 0.1) -> Tensor:
    windows = window_actions(
        CONFIG,
        keyboard=torch.full((1, 4 * FRAMES, 6), keyboard),
        mouse=torch.full((1, 4 * FRAMES, 2), mouse),
        memory_keyboard=None,
        memory_mouse=None,
        frames=FRAMES,
    )
    out: Tensor = module(x, module.prepare(windows))
    return out


def test_keys_and_mouse_both_change_the_tokens(module: ActionModule) -> None:
    base = conditioned(module, tokens())
    assert not torch.allclose(conditioned(module, tokens(), keyboard=0.0), base)
    assert not torch.allclose(conditioned(module, tokens(), mouse=0.9), base)


def test_grid_positions_do_not_see_each_other(module: ActionModule) -> None:
    x = tokens()
    order = torch.randperm(POSITIONS, generator=torch.Generator().manual_seed(1))
    by_position = x.view(1, FRAMES, POSITIONS, 32)
    shuffled = conditioned(module, by_position[:, :, order].reshape(x.shape))
    expected = conditioned(module, x).view(1, FRAMES, POSITIONS, 32)[:, :, order].reshape(x.shape)
    torch.testing.assert_close(shuffled, expected)


def test_frames_of_one_position_see_each_other(module: ActionModule) -> None:
    x = tokens()
    changed = x.clone()
    changed[0, -1] += 1  # last frame, last position
    difference = (conditioned(module, changed) - conditioned(module, x)).abs().amax(dim=-1).view(FRAMES, POSITIONS)
    assert (difference[:, -1] > 1e-6).all()
    assert (difference[:, :-1] < 1e-5).all()


def test_stored_head_norm_weights_are_not_applied(module: ActionModule) -> None:
    before = conditioned(module, tokens())
    for name, parameter in module.named_parameters():
        if name.endswith("_norm.weight"):
            parameter.fill_(7.0)
    assert torch.equal(conditioned(module, tokens()), before)
