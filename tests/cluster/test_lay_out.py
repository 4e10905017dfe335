"""Where a service lies on the GPUs that there are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.gang import gang_bundles
from worldloom.cluster.lay_out import Machine, Wish, lay_out, shares_work
from worldloom.cluster.service import check_gpus
from worldloom.errors import ConfigError, DoesNotFit
from worldloom.model.mixture import MixtureConfig
from worldloom.model.precision import Precision
from worldloom.model.preset import DecoderChoice, load_preset
from worldloom.parallel.planner import Placement
from worldloom.parallel.times import GroupTimes, MeasuredTimes

LARGE = ClusterConfig(preset=load_preset("mg3-28b").with_precision(Precision.FP8))
SMALL = ClusterConfig(preset=load_preset("mg3-5b").with_precision(Precision.FP8))
TINY = ClusterConfig(preset=replace(load_preset("tiny"), mixture=MixtureConfig(viewpoints=("first_person",))))
FULL = DecoderChoice.FULL


def h200s(count: int) -> Machine:
    return Machine(gpus=count, gpu_bytes=150_000_000_000, gpus_per_node=8)


def test_the_28b_on_four_gpus_is_one_gang_of_four_that_share_every_step() -> None:
    found = lay_out(LARGE, Wish(), h200s(4))
    assert found.config.layout is not None and found.config.layout.placement is Placement.REPLICATED
    assert (found.config.groups, found.config.group_ranks, found.config.chunks_in_flight) == (1, 4, 1)
    assert found.config.decoder_ranks == 1 and found.reasons[0].startswith("replicated: 1 groups of 4 of 4 GPUs")
    check_gpus(found.config, available=4.0)
    # With fewer GPUs than its preset asks for it takes those.
    assert lay_out(LARGE, Wish(), h200s(2)).config.group_ranks == 2


def test_what_was_asked_for_is_kept() -> None:
    pipelined = lay_out(LARGE, Wish(gpus=2, placement=Placement.PIPELINED, sessions=2), h200s(8)).config
    assert (pipelined.group_ranks, pipelined.groups, pipelined.chunks_in_flight) == (2, 1, 2)
    parted = lay_out(LARGE, Wish(gpus=8, groups=2), h200s(8)).config
    assert (parted.groups, parted.group_ranks) == (2, 4)
    alone = lay_out(SMALL, Wish(gpus=4, placement=Placement.SINGLE), h200s(4)).config
    assert (alone.groups, alone.group_ranks) == (4, 1)


def test_sessions_that_want_a_gpu_each_get_one() -> None:
    times = MeasuredTimes(groups={1: GroupTimes(prepare_s=0.06, step_s=0.27, decode_s=0.1)}, runs=("some-run",))
    found = lay_out(SMALL, Wish(gpus=4, sessions=4), h200s(4), times)
    assert (found.config.groups, found.config.group_ranks) == (4, 1)
    assert "times are measured in some-run" in found.reasons
    shared = lay_out(SMALL, Wish(gpus=2, placement=Placement.REPLICATED), h200s(4), times)
    assert "times are measured in some-run, and carried over from 1 to 2 ranks" in shared.reasons


def test_a_full_decoder_is_shared_by_as_many_ranks_as_it_needs() -> None:
    full = replace(LARGE, preset=LARGE.preset.with_random_weights().with_decoder(FULL))
    found = lay_out(full, Wish(), h200s(4))
    assert (found.config.decoder_ranks, found.config.decoders) == (4, 1)
    assert any("on 4 ranks, a band of the picture each" in reason for reason in found.reasons)
    # Beside a rank of the worker group there is room for one of the decoder's, not for two.
    assert found.config.rank_share + found.config.decoder_share == pytest.approx(1)
    assert found.config.decoder_share > found.config.rank_share / 2
    check_gpus(found.config, available=4.0)
    late = lay_out(full, Wish(gpus=2, placement=Placement.REPLICATED), h200s(2))
    assert late.config.decoder_ranks == 2 and any("frames will be late" in reason for reason in late.reasons)


def test_processes_on_the_cpu_share_work_like_gpus() -> None:
    found = lay_out(TINY, Wish(gpus=2, placement=Placement.PIPELINED), Machine.cpu(2)).config
    assert found.group_ranks == 2 and found.rank_share == 0
    assert not shares_work(TINY, Wish(groups=3))
    assert shares_work(TINY, Wish(gpus=2)) and shares_work(SMALL, Wish())


def test_what_there_is_not_is_refused_with_the_numbers() -> None:
    with pytest.raises(DoesNotFit, match="is to run on 8 GPUs, Ray has 4"):
        lay_out(LARGE, Wish(gpus=8), h200s(4))
    with pytest.raises(DoesNotFit, match="is to run on 3 GPUs, Ray has 2"):
        lay_out(SMALL, Wish(groups=3), h200s(2))
    with pytest.raises(DoesNotFit, match=r"needs .* GB on a GPU"):
        lay_out(LARGE, Wish(gpus=2), replace(h200s(2), gpu_bytes=20_000_000_000))
    with pytest.raises(ConfigError, match="no model to share"):
        shares_work(ClusterConfig(preset=load_preset("mock")), Wish(gpus=2))


def test_what_an_autoscaler_brings_is_planned_with() -> None:
    none = Machine(gpus=0, gpu_bytes=0, gpus_per_node=0)
    with pytest.raises(DoesNotFit, match="Ray has 0"):
        lay_out(LARGE, Wish(gpus=4), none)
    assert lay_out(LARGE, Wish(), none.grown_to(4)).config.group_ranks == 4
    assert h200s(2).grown_to(16).gpu_bytes == h200s(2).gpu_bytes and h200s(2).grown_to(1) == h200s(2)


def test_a_placement_group_has_a_bundle_for_each_rank() -> None:
    leader, *ranks = gang_bundles(size=8, gpu_share=0.6)
    assert "GPU" not in leader and [rank["GPU"] for rank in ranks] == 8 * [0.6]
    assert not any("GPU" in bundle for bundle in gang_bundles(size=2, gpu_share=0))
