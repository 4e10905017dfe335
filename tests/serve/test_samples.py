"""The start images in the package."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from worldloom.errors import InputError
from worldloom.serve.samples import list_samples, load_sample


def test_every_sample_has_a_prompt_and_a_landscape_picture() -> None:
    samples = list_samples()
    assert len(samples) >= 3
    for sample in samples:
        height, width, channels = sample.read_image().shape
        assert (height, width, channels) == (256, 448, 3)
        assert 40 < len(sample.prompt) < 300
        assert sample.read_image().std() > 20


def test_samples_are_found_by_name() -> None:
    assert load_sample("garden").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_sample_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        load_sample("moon")
    assert "moon" in caught.value.message and "courtyard" in caught.value.hint


def test_the_painter_paints_the_shipped_picture_again() -> None:
    painter = runpy.run_path(str(Path(__file__).parents[2] / "ops" / "paint_samples.py"))
    painted = painter["paint"](painter["SCENES"]["courtyard"])
    np.testing.assert_allclose(painted, load_sample("courtyard").read_image(), atol=1)
