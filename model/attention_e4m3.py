"""Self-attention with queries, keys, values and probabilities in e4m3, by FlashAttention-3; emulated on a CPU.

Layout is (B, S, H, D) as in `attention`. Each head's values are to be multiplied by a scale of its own.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from importlib import import_module

import torch
from torch import Tensor

from ..errors import ConfigError
from .attention import FA3_MODULE, AttentionBackend, AttentionCore, is_installed

E4M3 = torch.float8_e4m3fn

_LOG2_E = 1 / math.log(2)
_PROBABILITY_SHIFT = 8.0
"""The largest probability of a row is 2⁸ in e4m3, so that small ones are no denormal numbers: FlashAttention-3's."""


class SpreadCore(AttentionCore):
    """A core whose tokens are spread over several processes, of which this one has some."""

    @abstractmethod
    def average(self, values: Tensor) -> Tensor:
        """The mean of all processes' values, with the same bits everywhere."""

    @abstractmethod
    def attend_e4m3(self, q: Tensor, k: Tensor, v: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
        """`attention_e4m3` over the tokens of all processes, of as many queries as keys."""


def attention_e4m3(q: Tensor, k: Tensor, v: Tensor, scales: Tensor, dtype: torch.dtype) -> Tensor:
    """Attention of q (B, S, H, D) over k and v (B, K, H, D), all e4m3, in `dtype`.

    scales: (3, H) float32, what each head of q, k and v is to be multiplied by.

    Raises ConfigError on a GPU that cannot run it.
    """
    if not q.is_cuda:
        return emulate(q, k, v, scales).to(dtype)
    out: Tensor = _attention_e4m3(q, k, v, scales)
    return out.to(dtype)


def require_e4m3_attention(device: torch.device) -> None:
    """Raises ConfigError where `device` is a GPU without such a kernel."""
    if device.type != "cuda":
        return
    generation = torch.cuda.get_device_capability(device)[0]
    if generation != 9 or not is_installed(AttentionBackend.FA3):
        raise ConfigError(
            f"attention in e4m3 needs FlashAttention-3 on a Hopper GPU; {torch.cuda.get_device_name(device)} has "
            f"compute capability {generation}.x, and the package is {_presence(AttentionBackend.FA3)}",
            hint="Install worldloom[gpu], or choose precision 'fp8', which keeps attention in bfloat16.",
        )


def emulate(q: Tensor, k: Tensor, v: Tensor, scales: Tensor) -> Tensor:
    """The same in float32 (B, S, H, D), rounding where the kernel rounds: probabilities too, before they are summed
    with the values, but not in their own sum."""
    queries, keys, values = (
        (part.float() * scale[:, None]).transpose(1, 2) for part, scale in zip((q, k, v), scales, strict=True)
    )
    scores = queries @ keys.transpose(-1, -2) * (_LOG2_E / math.sqrt(q.shape[-1]))
    weights = torch.exp2(scores - scores.amax(dim=-1, keepdim=True) + _PROBABILITY_SHIFT)
    out: Tensor = weights.to(E4M3).float() @ values / weights.sum(dim=-1, keepdim=True)
    return out.transpose(1, 2)


# An operator of its own, as in `attention`: compiled graphs go around the package.
@torch.library.custom_op("worldloom::attention_e4m3", mutates_args=())
def _attention_e4m3(q: Tensor, k: Tensor, v: Tensor, scales: Tensor) -> Tensor:
    require_e4m3_attention(q.device)
    batch = (q.shape[0], -1)
    out: Tensor = import_module(FA3_MODULE).flash_attn_func(
        q,
        k,
        v,
        q_descale=scales[0].expand(batch),
        k_descale=scales[1].expand(batch),
        v_descale=scales[2].expand(batch),
    )
    return out


@_attention_e4m3.register_fake
def _(q: Tensor, k: Tensor, v: Tensor, scales: Tensor) -> Tensor:
    return q.new_empty(q.shape, dtype=torch.bfloat16)


def _presence(backend: AttentionBackend) -> str:
    return "installed" if is_installed(backend) else "not installed"
