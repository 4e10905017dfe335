"""Camera maps against golden vectors, and their layout."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from worldloom.model.camera import CameraRays, camera_map, clip_cameras, ray_map
from worldloom.model.clip import ClipInputs, MemoryView, advance, initial_state, plan_clip
from worldloom.model.layout import patchify
from worldloom.model.poses import extrinsics_of, integrate_poses

from .golden import golden, relative_error, shared_golden

GRID = (4, 6)


def golden_clips() -> tuple[ClipInputs, ClipInputs]:
    """The first two clips of the rollout case, with the memory that the reference chose."""
    inputs = load_file(golden("rollout/inputs.safetensors"))
    expected = load_file(golden("rollout/expected.safetensors"))
    latent_idx = expected["chunk1.memory_latent_idx"]
    memory = MemoryView(
        latents=np.zeros((48, 5, *GRID), np.float32),
        frame_idx=expected["chunk1.memory_frame_idx"],
        frame_idx_raw=expected["chunk1.memory_frame_idx_raw"],
        latent_idx=latent_idx,
        overlap=expected["chunk1.memory_overlap"],
        poses=expected["poses"][4 * latent_idx].astype(np.float64),
    )
    state, clips = initial_state(0), []
    for rows in (slice(0, 57), slice(57, 97)):
        clip = plan_clip(
            state,
            inputs["keyboard"][rows],
            inputs["mouse"][rows],
            prompt="",
            viewpoint="first_person",
            image=np.zeros((64, 96, 3), np.uint8),
            retrieve=lambda query: memory,
        )
        state = advance(state, clip, np.zeros((48, clip.num_new_latents, *GRID), np.float32))
        clips.append(clip)
    return clips[0], clips[1]


def test_the_map_of_a_memory_clip_matches_the_reference() -> None:
    expected = load_file(shared_golden("rollout/expected.safetensors"))["chunk1.plucker"]
    actual = camera_map(golden_clips()[1], grid=GRID, device="cpu", dtype=torch.float32)
    assert relative_error(actual, torch.from_numpy(expected)) < 5e-6


def test_the_map_of_a_camera_that_never_moves_matches_the_reference() -> None:
    poses = integrate_poses(np.zeros((57, 6), np.float32), np.zeros((57, 2), np.float32)).astype(np.float64)
    clip = still_clip(poses)
    expected = load_file(golden("camera/expected.safetensors"))["still_plucker"]
    actual = camera_map(clip, grid=GRID, device="cpu", dtype=torch.float32)[:, :, [0, 7, 14]]
    assert relative_error(actual, torch.from_numpy(expected)) < 5e-6


def still_clip(poses: np.ndarray) -> ClipInputs:
    """A first clip with the given poses (57, 5)."""
    return ClipInputs(
        seed=0,
        branch=0,
        chunk=0,
        prompt="",
        viewpoint="first_person",
        image=None,
        keyboard=np.zeros((57, 6), np.float32),
        mouse=np.zeros((57, 2), np.float32),
        poses=poses,
        predict_range=(0, 15),
        past=None,
        memory=None,
        query_poses=None,
    )


def test_a_first_clip_has_15_cameras_and_a_memory_clip_has_5_more_than_14() -> None:
    first, later = golden_clips()
    assert clip_cameras(first).shape == (15, 4, 4)
    assert clip_cameras(later).shape == (5 + 14, 4, 4)


def test_cameras_are_those_of_each_latents_last_frame() -> None:
    first, later = golden_clips()
    poses = load_file(golden("rollout/expected.safetensors"))["extrinsics"]
    # Chained motions, unscaled rotations only: frame 56 against frame 0, frame 96 against frame 44.
    for clip, start, stop in ((clip_cameras(first), 0, 56), (clip_cameras(later)[5:], 44, 96)):
        chained = poses[start, :3, :3]
        for camera in clip[1:]:
            chained = chained @ camera[:3, :3]
        np.testing.assert_allclose(chained, poses[stop, :3, :3], atol=1e-12)


@pytest.mark.parametrize("grid", [(1, 1), (2, 5), (3, 2)])
def test_channels_are_ray_then_pixel_row_then_pixel_column(grid: tuple[int, int]) -> None:
    h, w = grid
    poses = np.array([[10.0, 20, 0, 5, 30], [-10, 3, 0, -15, 100]])
    cameras = torch.from_numpy(extrinsics_of(poses))
    rays = ray_map(cameras, grid=grid, dtype=torch.float64).view(6, 16, 16, 2, h, w)
    pixel_row, pixel_column = 16 * (h - 1) + 7, 16 * (w - 1) + 11
    x = (pixel_column + 0.5 - 8 * w) / (8 * w)
    y = (pixel_row + 0.5 - 8 * h) / (8 * h)
    direction = cameras[1, :3, :3] @ torch.tensor([x, y, 1.0], dtype=torch.float64)
    expected = torch.cat([cameras[1, :3, 3], direction / direction.norm()])
    torch.testing.assert_close(rays[:, 7, 11, 1, h - 1, w - 1], expected)


@pytest.mark.parametrize("patch", [(1, 1, 1), (1, 2, 1), (1, 2, 2)])
def test_rays_are_projected_as_the_map_that_they_make(patch: tuple[int, int, int]) -> None:
    clips = [torch.from_numpy(clip_cameras(clip)).float() for clip in golden_clips()]
    cameras = torch.stack([clips[1][:15], clips[0]])
    generator = torch.Generator().manual_seed(0)
    columns = 1536 * patch[1] * patch[2]
    weight = torch.randn(8, columns, generator=generator) / columns**0.5
    bias = torch.randn(8, generator=generator)
    rays = CameraRays(cameras=cameras, grid=GRID)
    maps = torch.cat([ray_map(one, grid=GRID, dtype=torch.float32) for one in cameras])
    assert rays.shape == maps.shape
    expected = torch.nn.functional.linear(patchify(maps, patch), weight, bias)
    torch.testing.assert_close(rays.project(weight, bias, patch), expected, atol=1e-5, rtol=1e-5)
    later = torch.nn.functional.linear(patchify(maps[:, :, 3:], patch), weight, bias)
    torch.testing.assert_close(rays.since(3).project(weight, bias, patch), later, atol=1e-5, rtol=1e-5)


def test_a_map_can_be_made_in_bfloat16() -> None:
    clip = golden_clips()[1]
    exact = camera_map(clip, grid=GRID, device="cpu", dtype=torch.float32)
    half = camera_map(clip, grid=GRID, device="cpu", dtype=torch.bfloat16)
    assert half.dtype == torch.bfloat16 and half.shape == (1, 1536, 19, *GRID)
    torch.testing.assert_close(half.float(), exact, atol=2**-8, rtol=2**-8)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_a_map_on_a_gpu_equals_the_map_on_the_cpu() -> None:
    clip = golden_clips()[1]
    on_cpu = camera_map(clip, grid=GRID, device="cpu", dtype=torch.float32)
    on_gpu = camera_map(clip, grid=GRID, device="cuda", dtype=torch.float32)
    torch.testing.assert_close(on_gpu.cpu(), on_cpu)
