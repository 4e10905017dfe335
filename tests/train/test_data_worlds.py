"""Worlds by seed: the same everywhere, all different, and described by a closed vocabulary."""

from __future__ import annotations

import numpy as np
import torch
from worldloom.train.data.drawing import KINDS, draw, kind_of
from worldloom.train.data.patterns import PAGE_TEXELS, SIZE, Decal, Pattern, atlas
from worldloom.train.data.prompts import Detail, compose, vocabulary, words_of
from worldloom.train.data.worlds import HELD_OUT_FROM, sample_worlds


def test_a_seed_gives_the_same_world_every_time() -> None:
    first, second = draw(11), draw(11)
    assert first.attributes == second.attributes
    for name in ("cells", "materials", "solids", "air", "light", "clearance"):
        np.testing.assert_array_equal(getattr(first, name), getattr(second, name))


def test_neighbouring_seeds_of_one_kind_give_different_plans() -> None:
    plans = [draw(seed).cells[..., 0] for seed in (3, 7, HELD_OUT_FROM + 3)]
    assert kind_of(3) == kind_of(7) == kind_of(HELD_OUT_FROM + 3)
    for a in range(3):
        for b in range(a):
            assert (plans[a] != plans[b]).mean() > 0.05


def test_four_neighbouring_seeds_cover_all_kinds() -> None:
    assert {draw(seed).attributes.kind for seed in range(4)} == set(KINDS)


def test_worlds_are_closed_by_walls_and_leave_room_to_walk() -> None:
    for seed in range(4):
        world = draw(seed)
        height = world.cells[..., 0]
        edge = np.concatenate([height[0], height[-1], height[:, 0], height[:, -1]])
        assert edge.min() > 1.7, "a player at eye height could look over the end of the world"
        assert (world.clearance > 0.7).mean() > 0.1


def test_tall_blocks_leave_no_clearance_and_lamps_shine_only_indoors_or_at_night() -> None:
    world = draw(0)
    solid = np.kron(world.cells[..., 0] > 0, np.ones((4, 4), bool))
    assert world.clearance[solid].max() == 0
    assert world.light[..., :3].max() > 0.1


def test_selected_worlds_are_the_ones_asked_for() -> None:
    worlds = sample_worlds([4, 5, 6])
    picked = worlds.select([2, 0, 2])
    assert picked.seeds == (6, 4, 6)
    assert picked.attributes[0] is worlds.attributes[2]
    assert torch.equal(picked.cells[1], worlds.cells[0])


def test_worker_processes_draw_the_same_worlds() -> None:
    alone, shared = sample_worlds([1, 2]), sample_worlds([1, 2], workers=2)
    assert torch.equal(alone.cells, shared.cells)
    assert alone.attributes == shared.attributes


def test_prompts_use_the_closed_vocabulary_and_grow_with_detail() -> None:
    words = set(vocabulary())
    assert len(words) <= 400
    for seed in range(12):
        attributes = draw(seed).attributes
        prompts = [compose(attributes, detail, seed) for detail in Detail]
        assert {word for prompt in prompts for word in words_of(prompt)} <= words
        lengths = [len(words_of(prompt)) for prompt in prompts]
        assert lengths == sorted(lengths)
        assert lengths[0] < lengths[2]


def test_prompts_name_what_the_world_has_and_vary_with_the_seed() -> None:
    attributes = draw(5).attributes
    prompt = compose(attributes, Detail.LONG, 0)
    assert any(mark in prompt for mark in attributes.landmarks)
    assert len({compose(attributes, Detail.LONG, seed) for seed in range(8)}) > 3


def test_patterns_tile_without_a_seam_and_have_mip_levels() -> None:
    table = atlas()
    assert len(table) == (len(Pattern) + len(Decal) - 1) * PAGE_TEXELS
    assert table.min() >= -1e-6
    for pattern in (Pattern.BRICKS, Pattern.GRASS, Pattern.MARBLE):
        page = table[pattern * PAGE_TEXELS :][: SIZE * SIZE].reshape(SIZE, SIZE, 4)
        inner = np.abs(np.diff(page, axis=0)).mean()
        assert np.abs(page[0] - page[-1]).mean() < 4 * inner
        mean = table[(pattern + 1) * PAGE_TEXELS - 1]
        np.testing.assert_allclose(mean, page.mean((0, 1)), rtol=1e-4, atol=1e-5)
