"""Metrics on pictures whose likeness is known."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.train.evaluation.metrics import contrast, mean_colour, psnr, sharpness, shrink, ssim, to_signed


def noise(seed: int = 0, *shape: int) -> torch.Tensor:
    return torch.rand(*(shape or (2, 3, 32, 48)), generator=torch.Generator().manual_seed(seed)) * 2 - 1


@settings(max_examples=20, deadline=None)
@given(st.floats(0.01, 1.0))
def test_psnr_of_an_even_difference_follows_its_definition(difference: float) -> None:
    dark = torch.full((3, 16, 16), -0.9)
    expected = 20 * math.log10(2 / difference)
    assert float(psnr(dark + difference, dark)) == pytest.approx(expected, abs=1e-3)


def test_equal_pictures_are_as_alike_as_can_be() -> None:
    picture = noise()
    assert psnr(picture, picture).tolist() == pytest.approx([106.02, 106.02], abs=0.01)
    torch.testing.assert_close(ssim(picture, picture), torch.ones(2))


def test_a_mask_leaves_the_rest_out() -> None:
    true, mask = noise(), torch.zeros(2, 32, 48, dtype=torch.bool)
    mask[:, :, :24] = True
    made = true.clone()
    made[..., 24:] = 0.0
    assert (psnr(made, true, mask) > 100).all() and (psnr(made, true) < 20).all()
    narrow = mask.clone()
    narrow[:, :, 19:] = False
    torch.testing.assert_close(ssim(made, true, narrow), torch.ones(2))
    assert psnr(made, true, torch.zeros_like(mask)).isnan().all()


def test_ssim_of_even_pictures_is_its_luminance_term() -> None:
    x, y = torch.full((3, 16, 16), -0.2), torch.full((3, 16, 16), 0.4)
    expected = (2 * 0.4 * 0.7 + 1e-4) / (0.4**2 + 0.7**2 + 1e-4)
    assert float(ssim(x, y)) == pytest.approx(expected, abs=1e-4)


def test_ssim_of_opposite_structure_is_negative() -> None:
    picture = 0.8 * noise(0, 3, 32, 32)
    assert float(ssim(-picture, picture)) < -0.8
    assert float(ssim(noise(1, 3, 64, 64), noise(2, 3, 64, 64))) < 0.2


def test_ssim_equals_a_window_by_window_sum() -> None:
    x, y = noise(1, 3, 12, 11), noise(2, 3, 12, 11)
    offsets = torch.arange(11) - 5.0
    line = torch.exp(-offsets.square() / (2 * 1.5**2))
    window = line[:, None] * line / line.sum() ** 2
    scores = []
    for a, b in zip((x + 1) / 2, (y + 1) / 2, strict=True):
        for row in range(2):
            p, q = a[row : row + 11], b[row : row + 11]
            mean_p, mean_q = (window * p).sum(), (window * q).sum()
            var_p, var_q = (window * (p - mean_p) ** 2).sum(), (window * (q - mean_q) ** 2).sum()
            both = (window * (p - mean_p) * (q - mean_q)).sum()
            top = (2 * mean_p * mean_q + 1e-4) * (2 * both + 9e-4)
            scores.append(top / ((mean_p**2 + mean_q**2 + 1e-4) * (var_p + var_q + 9e-4)))
    torch.testing.assert_close(ssim(x, y), torch.stack(scores).mean(), rtol=1e-4, atol=1e-5)


def test_blur_takes_sharpness_and_leaves_colour() -> None:
    sharp = noise(0, 3, 32, 32)
    soft = shrink(sharp, 8, 8).repeat_interleave(4, -1).repeat_interleave(4, -2)
    assert float(sharpness(soft)) < 0.3 * float(sharpness(sharp))
    torch.testing.assert_close(mean_colour(soft), mean_colour(sharp))
    assert float(contrast(soft)) < float(contrast(sharp))


def test_frames_become_signed_pictures() -> None:
    frames = torch.zeros(2, 4, 6, 3, dtype=torch.uint8)
    frames[..., 1] = 255
    pictures = to_signed(frames)
    assert pictures.shape == (2, 3, 4, 6)
    assert mean_colour(pictures).tolist() == [[0, 255, 0]] * 2
