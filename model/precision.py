"""How a transformer computes: exactly as its dtype says, or in 8 bits. Importable without torch."""

from __future__ import annotations

from enum import StrEnum

from ..errors import DoesNotFit

_INT8_CAPABILITY = (8, 0)
_FP8_CAPABILITY = (8, 9)
_FP8_ATTENTION_CAPABILITY = (9, 0)


class Precision(StrEnum):
    """From the exact one to the fastest."""

    BF16 = "bf16"
    """Exact: linear layers and attention compute in the preset's dtype (float32 for models that run on a CPU)."""
    INT8 = "int8"
    """Linear layers multiply int8 weights and activations."""
    FP8 = "fp8"
    """Linear layers multiply e4m3 weights and activations, with a scale for each row."""
    FP8_ATTENTION = "fp8-attn"
    """As FP8, and self-attention runs in e4m3 with smoothed keys; the residual stream is bfloat16 between blocks."""


def require_precision(precision: Precision, capability: tuple[int, int] | None) -> None:
    """Raises DoesNotFit where a GPU of this CUDA compute capability cannot run it; None is a CPU: it emulates."""
    least = {
        Precision.INT8: _INT8_CAPABILITY,
        Precision.FP8: _FP8_CAPABILITY,
        Precision.FP8_ATTENTION: _FP8_ATTENTION_CAPABILITY,
    }.get(precision)
    if capability is not None and least is not None and capability < least:
        raise DoesNotFit(
            f"precision {precision} needs a GPU of compute capability {_dotted(least)}, this one has "
            f"{_dotted(capability)}",
            hint="Choose 'bf16' or 'int8', or another GPU.",
        )


def _dotted(capability: tuple[int, int]) -> str:
    return ".".join(map(str, capability))
