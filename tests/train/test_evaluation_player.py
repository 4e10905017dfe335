"""What is measured: the model as the service plays it, and the memory policies."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from worldloom.model.clip import MemoryQuery, WorldState, initial_state
from worldloom.model.poses import integrate_poses
from worldloom.model.preset import Preset, VideoConfig, load_preset
from worldloom.train.evaluation.moves import frames_of, hold
from worldloom.train.evaluation.player import ModelPlayer, Trip, TruthPlayer, play_through
from worldloom.train.evaluation.recall import Policy, recall
from worldloom.train.evaluation.scenes import Scene, scenes_for_script

VIDEO = VideoConfig(height=32, width=64, frame_rate=16)
CPU = torch.device("cpu")
MOVES = hold("W", yaw=0.05, frames=frames_of(3))


@pytest.fixture(scope="module")
def preset() -> Preset:
    return replace(load_preset("tiny"), video=VIDEO)


@pytest.fixture(scope="module")
def player(preset: Preset) -> ModelPlayer:
    return ModelPlayer.load(preset, CPU)


@pytest.fixture(scope="module")
def scene() -> Scene:
    return scenes_for_script(hold("W", frames=20), 1, 0, VIDEO, CPU)[0]


def state_of(chunks: int) -> tuple[WorldState, np.ndarray[tuple[int, ...], np.dtype[np.float32]]]:
    """A world that walks straight on, and latents that hold their own indices."""
    moves = hold("W", frames=frames_of(chunks))
    latents = np.arange(15 + 10 * (chunks - 1), dtype=np.float32)[None, :, None, None]
    state = replace(
        initial_state(7), chunk=chunks, poses=integrate_poses(moves.keyboard, moves.mouse).astype(np.float64),
        past=latents[:, -4:],
    )  # fmt: skip
    return state, latents


def query_of(state: WorldState) -> MemoryQuery:
    return MemoryQuery(query_poses=state.poses[[-1, -9, -17, -25, -33]], candidate_stop=len(state.poses) - 16)


@pytest.mark.parametrize("policy", [Policy.CAMERA, Policy.RECENT, Policy.RANDOM])
def test_policies_return_earlier_latents_with_their_poses(policy: Policy) -> None:
    state, latents = state_of(4)
    view = recall(policy, state, latents, query_of(state))
    assert view.latents[0, :, 0, 0].tolist() == view.latent_idx.tolist()
    assert view.latent_idx.tolist() == [(frame - 1) // 4 + 1 for frame in view.frame_idx]
    assert (view.frame_idx >= 1).all() and (view.frame_idx < len(state.poses) - 16).all()
    np.testing.assert_array_equal(view.poses, state.poses[4 * view.latent_idx])


def test_recent_memory_is_what_lies_before_the_past() -> None:
    state, latents = state_of(4)
    assert recall(Policy.RECENT, state, latents, query_of(state)).latent_idx.tolist() == [40, 39, 38, 37, 36]


def test_random_memory_depends_on_seed_and_chunk_only() -> None:
    state, latents = state_of(4)
    first, again = (recall(Policy.RANDOM, state, latents, query_of(state)).frame_idx for _ in range(2))
    other = recall(Policy.RANDOM, replace(state, seed=8), latents, query_of(state)).frame_idx
    assert first.tolist() == again.tolist() != other.tolist()


def test_camera_memory_keeps_the_sink_frame() -> None:
    state, latents = state_of(4)
    view = recall(Policy.CAMERA, state, latents, query_of(state))
    assert view.frame_idx[-1] == 4 and view.frame_idx_raw[-1] != 4


def test_no_memory_is_no_memory_in_the_clip(player: ModelPlayer, scene: Scene) -> None:
    clips = {}
    for policy in (Policy.CAMERA, Policy.NONE):
        first, then, _ = MOVES.chunks()
        _, play = player.step(player.begin(scene, policy), first)
        clips[policy] = player.plan(play, then)
    assert clips[Policy.NONE].memory is None and clips[Policy.NONE].query_poses is None
    assert clips[Policy.CAMERA].memory is not None
    np.testing.assert_array_equal(clips[Policy.NONE].poses, clips[Policy.CAMERA].poses)


def test_play_is_deterministic_and_memory_matters(player: ModelPlayer, scene: Scene) -> None:
    counted: list[int] = []
    trips = [Trip(scene=scene, moves=MOVES, policy=policy) for policy in (Policy.CAMERA, Policy.CAMERA, Policy.NONE)]
    runs = play_through(player, trips, lambda: counted.append(1))
    assert len(counted) == 9
    assert runs[0].shape == (frames_of(3), 32, 64, 3) and runs[0].dtype == torch.uint8
    assert torch.equal(runs[0], runs[1])
    assert torch.equal(runs[0][:57], runs[2][:57]) and not torch.equal(runs[0][57:], runs[2][57:])


def test_worlds_played_together_are_those_played_alone(player: ModelPlayer, preset: Preset, scene: Scene) -> None:
    other = scenes_for_script(hold("W", frames=20), 1, scene.number + 1, VIDEO, CPU)[0]
    trips = [
        Trip(scene=place, moves=moves, policy=policy)
        for place, moves in ((scene, MOVES), (other, MOVES.mirrored()))
        for policy in (Policy.CAMERA, Policy.NONE)
    ]
    alone = play_through(player, trips)
    together = play_through(ModelPlayer(player.rollout, player.decoder, at_once=3), trips)
    for one, same in zip(alone, together, strict=True):
        # Rounded to bfloat16 when stored, latents amplify the last bits of a batch's products.
        assert (one.float() - same.float()).abs().mean() < 0.5
    assert (alone[0].float() - alone[2].float()).abs().mean() > 5


def test_a_state_can_be_continued_twice(player: ModelPlayer, scene: Scene) -> None:
    first, then, _ = MOVES.chunks()
    _, play = player.step(player.begin(scene), first)
    made, after = player.step(play, then)
    again, _ = player.step(play, then)
    left, _ = player.step(play, hold(yaw=-0.1, frames=40))
    assert torch.equal(made, again) and not torch.equal(made, left)
    assert after.world.chunk == 2 and play.world.chunk == 1
    assert after.latents is not None and after.latents.shape[1] == 25


def test_truth_player_shows_what_the_camera_sees(scene: Scene) -> None:
    moves = hold("W", frames=12).filled(frames_of(2))
    (frames,) = play_through(TruthPlayer(), [Trip(scene=scene, moves=moves)])
    assert torch.equal(frames, scene.truth(moves.poses()))
    assert np.array_equal(frames[0].numpy(), scene.image)
