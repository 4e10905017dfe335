"""The attention seam: its value, and which kernel it chooses where."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from worldloom.errors import ConfigError
from worldloom.model import attention as seam
from worldloom.model.attention import (
    AttentionBackend,
    AttentionSite,
    attention,
    available_backends,
    choose_backend,
)

CPU = AttentionSite(device_type="cpu", capability=(0, 0), dtype=torch.float32, head_dim=16)
HOPPER = AttentionSite(device_type="cuda", capability=(9, 0), dtype=torch.bfloat16, head_dim=128)
BLACKWELL = AttentionSite(device_type="cuda", capability=(10, 0), dtype=torch.bfloat16, head_dim=128)
AMPERE = AttentionSite(device_type="cuda", capability=(8, 0), dtype=torch.bfloat16, head_dim=128)


@pytest.fixture(autouse=True)
def no_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(seam.ENV_BACKEND, raising=False)


@pytest.fixture
def all_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "_INSTALLED", frozenset(AttentionBackend))


def random_qkv(device: str = "cpu", dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = ((2, 5, 3, 64), (2, 7, 3, 64), (2, 7, 3, 64))
    q, k, v = (torch.randn(shape, generator=generator).to(device, dtype) for shape in shapes)
    return q, k, v


def test_attention_is_a_softmax_over_the_keys_of_each_head() -> None:
    q, k, v = random_qkv()
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) / math.sqrt(64)
    expected = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(dim=-1), v)
    torch.testing.assert_close(attention(q, k, v), expected)


def test_a_cpu_has_the_plain_kernel_only() -> None:
    assert available_backends(CPU) == (AttentionBackend.SDPA,)


@pytest.mark.usefixtures("all_installed")
@pytest.mark.parametrize(
    ("site", "best"),
    [
        (HOPPER, AttentionBackend.FA3),
        (BLACKWELL, AttentionBackend.FA4),
        (AMPERE, AttentionBackend.FA2),
        (CPU, AttentionBackend.SDPA),
    ],
)
def test_the_kernel_made_for_a_device_comes_first(site: AttentionSite, best: AttentionBackend) -> None:
    assert choose_backend(site) is best
    assert available_backends(site)[-1] is AttentionBackend.SDPA


def test_hopper_without_packages_prefers_cudnn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seam, "_INSTALLED", frozenset())
    assert available_backends(HOPPER) == (AttentionBackend.CUDNN, AttentionBackend.SDPA)


@pytest.mark.usefixtures("all_installed")
def test_float32_and_odd_head_widths_run_on_the_plain_kernel() -> None:
    odd = AttentionSite(device_type="cuda", capability=(9, 0), dtype=torch.bfloat16, head_dim=12)
    single = AttentionSite(device_type="cuda", capability=(9, 0), dtype=torch.float32, head_dim=128)
    assert available_backends(odd) == available_backends(single) == (AttentionBackend.SDPA,)


@pytest.mark.usefixtures("all_installed")
def test_the_environment_forces_a_kernel_and_an_argument_outdoes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(seam.ENV_BACKEND, "cudnn")
    assert choose_backend(HOPPER) is AttentionBackend.CUDNN
    assert choose_backend(HOPPER, AttentionBackend.SDPA) is AttentionBackend.SDPA
    monkeypatch.setenv(seam.ENV_BACKEND, "auto")
    assert choose_backend(HOPPER) is AttentionBackend.FA3


def test_an_unknown_kernel_in_the_environment_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(seam.ENV_BACKEND, "fa9")
    with pytest.raises(ConfigError, match="'fa9'") as caught:
        choose_backend(CPU)
    assert "fa3" in caught.value.hint


def test_a_forced_kernel_that_cannot_run_here_is_refused() -> None:
    with pytest.raises(ConfigError, match="fa3 cannot run on cpu") as caught:
        attention(*random_qkv(), backend=AttentionBackend.FA3)
    assert "sdpa" in caught.value.hint


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("needs_grad", [False, True])
def test_all_kernels_of_this_gpu_agree(needs_grad: bool) -> None:
    q, k, v = random_qkv("cuda", torch.bfloat16)
    q.requires_grad_(needs_grad)
    expected = attention(q.float(), k.float(), v.float())
    for backend in available_backends(AttentionSite.of(q)):
        out = attention(q, k, v, backend=backend)
        torch.testing.assert_close(out.float(), expected, atol=2e-2, rtol=2e-2)
        if needs_grad:
            torch.autograd.backward(out.sum())
