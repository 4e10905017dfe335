"""The one seam through which every attention of the model runs.

Layout is (B, S, H, D): batch, sequence, heads, head width. There is no mask and no dropout; scores are scaled by
1/√D. The fastest kernel that is installed and fits the device is chosen once per device capability, dtype and head
width. The environment variable WORLDLOOM_ATTENTION, or the argument `backend`, forces one.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from ..errors import ConfigError

ENV_BACKEND = "WORLDLOOM_ATTENTION"


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


FA3_MODULE = "fa3_fwd_interface"

_MODULES: dict[str, str] = {
    AttentionBackend.FA3: FA3_MODULE,
    AttentionBackend.FA4: "flash_attn.cute",
    AttentionBackend.FA2: "flash_attn.flash_attn_interface",
}


def _is_installed(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # the parent package of a dotted name
        return False


_INSTALLED = frozenset(backend for backend, module in _MODULES.items() if _is_installed(module))
_CUDNN_FIRST = [
    SDPBackend.CUDNN_ATTENTION,
    SDPBackend.FLASH_ATTENTION,
    SDPBackend.EFFICIENT_ATTENTION,
    SDPBackend.MATH,
]


@dataclass(frozen=True, kw_only=True, slots=True)
class AttentionSite:
    """What the choice of a kernel depends on."""

    device_type: str
    capability: tuple[int, int]
    """CUDA compute capability; (0, 0) elsewhere."""
    dtype: torch.dtype
    head_dim: int

    @classmethod
    def of(cls, q: Tensor) -> AttentionSite:
        """The site of queries (B, S, H, D)."""
        is_cuda = q.device.type == "cuda"
        capability = torch.cuda.get_device_capability(q.device) if is_cuda else (0, 0)
        return cls(device_type=q.device.type, capability=capability, dtype=q.dtype, head_dim=q.shape[-1])


def attention(q: Tensor, k: Tensor, v: Tensor, *, backend: AttentionBackend | None = None) -> Tensor:
    """Softmax attention of q (B, S, H, D) over k and v (B, K, H, D); returns (B, S, H, D) in q's dtype.

    Where a gradient is needed, a torch kernel takes the place of the FlashAttention packages.
    Raises ConfigError when a forced backend cannot run here.
    """
    site = AttentionSite.of(q)
    chosen = choose_backend(site, backend)
    if chosen in _MODULES:
        if not (torch.is_grad_enabled() and (q.requires_grad or k.requires_grad or v.requires_grad)):
            out: Tensor = _flash_attention(q, k, v, chosen.value)
            return out
        chosen = AttentionBackend.CUDNN if _fits(AttentionBackend.CUDNN, site) else AttentionBackend.SDPA
    return _torch_attention(q, k, v, prefer_cudnn=chosen is AttentionBackend.CUDNN)


class AttentionCore(nn.Module):
    """`attention` as a module without parameters, so that sequence parallelism can replace it from outside.

    Its inputs and output hold this rank's tokens and all heads.
    """

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return attention(q, k, v)


def available_backends(site: AttentionSite) -> tuple[AttentionBackend, ...]:
    """Backends that are installed and fit, best first; never empty."""
    return tuple(backend for backend in AttentionBackend if _fits(backend, site))


def choose_backend(site: AttentionSite, forced: AttentionBackend | None = None) -> AttentionBackend:
    """The forced backend, else the one the environment names, else the best available one.

    Raises ConfigError when the forced one is not available.
    """
    available = available_backends(site)
    forced = forced or backend_from_environment()
    if forced is None:
        return available[0]
    if forced not in available:
        raise ConfigError(
            f"attention backend {forced} cannot run on {site.device_type} {site.capability[0]}.{site.capability[1]} "
            f"with {site.dtype} and head width {site.head_dim}",
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


def is_installed(backend: AttentionBackend) -> bool:
    """Whether the package of a backend is there; torch's own always are."""
    return backend not in _MODULES or backend in _INSTALLED


def backend_of(device: torch.device, dtype: torch.dtype, head_dim: int) -> AttentionBackend:
    """What attention runs on there: for reports. Raises ConfigError where the environment forces what cannot run."""
    return choose_backend(AttentionSite.of(torch.empty(1, 1, 1, head_dim, dtype=dtype, device=device)))


def _fits(backend: AttentionBackend, site: AttentionSite) -> bool:
    if backend is AttentionBackend.SDPA:
        return True
    if site.device_type != "cuda" or site.dtype not in (torch.bfloat16, torch.float16) or site.head_dim % 8:
        return False
    generation, width = site.capability[0], site.head_dim
    match backend:
        case AttentionBackend.FA3:
            # The wheel is built without float16.
            fits = generation == 9 and width <= 256 and site.dtype == torch.bfloat16
        case AttentionBackend.FA4:
            fits = generation >= 9 and width <= 128
        case AttentionBackend.CUDNN:
            fits = generation >= 9 and width <= 128
        case AttentionBackend.FA2:
            fits = generation >= 8 and width <= 256
    return fits and is_installed(backend)


def _torch_attention(q: Tensor, k: Tensor, v: Tensor, *, prefer_cudnn: bool) -> Tensor:
    q, k, v = q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)
    if prefer_cudnn:
        with sdpa_kernel(_CUDNN_FIRST, set_priority=True):
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2)


# An operator of its own, so that a compiled graph goes around the package instead of tracing into it.
@torch.library.custom_op("worldloom::flash_attention", mutates_args=())
def _flash_attention(q: Tensor, k: Tensor, v: Tensor, backend: str) -> Tensor:
    result = _flash_function(backend)(q, k, v)
    out: Tensor = result[0] if isinstance(result, tuple) else result  # some releases return (out, log-sum-exp)
    return out


@_flash_attention.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, backend: str) -> Tensor:
    return q.new_empty(q.shape)


@functools.cache
def _flash_function(backend: str) -> Callable[[Tensor, Tensor, Tensor], Any]:
    function: Callable[[Tensor, Tensor, Tensor], Any] = import_module(_MODULES[backend]).flash_attn_func
    return function
