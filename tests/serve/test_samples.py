"""The start images in the package."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest
from worldloom.errors import InputError
from worldloom.serve.samples import list_samples, load_sample
from worldloom.train.data.prompts import Detail, compose
from worldloom.train.data.worlds import HELD_OUT_FROM, sample_worlds


def test_every_sample_has_a_prompt_and_a_landscape_picture() -> None:
    samples = list_samples()
    assert len(samples) >= 3
    for sample in samples:
        height, width, channels = sample.read_image().shape
        assert (height, width, channels) == (256, 448, 3)
        assert 40 < len(sample.prompt) < 500
        assert sample.read_image().std() > 20


def test_samples_are_found_by_name() -> None:
    assert load_sample("garden").read_bytes().startswith(b"\x89PNG")


def test_an_unknown_sample_lists_the_known_ones() -> None:
    with pytest.raises(InputError) as caught:
        load_sample("moon")
    assert "moon" in caught.value.message and "garden" in caught.value.hint


def test_the_renderer_makes_the_shipped_picture_again() -> None:
    tool = runpy.run_path(str(Path(__file__).parents[2] / "ops" / "render_samples.py"))
    assert list(tool["PLACES"]) == [sample.name for sample in list_samples()]
    world = sample_worlds([HELD_OUT_FROM + tool["PLACES"]["dungeon"]])
    shipped = load_sample("dungeon")
    apart = np.abs(tool["picture"](world).astype(int) - shipped.read_image())
    assert apart.mean() < 0.5, "processors round differently, so single pixels may differ"
    assert shipped.prompt == compose(world.attributes[0], Detail.LONG, world.seeds[0])
