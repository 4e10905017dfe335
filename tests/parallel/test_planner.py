"""Placements that fit, and that are the best of those."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.errors import DoesNotFit
from worldloom.model.precision import Precision
from worldloom.model.preset import Preset, load_preset
from worldloom.parallel.planner import Placement, Plan, Resources, plan
from worldloom.parallel.times import GroupTimes, MeasuredTimes, estimate, expert_steps

H200 = 150_000_000_000
GPU_24GB = 25_000_000_000
SMALL = load_preset("mg3-5b").with_precision(Precision.FP8)
LARGE = load_preset("mg3-28b").with_precision(Precision.FP8)
SMALL_TIMES = MeasuredTimes(groups={1: GroupTimes(prepare_s=0.06, step_s=0.27, decode_s=0.1)})
LARGE_TIMES = MeasuredTimes(groups={4: GroupTimes(prepare_s=0.03, step_s=0.17, decode_s=0.1)})

presets = st.sampled_from([SMALL, LARGE, load_preset("mg3-28b"), load_preset("pocket")])
resources = st.builds(
    Resources,
    gpus=st.integers(1, 24),
    gpu_bytes=st.sampled_from([GPU_24GB, 85_000_000_000, H200]),
    gpus_per_node=st.sampled_from([1, 4, 8]),
    sessions=st.integers(1, 40),
)
times = st.none() | st.builds(
    lambda size, step_s: MeasuredTimes(groups={size: GroupTimes(prepare_s=0.1, step_s=step_s, decode_s=0.2)}),
    st.integers(1, 8),
    st.floats(0.01, 5),
)


def planned(preset: Preset, resources: Resources, times: MeasuredTimes | None) -> Plan | None:
    try:
        return plan(preset, resources, times)
    except DoesNotFit:
        return None


@settings(deadline=None)
@given(preset=presets, resources=resources, times=times)
def test_a_plan_stays_within_the_gpus_and_their_memory(
    preset: Preset, resources: Resources, times: MeasuredTimes | None
) -> None:
    found = planned(preset, resources, times)
    if found is not None:
        assert found.groups >= 1
        assert found.groups * found.layout.gpus <= resources.gpus
        assert found.layout.gpus <= resources.gpus_per_node
        assert found.rank_bytes <= resources.gpu_bytes
        assert found.reasons
        assert found == planned(preset, resources, times)


@settings(deadline=None)
@given(preset=presets, resources=resources, times=times)
def test_every_expert_has_a_place(preset: Preset, resources: Resources, times: MeasuredTimes | None) -> None:
    found = planned(preset, resources, times)
    if found is not None and preset.mixture is not None:
        placed = [name for stage in found.layout.stages for name in stage.experts]
        assert sorted([*placed, *found.layout.cold]) == sorted(preset.mixture.experts)


@settings(deadline=None)
@given(preset=presets, resources=resources, times=times)
def test_more_gpus_never_make_sessions_slower(
    preset: Preset, resources: Resources, times: MeasuredTimes | None
) -> None:
    found = planned(preset, resources, times)
    more = planned(preset, replace(resources, gpus=resources.gpus + 1), times)
    if found is not None:
        assert more is not None
        wanted = preset.video.frame_rate if times else float("inf")
        slack = 0.011 * preset.video.frame_rate
        assert min(more.fps(resources.sessions), wanted) >= min(found.fps(resources.sessions), wanted) - slack


@settings(deadline=None)
@given(preset=presets, resources=resources, times=times)
def test_more_memory_never_refuses(preset: Preset, resources: Resources, times: MeasuredTimes | None) -> None:
    if planned(preset, resources, times) is not None:
        assert planned(preset, replace(resources, gpu_bytes=2 * resources.gpu_bytes), times) is not None


def test_one_session_of_the_28b_gets_all_four_gpus() -> None:
    found = plan(LARGE, Resources(gpus=4, gpu_bytes=H200), LARGE_TIMES)
    assert found.layout.placement is Placement.REPLICATED
    assert found.layout.gpus == 4 and not found.layout.cold
    assert found.fps(1) > 60


def test_many_sessions_of_the_5b_get_a_gpu_each() -> None:
    found = plan(SMALL, Resources(gpus=4, gpu_bytes=H200, sessions=4), SMALL_TIMES)
    assert found.layout.placement is Placement.SINGLE
    assert found.groups == 4


def test_experts_that_do_not_fit_together_are_spread_or_wait_in_the_host() -> None:
    found = plan(load_preset("mg3-28b"), Resources(gpus=4, gpu_bytes=85_000_000_000), LARGE_TIMES)
    assert found.layout.placement is Placement.PIPELINED or found.layout.cold
    alone = plan(LARGE, Resources(gpus=1, gpu_bytes=70_000_000_000))
    assert alone.layout.cold == ("high_noise_third_person",)
    assert any("host's memory" in reason for reason in alone.reasons)


def test_a_wish_is_kept() -> None:
    wished = plan(LARGE, Resources(gpus=4, gpu_bytes=H200, sessions=2), LARGE_TIMES, placement=Placement.PIPELINED)
    assert [stage.experts[0] for stage in wished.layout.stages] == ["high_noise_first_person", "low_noise"]
    # Two of the three steps are the high-noise expert's.
    assert expert_steps(LARGE) == (2, 1)
    assert wished.layout.stages[0].ranks >= wished.layout.stages[1].ranks


def test_what_cannot_fit_is_refused_with_the_numbers() -> None:
    with pytest.raises(DoesNotFit, match=r"mg3-28b' in bf16 needs \d+ GB .* 2 GPUs have 24 GB"):
        plan(load_preset("mg3-28b"), Resources(gpus=2, gpu_bytes=GPU_24GB))
    with pytest.raises(DoesNotFit, match="no placement"):
        plan(SMALL, Resources(gpus=2, gpu_bytes=H200), placement=Placement.PIPELINED)


def test_sessions_in_a_pipeline_overlap_and_one_alone_does_not() -> None:
    chunk = estimate(LARGE, [2, 2], LARGE_TIMES)
    assert chunk.rate(1) == pytest.approx(1 / sum(chunk.stage_s))
    assert 2 * chunk.rate(2) > chunk.rate(1)
    assert 8 * chunk.rate(8) == pytest.approx(1 / max(chunk.stage_s))


def test_measured_times_are_used_as_they_are() -> None:
    both = MeasuredTimes(groups={1: GroupTimes(prepare_s=1, step_s=2, decode_s=3), **LARGE_TIMES.groups})
    assert both.on(4) == LARGE_TIMES.groups[4]
    assert both.on(2).step_s == pytest.approx(1 / 0.94)
    assert both.on(8).step_s > LARGE_TIMES.groups[4].step_s / 2


def test_planning_loads_no_torch() -> None:
    lines = ["import sys", "import worldloom.parallel.planner", "assert 'torch' not in sys.modules"]
    subprocess.run([sys.executable, "-c", "; ".join(lines)], check=True)
