"""RGB to planes, against the library that encoders come with."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from worldloom.cluster.pictures import Layout, Pictures
from worldloom.model.planes import rgb_to_i420


def test_planes_are_those_of_swscale() -> None:
    y, x = np.mgrid[:32, :48]
    pixels = np.stack([np.stack([5 * x + n, 7 * y + 3 * n, 255 - 4 * x], -1) for n in range(3)]).astype(np.uint8)
    planes = rgb_to_i420(torch.from_numpy(pixels)).numpy()
    expected = np.stack([frame.to_ndarray() for frame in Pictures(pixels).video(Layout.I420, 48, 32)])
    assert planes.shape == expected.shape == (3, 48, 48) and planes.dtype == np.uint8
    assert np.abs(planes.astype(int) - expected)[:, :32].max() <= 2
    assert np.abs(planes.astype(int) - expected)[:, 32:].mean() < 2


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA GPU")
def test_a_gpu_makes_the_same_planes() -> None:
    pixels = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    there, here = rgb_to_i420(pixels.cuda()).cpu(), rgb_to_i420(pixels)
    assert (there.int() - here.int()).abs().max() <= 1
