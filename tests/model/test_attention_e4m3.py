"""Attention in e4m3: what it loses, and where it runs."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from worldloom.errors import ConfigError
from worldloom.model.attention import AttentionBackend, attention, is_installed
from worldloom.model.attention_e4m3 import E4M3, attention_e4m3, require_e4m3_attention

LIMIT = torch.finfo(E4M3).max


def rounded(x: Tensor) -> tuple[Tensor, Tensor]:
    """(B, S, H, D) in e4m3, and the scales (H,) of its heads."""
    scales = x.abs().amax(dim=(0, 1, 3)) / LIMIT
    return (x / scales[:, None]).to(E4M3), scales


def random_heads(*, size: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 65, 3, 64), (2, 129, 3, 64), (2, 129, 3, 64))
    q, k, v = (torch.randn(shape, generator=generator) * size for shape in shapes)
    return q, k, v * torch.tensor([0.1, 1.0, 10.0])[:, None]


def in_e4m3(q: Tensor, k: Tensor, v: Tensor, device: str = "cpu") -> Tensor:
    (q8, k8, v8), scales = zip(*(rounded(x) for x in (q, k, v)), strict=True)
    out = attention_e4m3(q8.to(device), k8.to(device), v8.to(device), torch.stack(scales).to(device), torch.float32)
    return out.cpu()


def relative_error(out: Tensor, expected: Tensor) -> float:
    return float((out - expected).norm() / expected.norm())


@pytest.mark.parametrize("size", [0.3, 1.0, 1.5])
def test_rounding_costs_a_few_percent(size: float) -> None:
    heads = random_heads(size=size)
    for out, expected in zip(in_e4m3(*heads).unbind(2), attention(*heads).unbind(2), strict=True):
        assert 1e-3 < relative_error(out, expected) < 0.08


def test_values_that_e4m3_holds_exactly_lose_only_by_the_probabilities() -> None:
    q, k = torch.zeros(1, 4, 2, 16), torch.zeros(1, 8, 2, 16)
    v = torch.arange(8.0).view(1, 8, 1, 1).expand(1, 8, 2, 16)
    one = torch.ones(3, 2)
    out = attention_e4m3(q.to(E4M3), k.to(E4M3), v.to(E4M3), one, torch.bfloat16)
    assert out.dtype == torch.bfloat16
    assert torch.equal(out.float(), torch.full((1, 4, 2, 16), 3.5))


def test_a_cpu_emulates_it() -> None:
    require_e4m3_attention(torch.device("cpu"))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_the_kernel_does_what_the_emulation_says() -> None:
    device = torch.device("cuda")
    if torch.cuda.get_device_capability()[0] != 9 or not is_installed(AttentionBackend.FA3):
        with pytest.raises(ConfigError, match="FlashAttention-3"):
            require_e4m3_attention(device)
        return
    heads = random_heads()
    assert relative_error(in_e4m3(*heads, device="cuda"), in_e4m3(*heads)) < 0.02
