"""What the cluster side needs from Ray."""

from __future__ import annotations

import pytest
from worldloom.cluster.config import ClusterConfig
from worldloom.cluster.service import check_gpus
from worldloom.errors import DoesNotFit
from worldloom.model.preset import load_preset


def test_a_gpu_preset_is_refused_with_the_numbers_where_gpus_are_missing() -> None:
    config = ClusterConfig(preset=load_preset("mg3-5b"), groups=2)
    with pytest.raises(DoesNotFit, match=r"needs 2 GPUs for 2 groups of 1 and 2 decoders of 1, Ray has 1"):
        check_gpus(config, available=1.0)
    check_gpus(config, available=2.0)


def test_a_decoder_of_more_ranks_than_there_are_gpus_is_refused() -> None:
    config = ClusterConfig(preset=load_preset("mg3-5b"), decoders=1, decoder_ranks=3)
    with pytest.raises(DoesNotFit, match=r"needs 3 GPUs .* 1 decoders of 3, Ray has 2"):
        check_gpus(config, available=2.0)


def test_a_cpu_preset_asks_for_no_gpu() -> None:
    config = ClusterConfig(preset=load_preset("mock"))
    check_gpus(config, available=0.0)
    assert config.device == "cpu" and config.rank_share == config.decoder_share == 0
