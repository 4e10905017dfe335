"""Muon for matrices and convolutions, AdamW for everything else, as one optimizer.

Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon) steps along the orthogonal factor of the momentum, which
it finds with a quintic Newton-Schulz iteration. A small network has many matrices of few shapes, so those of one shape
are iterated together: a hundred small products become a few batched ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5


@dataclass(frozen=True, kw_only=True, slots=True)
class OptimizerConfig:
    """How a network learns."""

    muon_lr: float
    """Peak step of matrices and convolutions, in spectral norm."""
    adam_lr: float
    """Peak step of gains, biases, embeddings and output layers."""
    momentum: float = 0.95
    betas: tuple[float, float] = (0.9, 0.95)
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    again: float = 0.5
    """Share of the peak steps in runs that go on from earlier weights."""


def orthogonalize(stack: Tensor) -> Tensor:
    """Matrices (n, rows, columns) to nearly orthogonal ones: singular values between 0.7 and 1.2."""
    tall = stack.shape[1] > stack.shape[2]
    x: Tensor = stack.mT if tall else stack
    x = x.to(torch.bfloat16 if x.is_cuda else torch.float32)
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = NEWTON_SCHULZ
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    result: Tensor = x.mT if tall else x
    return result


class _Shape:
    """All parameters that have the same matrix shape, and their momentum as one stack."""

    def __init__(self, params: list[nn.Parameter]) -> None:
        self.params = params
        self.rows = params[0].shape[0]
        self.columns = params[0].numel() // self.rows
        self.momentum = torch.zeros(len(params), self.rows, self.columns, device=params[0].device)

    def grads(self) -> Tensor:
        """Gradients as (n, rows, columns); zeros for parameters that took no part."""
        flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in self.params]
        return torch.stack([grad.reshape(self.rows, self.columns).float() for grad in flat])


class Muon:
    """The optimizer of every training stage. Parameters are float32."""

    def __init__(self, named: Iterable[tuple[str, nn.Parameter]], config: OptimizerConfig) -> None:
        self.config = config
        shapes: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        rest: list[nn.Parameter] = []
        for name, param in named:
            if is_matrix(name, param):
                shapes[(param.shape[0], param.numel() // param.shape[0])].append(param)
            else:
                rest.append(param)
        self._shapes = [_Shape(params) for params in shapes.values()]
        self._rest = rest
        self._adam = torch.optim.AdamW(
            rest or [nn.Parameter(torch.zeros(1))],
            lr=config.adam_lr,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=bool(rest) and rest[0].is_cuda,
        )

    @property
    def params(self) -> list[nn.Parameter]:
        return [param for shape in self._shapes for param in shape.params] + self._rest

    def zero_grad(self) -> None:
        for param in self.params:
            param.grad = None

    @torch.no_grad()
    def step(self, scale: float = 1.0) -> Tensor:
        """One update with both peak steps times `scale`; returns the gradient norm before clipping, on the device.

        Gradients that are not finite count as zero: one bad batch must not end a run.
        """
        norm = self._clip()
        is_finite = torch.isfinite(norm)
        for shape in self._shapes:
            self._muon_step(shape, torch.where(is_finite, shape.grads(), 0.0), self.config.muon_lr * scale)
        for param in self._rest:
            if param.grad is not None:
                param.grad = torch.where(is_finite, param.grad, 0.0)
        for group in self._adam.param_groups:
            group["lr"] = self.config.adam_lr * scale
        self._adam.step()
        return norm

    def _clip(self) -> Tensor:
        grads = [param.grad for param in self.params if param.grad is not None]
        norm: Tensor = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
        factor = (self.config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        torch._foreach_mul_(grads, factor)
        return norm

    def _muon_step(self, shape: _Shape, grads: Tensor, lr: float) -> None:
        shape.momentum.lerp_(grads, 1.0 - self.config.momentum)
        update = orthogonalize(grads.lerp_(shape.momentum, self.config.momentum))
        size = lr * math.sqrt(max(1.0, shape.rows / shape.columns))
        decay = 1.0 - lr * self.config.weight_decay
        deltas = [delta.reshape(p.shape).to(p.dtype) for delta, p in zip(update, shape.params, strict=True)]
        params: list[Tensor] = list(shape.params)
        torch._foreach_mul_(params, decay)
        torch._foreach_add_(params, deltas, alpha=-size)

    def state_dict(self) -> dict[str, Any]:
        return {"adam": self._adam.state_dict(), "momentum": [shape.momentum for shape in self._shapes]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Raises ValueError when the state belongs to a network of other shapes."""
        momentum = state["momentum"]
        if [m.shape for m in momentum] != [shape.momentum.shape for shape in self._shapes]:
            raise ValueError(f"optimizer state of {len(momentum)} shapes for a network of {len(self._shapes)}")
        for shape, value in zip(self._shapes, momentum, strict=True):
            shape.momentum.copy_(value)
        self._adam.load_state_dict(state["adam"])


def is_matrix(name: str, param: nn.Parameter) -> bool:
    """Whether Muon takes the parameter: weights that map features to features, not tables, gains or output layers."""
    parts = name.split(".")
    is_edge = parts[0] in ("head", "token_embedding") or "modulation" in parts or "embedding" in name
    is_gain = param.ndim < 2 or param.numel() == max(param.shape)
    return not is_gain and not is_edge
