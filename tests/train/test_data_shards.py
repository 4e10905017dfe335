"""Shards on disk: whole or not there, the same bytes again, damaged parts named and skipped."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from worldloom.errors import ConfigError, InputError
from worldloom.model.poses import extrinsics_of, integrate_poses, intrinsics_of
from worldloom.train.data.rendered import RenderConfig, render_samples
from worldloom.train.data.sample import Sample
from worldloom.train.data.shards import Manifest, open_dataset, read_dataset, read_shard, shard_path, write_shard
from worldloom.train.data.worlds import HELD_OUT_FROM

FRAMES = 6


def make_sample(key: str, *, seed: int = 0) -> Sample:
    """A smooth moving picture with actions and the poses they give."""
    rng = np.random.default_rng(seed)
    rows, columns, time = np.meshgrid(np.arange(24), np.arange(40), np.arange(FRAMES), indexing="ij")
    waves = 127 + 90 * np.sin(rows / 7 + seed) * np.cos(columns / 9 + time / 3)
    frames = np.repeat(waves.transpose(2, 0, 1)[..., None], 3, -1).astype(np.uint8)
    keyboard = np.zeros((FRAMES, 6), np.float32)
    keyboard[:, 0] = rng.integers(0, 2, FRAMES)
    mouse = rng.choice([0.0, 0.1], (FRAMES, 2)).astype(np.float32)
    poses = integrate_poses(keyboard, mouse)
    return Sample(
        key=key,
        frames=frames,
        poses=poses,
        extrinsics=extrinsics_of(poses).astype(np.float32),
        intrinsics=intrinsics_of(24, 40).astype(np.float32),
        keyboard=keyboard,
        mouse=mouse,
        prompts=("a hall", "a hall by lamplight"),
        frames_per_second=40.0,
        source="rendered",
        meta={"world_seed": seed},
    )


def no_bad(name: str, reason: str) -> None:
    raise AssertionError(f"{name}: {reason}")


@pytest.mark.parametrize("video_format", ["mp4", "jpeg"])
def test_samples_come_back_as_they_were_written(tmp_path: Path, video_format: str) -> None:
    written = [make_sample("a-1"), make_sample("a-2", seed=1)]
    assert write_shard(tmp_path / "shard-000000.tar", written, video_format=video_format) == 2
    read = list(read_shard(tmp_path / "shard-000000.tar", no_bad))
    assert [sample.key for sample in read] == ["a-1", "a-2"]
    for before, after in zip(written, read, strict=True):
        for name in ("poses", "extrinsics", "intrinsics", "keyboard", "mouse"):
            np.testing.assert_array_equal(getattr(before, name), getattr(after, name))
        assert (before.prompts, before.meta, before.source) == (after.prompts, after.meta, after.source)
        assert np.abs(before.frames.astype(int) - after.frames).mean() < 3


@pytest.mark.parametrize("video_format", ["mp4", "jpeg"])
def test_the_same_samples_give_the_same_bytes(tmp_path: Path, video_format: str) -> None:
    for name in ("one.tar", "two.tar"):
        write_shard(tmp_path / name, [make_sample("k")], video_format=video_format)
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_files_of_a_sample_follow_the_webdataset_layout(tmp_path: Path) -> None:
    write_shard(tmp_path / "s.tar", [make_sample("x"), make_sample("y")], video_format="mp4")
    with tarfile.open(tmp_path / "s.tar") as tar:
        names = tar.getnames()
    expected = ["json", "prompts.json", "poses.npy", "extrinsics.npy", "actions.npy", "mp4"]
    assert names == [f"{key}.{extension}" for key in "xy" for extension in expected]


def test_an_interrupted_shard_is_not_there_and_written_anew(tmp_path: Path) -> None:
    manifest = Manifest(format="mp4", shard_samples=2, num_samples=5, recipe={"a": 1})
    assert open_dataset(tmp_path, manifest) == [0, 1, 2]
    write_shard(shard_path(tmp_path, 0), [make_sample("k")], video_format="mp4")

    def dies_midway() -> object:
        yield make_sample("k2")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_shard(shard_path(tmp_path, 1), dies_midway(), video_format="mp4")  # type: ignore[arg-type]
    assert open_dataset(tmp_path, manifest) == [1, 2]
    assert not list(tmp_path.glob("*.part"))


def test_a_folder_of_another_recipe_is_refused(tmp_path: Path) -> None:
    open_dataset(tmp_path, Manifest(format="mp4", shard_samples=2, num_samples=5, recipe={"a": 1}))
    with pytest.raises(ConfigError, match="recipe"):
        open_dataset(tmp_path, Manifest(format="mp4", shard_samples=2, num_samples=5, recipe={"a": 2}))


def test_damaged_samples_are_named_and_the_others_read(tmp_path: Path) -> None:
    good, path = tmp_path / "good.tar", tmp_path / "shard-000000.tar"
    write_shard(good, [make_sample("a"), make_sample("b"), make_sample("c")], video_format="mp4")
    with tarfile.open(good) as source, tarfile.open(path, "w") as target:
        for entry in source:
            content = source.extractfile(entry)
            assert content is not None
            data = content.read()
            if entry.name == "a.mp4":
                data = b"not a video"
            if entry.name == "b.poses.npy":
                continue
            entry.size = len(data)
            target.addfile(entry, io.BytesIO(data))
    bad: list[tuple[str, str]] = []
    assert [sample.key for sample in read_dataset(tmp_path, lambda *why: bad.append(why))] == ["c"]
    assert [name for name, _ in bad] == ["shard-000000.tar/a", "shard-000000.tar/b"]
    assert "video" in bad[0][1]
    assert "poses.npy" in bad[1][1]


def test_a_torn_tar_is_named(tmp_path: Path) -> None:
    path = tmp_path / "shard-000000.tar"
    write_shard(path, [make_sample("a"), make_sample("b")], video_format="mp4")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    bad: list[tuple[str, str]] = []
    list(read_dataset(tmp_path, lambda *why: bad.append(why)))
    assert bad
    assert bad[-1][0].startswith("shard-000000.tar")


def test_shapes_that_disagree_are_refused() -> None:
    sample = make_sample("a")
    with pytest.raises(InputError, match="poses"):
        Sample(**{name: getattr(sample, name) for name in Sample.__slots__} | {"poses": sample.poses[:-1]})


def test_rendered_samples_do_not_depend_on_how_they_are_sharded() -> None:
    config = RenderConfig(worlds=2, episodes_per_world=2, frames=4, height=16, width=24, supersample=1)
    together = list(render_samples(config, 0, 4))
    alone = next(iter(render_samples(config, 2, 3)))
    assert together[2].key == alone.key
    np.testing.assert_array_equal(together[2].frames, alone.frames)
    np.testing.assert_array_equal(together[2].keyboard, alone.keyboard)
    assert together[0].meta["world_seed"] == together[1].meta["world_seed"] == 0
    assert not np.array_equal(together[0].frames[0], together[1].frames[0])
    poses = integrate_poses(alone.keyboard, alone.mouse)
    np.testing.assert_allclose(alone.poses, poses, atol=2e-3)
    assert json.dumps(alone.meta)


def test_training_and_held_out_seeds_never_mix() -> None:
    with pytest.raises(ConfigError, match="mix"):
        RenderConfig(first_seed=HELD_OUT_FROM - 1, worlds=2)
    config = RenderConfig(first_seed=HELD_OUT_FROM, worlds=1, frames=2, height=16, width=24, supersample=1)
    assert next(iter(render_samples(config, 0, 1))).meta["held_out"] is True
