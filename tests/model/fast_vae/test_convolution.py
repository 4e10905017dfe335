"""Convolutions over frames with a margin, in plain PyTorch, against PyTorch's own layers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from worldloom.model.fast_vae.convolution import (
    Convolution,
    Shortcut,
    convolution_of,
    convolve,
    upsampling_convolution,
)
from worldloom.model.fast_vae.grid import Grid, empty_frames, framed, padded_channels, picture
from worldloom.model.fast_vae.norm import norm_of
from worldloom.model.fast_vae.pixels import pixels_of
from worldloom.model.vae import join_pixels
from worldloom.model.vae_blocks import ChannelNorm
from worldloom.model.vae_stages import repeat_shortcut

Size = st.integers(1, 5)


def to_video(pictures: Tensor) -> Tensor:
    return pictures.permute(3, 0, 1, 2)[None]


def to_pictures(video: Tensor) -> Tensor:
    return video[0].permute(1, 2, 3, 0)


def filled(pictures: Tensor) -> Tensor:
    channels = pictures.shape[3]
    return framed(F.pad(pictures, (0, padded_channels(channels) - channels)))


def result_of(source: Tensor, convolution: Convolution, frames: int, grid: Grid, **ends: object) -> Tensor:
    raw = empty_frames(frames, grid, convolution.out_channels, source).fill_(7.0)
    convolve(source, convolution, raw=raw, **ends)  # type: ignore[arg-type]
    assert not raw[:, -1].any()
    assert not raw[:, :, -1].any()
    assert not raw[..., convolution.channels :].any()
    return picture(raw)[..., : convolution.channels]


@given(height=Size, width=Size, inputs=st.sampled_from([3, 8]), outputs=st.sampled_from([5, 16]))
@settings(max_examples=12, deadline=None)
def test_upsampling_and_convolving_are_one_convolution_in_four_phases(
    height: int, width: int, inputs: int, outputs: int
) -> None:
    layer = nn.Conv2d(inputs, outputs, 3, padding=1)
    assert layer.bias is not None
    pictures = torch.randn(2, height, width, inputs)
    expected = layer(F.interpolate(pictures.permute(0, 3, 1, 2), scale_factor=2)).permute(0, 2, 3, 1)
    convolution = upsampling_convolution(layer.weight.detach(), layer.bias.detach())
    result = result_of(filled(pictures), convolution, 2, Grid(height=2 * height, width=2 * width))
    torch.testing.assert_close(result, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kernel", [(3, 3, 3), (3, 1, 1), (1, 1, 1)])
def test_a_convolution_sees_the_past_and_zeros_around(kernel: tuple[int, int, int]) -> None:
    layer = nn.Conv3d(5, 6, kernel, padding=(0, kernel[1] // 2, kernel[2] // 2))
    assert layer.bias is not None
    pictures = torch.randn(4, 3, 4, 5)
    convolution = convolution_of(layer.weight.detach(), layer.bias.detach())
    result = result_of(filled(pictures), convolution, 5 - kernel[0], Grid(height=3, width=4))
    torch.testing.assert_close(result, to_pictures(layer(to_video(pictures))), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("inputs", "outputs"), [(8, 8), (8, 4), (16, 4), (8, 6)])
@pytest.mark.parametrize("time_factor", [1, 2])
@pytest.mark.parametrize("missing", [0, 1])
def test_the_stage_shortcut_is_that_of_the_plain_decoder(
    inputs: int, outputs: int, time_factor: int, missing: int
) -> None:
    stage_input = torch.randn(3, 2, 3, inputs)
    expected = to_pictures(repeat_shortcut(to_video(stage_input), outputs, time_factor=time_factor, space_factor=2))[
        missing:
    ]
    zero = upsampling_convolution(torch.zeros(outputs, 8, 3, 3), torch.zeros(outputs))
    shortcut = Shortcut(
        frames=filled(stage_input),
        time_factor=time_factor,
        time_offset=missing,
        repeats=outputs * 4 * time_factor // inputs,
    )
    source = filled(torch.zeros(len(expected), 2, 3, 8))
    result = result_of(source, zero, len(expected), Grid(height=4, width=6), shortcut=shortcut)
    torch.testing.assert_close(result, expected)


def test_active_frames_are_normed_over_the_networks_channels() -> None:
    norm = ChannelNorm(5, dims=3)
    nn.init.normal_(norm.gamma)
    layer = nn.Conv3d(8, 5, (1, 3, 3), padding=(0, 1, 1))
    assert layer.bias is not None
    pictures = torch.randn(2, 3, 4, 8)
    expected = to_pictures(F.silu(norm(layer(to_video(pictures)))))
    convolution = convolution_of(layer.weight.detach(), layer.bias.detach())
    active = empty_frames(2, Grid(height=3, width=4), 8, pictures).fill_(7.0)
    convolve(filled(pictures), convolution, active=active, norm=norm_of(norm.gamma))
    torch.testing.assert_close(picture(active)[..., :5], expected, rtol=1e-4, atol=1e-5)
    assert not active[..., 5:].any()


def test_pixels_are_joined_as_the_plain_decoder_joins_them() -> None:
    patches = torch.randn(2, 3, 4, 12)
    video = join_pixels(to_video(patches)).clamp(-1, 1)
    expected = ((video[0] + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 3, 0)
    assert torch.equal(pixels_of(patches), expected)
