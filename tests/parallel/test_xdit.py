"""xDiT's attention in the place of ours; the package itself needs CUDA."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from worldloom.errors import ConfigError, DoesNotFit
from worldloom.model.attention import AttentionCore
from worldloom.model.preset import load_preset
from worldloom.model.weights import load_experts
from worldloom.parallel import xdit
from worldloom.parallel.apply import SequenceSharding
from worldloom.parallel.ranks import Ranks
from worldloom.parallel.xdit import XditCore, check_cut, shard_attention_by_xdit

CPU = torch.device("cpu")


def sharding_of(size: int, preset: str = "mg3-5b") -> SequenceSharding:
    return SequenceSharding.of(load_preset(preset), Ranks(rank=0, size=size, device=CPU))


@pytest.mark.parametrize(("size", "ring"), [(2, 1), (4, 1), (4, 2), (8, 2)])
def test_even_tiles_and_heads_can_be_cut(size: int, ring: int) -> None:
    check_cut(sharding_of(size), heads=24, ring=ring)


@pytest.mark.parametrize(("size", "ring", "heads"), [(3, 1, 24), (4, 3, 24), (4, 1, 6)])
def test_others_cannot(size: int, ring: int, heads: int) -> None:
    with pytest.raises(DoesNotFit, match=f"among {size} ranks in rings of {ring}"):
        check_cut(sharding_of(size), heads=heads, ring=ring)


def test_without_the_package_it_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xdit, "PACKAGE", "no_such_package")
    (model,) = load_experts(load_preset("tiny"), "cpu").values()
    with pytest.raises(ConfigError, match="xDiT is not installed"):
        shard_attention_by_xdit(model, sharding_of(2, "tiny"), ring=1)


def test_it_hands_tokens_over_and_refuses_8_bits() -> None:
    class Recorder(nn.Module):
        def forward(self, attn: None, *, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
            return query + 10 * key + 100 * value

    core = XditCore(Ranks.alone(CPU), Recorder(), AttentionCore())
    q, k, v = torch.ones(3, 1, 4, 2, 8).unbind(0)
    assert torch.equal(core(q, k, v), torch.full((1, 4, 2, 8), 111.0))
    with pytest.raises(ConfigError, match="no e4m3"):
        core.attend_e4m3(q, k, v, torch.ones(3, 2), torch.bfloat16)
