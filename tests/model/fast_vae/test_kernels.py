"""The Triton kernels against plain PyTorch: in Triton's interpreter, or compiled where there is a GPU."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
import torch
from torch import Tensor, nn

if find_spec("triton") is None:
    pytest.skip("Triton is not installed", allow_module_level=True)
if not torch.cuda.is_available():
    from ..fast import interpreter  # noqa: F401  # before any kernel

from worldloom.model.fast_vae.convolution import (
    Convolution,
    Shortcut,
    convolution_of,
    for_library,
    upsampling_convolution,
)
from worldloom.model.fast_vae.convolution_kernel import Blocks, choose_blocks, launch_convolve, launch_pixels
from worldloom.model.fast_vae.grid import Grid, empty_frames, framed
from worldloom.model.fast_vae.library import finish_products
from worldloom.model.fast_vae.norm import Norm, norm_of, normed
from worldloom.model.fast_vae.norm_kernel import launch_activate
from worldloom.model.fast_vae.pairs import for_pairs
from worldloom.model.fast_vae.pixels import convolve_pixels
from worldloom.model.fast_vae.plain import convolve_plainly

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BLOCKS = Blocks(rows=16, columns=32, depth=16, warps=4)


def random_frames(count: int, height: int, width: int, channels: int) -> Tensor:
    return framed(torch.randn(count, height, width, channels, device=DEVICE))


def spatial_and_causal(inputs: int, outputs: int) -> Convolution:
    return from_layer(nn.Conv3d(inputs, outputs, 3))


def from_layer(layer: nn.Conv3d) -> Convolution:
    assert layer.bias is not None
    return convolution_of(layer.weight.detach().to(DEVICE), layer.bias.detach().to(DEVICE))


def enlarging(inputs: int, outputs: int) -> Convolution:
    layer = nn.Conv2d(inputs, outputs, 3)
    assert layer.bias is not None
    return upsampling_convolution(layer.weight.detach().to(DEVICE), layer.bias.detach().to(DEVICE))


def random_norm(channels: int) -> Norm:
    return norm_of(torch.randn(channels, device=DEVICE))


def assert_kernel_agrees(
    source: Tensor,
    convolution: Convolution,
    blocks: Blocks,
    *,
    norm: Norm | None = None,
    shortcut: Shortcut | None = None,
) -> None:
    """Raw and, with a norm, active frames, margins and filling channels included."""
    grid = Grid.of(source) if convolution.scale == 1 else Grid.of(source).doubled
    count = len(source) - convolution.past_frames
    targets = [empty_frames(count, grid, convolution.out_channels, source).fill_(7.0) for _ in range(4)]
    active = (None, None) if norm is None else (targets[2], targets[3])
    convolve_plainly(source, convolution, raw=targets[0], active=active[0], norm=norm, shortcut=shortcut)
    launch_convolve(source, convolution, raw=targets[1], active=active[1], norm=norm, shortcut=shortcut, blocks=blocks)
    torch.testing.assert_close(targets[1], targets[0], rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(targets[3], targets[2], rtol=1e-4, atol=1e-4)


def test_a_causal_convolution_with_norm_and_shortcut() -> None:
    source = random_frames(5, 3, 5, 24)
    shortcut = Shortcut(frames=random_frames(3, 3, 5, 24))
    assert_kernel_agrees(source, spatial_and_causal(24, 20), BLOCKS, norm=random_norm(20), shortcut=shortcut)


@pytest.mark.parametrize("frames", [1, 2, 5])
@pytest.mark.parametrize("complete", [True, False])
def test_frames_made_in_pairs_are_those_made_one_by_one(frames: int, complete: bool) -> None:
    source, convolution, norm = random_frames(2 + frames, 3, 5, 24), spatial_and_causal(24, 20), random_norm(20)
    shortcut = Shortcut(frames=random_frames(frames, 3, 5, 24)) if complete else None
    results = [source.new_full((frames, 4, 6, 24), 7.0) for _ in range(4)]
    active = results[1::2] if complete else (None, None)
    convolve_plainly(source, convolution, raw=results[0], active=active[0], norm=norm, shortcut=shortcut)
    launch_convolve(source, for_pairs(convolution), raw=results[2], active=active[1], norm=norm, shortcut=shortcut)
    torch.testing.assert_close(results[2:], results[:2], rtol=2e-3, atol=5e-3)


def test_what_a_library_convolved_with_its_margin_is_finished_like_the_rest() -> None:
    source, convolution, norm = random_frames(5, 3, 5, 24), spatial_and_causal(24, 20), random_norm(20)
    shortcut = Shortcut(frames=random_frames(3, 3, 5, 24))
    filters = for_library(convolution).filters
    assert filters is not None
    products = nn.functional.conv3d(source.permute(3, 0, 1, 2)[None], filters, padding=(0, 1, 1))
    results = [torch.full_like(shortcut.frames, 7.0) for _ in range(4)]
    convolve_plainly(source, convolution, raw=results[0], active=results[1], norm=norm, shortcut=shortcut)
    finish_products(
        products[0].permute(1, 2, 3, 0).contiguous(),
        convolution,
        raw=results[2],
        active=results[3],
        norm=norm,
        shortcut=shortcut,
    )
    torch.testing.assert_close(results[2:], results[:2], rtol=1e-4, atol=1e-4)


def test_rows_wider_than_a_block_are_normed_afterwards() -> None:
    source = random_frames(3, 2, 3, 16)
    narrow = Blocks(rows=16, columns=16, depth=16, warps=4)
    assert_kernel_agrees(source, spatial_and_causal(16, 40), narrow, norm=random_norm(40))


@pytest.mark.parametrize(("time_factor", "missing"), [(1, 0), (2, 0), (2, 1)])
def test_an_enlarging_convolution_with_the_stage_shortcut(time_factor: int, missing: int) -> None:
    source = random_frames(2 * time_factor - missing, 3, 4, 24)
    shortcut = Shortcut(
        frames=random_frames(2, 3, 4, 24),
        time_factor=time_factor,
        time_offset=missing,
        repeats=12 * 4 * time_factor // 24,
    )
    assert_kernel_agrees(source, enlarging(24, 12), BLOCKS, norm=random_norm(12), shortcut=shortcut)


@pytest.mark.parametrize("kernel", [(3, 1, 1), (1, 1, 1)])
def test_a_convolution_without_neighbours(kernel: tuple[int, int, int]) -> None:
    assert_kernel_agrees(random_frames(4, 2, 3, 16), from_layer(nn.Conv3d(16, 8, kernel)), BLOCKS)


def test_the_last_convolution_to_pixels() -> None:
    source = random_frames(4, 3, 5, 16)
    convolution = spatial_and_causal(16, 12)
    expected = convolve_pixels(source.cpu(), from_cpu(convolution))
    pixels = torch.full_like(expected, 9, device=DEVICE)
    launch_pixels(source, convolution, pixels, blocks=Blocks(rows=16, columns=16, depth=16, warps=4))
    difference = (pixels.cpu().int() - expected.int()).abs()
    assert int(difference.max()) <= 1
    assert float(difference.float().mean()) < 1e-2


def from_cpu(convolution: Convolution) -> Convolution:
    return Convolution(
        weights=convolution.weights.cpu(),
        bias=convolution.bias.cpu(),
        kernel=convolution.kernel,
        channels=convolution.channels,
    )


@pytest.mark.parametrize("channels", [8, 22, 40])
def test_norm_and_silu(channels: int) -> None:
    norm = random_norm(channels)
    frames = random_frames(2, 3, 4, len(norm.gamma))
    frames[..., channels:] = 0
    result = torch.empty_like(frames)
    launch_activate(frames, norm, result)
    torch.testing.assert_close(result, torch.nn.functional.silu(normed(frames, norm)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("channels", [12, 64, 128, 256, 1024])
def test_blocks_are_chosen_that_hold_a_row_or_split_it_evenly(channels: int) -> None:
    with torch.device("meta"):
        convolution = Convolution(
            weights=torch.empty(27 * 64, channels), bias=torch.empty(channels), kernel=(3, 3, 3), channels=channels
        )
    blocks = choose_blocks(convolution)
    assert blocks.columns >= channels or channels % blocks.columns == 0
