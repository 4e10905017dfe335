"""The one seam through which every attention of the model runs.

Layout is (B, S, H, D): batch, sequence, heads, head width. There is no mask and no dropout; scores are scaled by
1/√D. The fastest kernel that is installed and fits the device is chosen once per device capability, dtype and head
width. The environment variable WORLDLOOM_ATTENTION, or the argument `backend`, forces one.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import os
from collections.abc import Callable
from enum import StrEnum

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import ConfigError

ENV_BACKEND = "WORLDLOOM_ATTENTION"

Capability = tuple[int, int]


class AttentionBackend(StrEnum):
    """Kernels, best first on the devices they fit."""

    FA3 = "fa3"
    """FlashAttention-3 (package fa3-fwd): Hopper, forward only."""
    FA4 = "fa4"
    """FlashAttention-4 (package flash-attn-4): Hopper and Blackwell."""
    CUDNN = "cudnn"
    """torch's SDPA with cuDNN preferred: its default order picks a kernel half as fast on Hopper."""
    FA2 = "fa2"
    """FlashAttention-2 (package flash-attn): Ampere and later."""
    SDPA = "sdpa"
    """torch's SDPA with its own choice: any device and dtype."""


_MODULES = {
    AttentionBackend.FA3: "fa3_fwd_interface",
    AttentionBackend.FA4: "flash_attn.cute",
    AttentionBackend.FA2: "flash_attn",
}
_TORCH_BACKENDS = (AttentionBackend.CUDNN, AttentionBackend.SDPA)
_CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


def attention(q: Tensor, k: Tensor, v: Tensor, *, backend: AttentionBackend | None = None) -> Tensor:
    """Softmax attention of q (B, S, H, D) over k and v (B, K, H, D); returns (B, S, H, D) in q's dtype.

    Where a gradient is needed, a torch kernel takes the place of the FlashAttention packages.
    Raises ConfigError when a forced backend cannot run here.
    """
    chosen = choose_backend(q.device.type, _capability(q.device), q.dtype, q.shape[-1], backend)
    if chosen not in _TORCH_BACKENDS:
        if torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad):
            chosen = _torch_backend(_capability(q.device))
        else:
            return _flash_kernel(chosen)(q, k, v)
    q, k, v = (tensor.transpose(1, 2) for tensor in (q, k, v))
    if chosen is AttentionBackend.CUDNN:
        with sdpa_kernel(_CUDNN_FIRST, set_priority=True):
            out = F.scaled_dot_product_attention(q, k, v)
    else:
        out = F.scaled_dot_product_attention(q, k, v)
    return out.transpose(1, 2)


class AttentionCore(nn.Module):
    """`attention` as a module without parameters, so that sequence parallelism can replace it from outside.

    Its inputs and output hold this rank's tokens and all heads.
    """

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v)


def available_backends(device: torch.device, dtype: torch.dtype, head_dim: int) -> tuple[AttentionBackend, ...]:
    """Backends that are installed and fit, best first; never empty."""
    return _available(device.type, _capability(device), dtype, head_dim)


@torch.compiler.assume_constant_result
def choose_backend(
    device_type: str,
    capability: Capability,
    dtype: torch.dtype,
    head_dim: int,
    forced: AttentionBackend | None = None,
) -> AttentionBackend:
    """The forced backend, else the one the environment names, else the best available one."""
    available = _available(device_type, capability, dtype, head_dim)
    forced = forced or backend_from_environment()
    if forced is None:
        return available[0]
    if forced not in available:
        raise ConfigError(
            f"attention backend {forced} cannot run on {device_type} {capability[0]}.{capability[1]} "
            f"with {dtype} and head width {head_dim}",
            hint=f"choose one of {', '.join(available)}, or unset {ENV_BACKEND}",
        )
    return forced


def backend_from_environment() -> AttentionBackend | None:
    """What WORLDLOOM_ATTENTION names; None when it is unset, empty or 'auto'. Raises ConfigError on other values."""
    value = os.environ.get(ENV_BACKEND, "")
    if value in ("", "auto"):
        return None
    try:
        return AttentionBackend(value)
    except ValueError:
        names = ", ".join(["auto", *AttentionBackend])
        raise ConfigError(f"{ENV_BACKEND} is {value!r}", hint=f"set it to one of {names}") from None


@functools.cache
def _available(
    device_type: str, capability: Capability, dtype: torch.dtype, head_dim: int
) -> tuple[AttentionBackend, ...]:
    return tuple(backend for backend in AttentionBackend if _fits(backend, device_type, capability, dtype, head_dim))


def _fits(
    backend: AttentionBackend, device_type: str, capability: Capability, dtype: torch.dtype, head_dim: int
) -> bool:
    if backend is AttentionBackend.SDPA:
        return True
    if device_type != "cuda" or dtype not in (torch.bfloat16, torch.float16) or head_dim % 8:
        return False
    match backend:
        case AttentionBackend.FA3:
            fits = capability[0] == 9 and head_dim <= 256
        case AttentionBackend.FA4:
            fits = capability[0] >= 9 and head_dim <= 128
        case AttentionBackend.CUDNN:
            return capability[0] >= 9 and head_dim <= 128
        case _:
            fits = capability[0] >= 8 and head_dim <= 256
    return fits and _is_installed(_MODULES[backend])


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name
        return False


def _torch_backend(capability: Capability) -> AttentionBackend:
    return AttentionBackend.CUDNN if capability[0] >= 9 else AttentionBackend.SDPA


def _capability(device: torch.device) -> Capability:
    return torch.cuda.get_device_capability(device) if device.type == "cuda" else (0, 0)


@functools.cache
def _flash_kernel(backend: AttentionBackend) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """`flash_attn_func` of the package, which some releases let return (out, log-sum-exp)."""
    function = importlib.import_module(_MODULES[backend]).flash_attn_func

    def kernel(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        result = function(q, k, v)
        return result[0] if isinstance(result, tuple) else result

    return kernel
