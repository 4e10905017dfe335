import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from worldloom.cluster.engine import ChunkJob
from worldloom.cluster.engines import make_decoder, make_engine
from worldloom.cluster.mock import MockDecoder, MockEngine
from worldloom.cluster.mock_frames import RECORD, draw_frame, read_frame
from worldloom.errors import ConfigError
from worldloom.model.clip import ClipInputs
from worldloom.model.preset import MockConfig, load_preset

PRESET = load_preset("mock")


def clip(chunk: int, *, branch: int = 0, seed: int = 0) -> ClipInputs:
    rng = np.random.default_rng(seed)
    frames = 57 if chunk == 0 else 56
    poses = np.zeros((frames, 5))
    poses[:, [0, 1, 3, 4]] = rng.uniform(-180, 180, (frames, 4)).round(2)
    return ClipInputs(
        seed=0,
        branch=branch,
        chunk=chunk,
        prompt="",
        viewpoint="first_person",
        image=np.zeros((128, 224, 3), np.uint8) if chunk == 0 else None,
        keyboard=np.pad(rng.integers(0, 2, (frames, 4)), ((0, 0), (0, 2))).astype(np.float32),
        mouse=rng.uniform(-1, 1, (frames, 2)).round(2).astype(np.float32),
        poses=poses,
        predict_range=(0, 15) if chunk == 0 else (10 * chunk + 1, 10 * chunk + 15),
        past=None if chunk == 0 else np.zeros((16, 4, 8, 14), np.float32),
        memory=None,
        query_poses=None,
    )


def step(chunk: int, **fields: int) -> tuple[ClipInputs, np.ndarray]:
    planned = clip(chunk, **fields)
    return planned, MockEngine(PRESET).step(ChunkJob(session="s", epoch=0, clip=planned)).latents


@pytest.mark.parametrize("chunk", [0, 1, 7])
def test_every_frame_tells_its_place_its_keys_and_its_pose(chunk: int) -> None:
    planned, latents = step(chunk, branch=3)
    decoder = MockDecoder(PRESET)
    state = None if chunk == 0 else decoder.decode(step(0)[1], None)[1]
    frames, _ = decoder.decode(latents, state)
    new_rows = slice(0, None) if chunk == 0 else slice(16, None)
    assert frames.shape == (57 if chunk == 0 else 40, 128, 224, 3)
    for index, (image, keys, mouse, pose) in enumerate(
        zip(frames, planned.keyboard[new_rows], planned.mouse[new_rows], planned.poses[new_rows], strict=True)
    ):
        seen = read_frame(image)
        assert (seen.branch, seen.chunk, seen.frame) == (3, chunk, index)
        assert seen.keys == tuple(keys[:4].astype(bool))
        assert seen.mouse == pytest.approx(mouse, abs=1e-6)
        assert seen.pose == pytest.approx(pose[[0, 1, 3, 4]])


def test_a_stream_decoded_in_pieces_has_the_same_frames() -> None:
    decoder = MockDecoder(PRESET)
    latents = np.concatenate([step(0)[1], step(1, seed=1)[1]], axis=1)
    whole, end = decoder.decode(latents, None)
    first, state = decoder.decode(latents[:, :4], None)
    second, state = decoder.decode(latents[:, 4:15], state)
    third, state = decoder.decode(latents[:, 15:], state)
    assert np.array_equal(np.concatenate([first, second, third]), whole)
    assert state == end


def test_decoding_the_reach_again_rebuilds_a_lost_state_and_less_does_not() -> None:
    decoder = MockDecoder(PRESET)
    latents = np.concatenate([step(0)[1], step(1, seed=1)[1]], axis=1)
    whole, _ = decoder.decode(latents, None)
    reach = decoder.reach_latents
    _, rebuilt = decoder.decode(latents[:, 15 - reach : 15], None)
    frames, _ = decoder.decode(latents[:, 15:], rebuilt)
    assert np.array_equal(frames, whole[57:])
    _, short = decoder.decode(latents[:, 16 - reach : 15], None)
    assert not np.array_equal(decoder.decode(latents[:, 15:], short)[0], whole[57:])


@settings(max_examples=25, deadline=None)
@given(record=st.binary(min_size=RECORD.itemsize, max_size=RECORD.itemsize), trace=st.integers(0, 65535))
@pytest.mark.parametrize(("height", "width"), [(64, 96), (128, 224), (704, 1280)])
def test_the_code_survives_jpeg(height: int, width: int, record: bytes, trace: int) -> None:
    value = np.frombuffer(record, RECORD)[0]
    image = draw_frame(value, trace, height=height, width=width)
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "JPEG", quality=60)
    decoded = np.asarray(Image.open(stream))
    assert read_frame(decoded) == read_frame(image)
    assert read_frame(image).trace == trace
    assert read_frame(image).chunk == value["chunk"]


def test_frames_too_small_for_the_code_are_refused() -> None:
    with pytest.raises(ConfigError, match="16×16"):
        draw_frame(np.zeros(1, RECORD)[0], 0, height=16, width=16)


def test_timings_name_every_step_and_cover_the_asked_time() -> None:
    preset = replace(PRESET, mock=MockConfig(chunk_time_s=0.03))
    result = MockEngine(preset).step(ChunkJob(session="s", epoch=0, clip=clip(0)))
    assert list(result.timings) == ["prepare", "step0", "step1", "step2"]
    assert sum(result.timings.values()) >= 0.03


def test_the_mock_preset_needs_no_torch() -> None:
    program = (
        "import sys\n"
        "from worldloom.cluster.engines import make_decoder, make_engine\n"
        "from worldloom.model.preset import MockConfig, load_preset\n"
        "make_engine(load_preset('mock')), make_decoder(load_preset('mock'))\n"
        "sys.exit('torch' in sys.modules or 'ray' in sys.modules)\n"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_factories_make_what_the_preset_names() -> None:
    assert isinstance(make_engine(PRESET), MockEngine)
    assert isinstance(make_decoder(PRESET), MockDecoder)
