"""Muon for matrices and convolutions, AdamW for everything else, as one optimizer.

Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon) steps along the orthogonal factor of the momentum, which
it finds with a quintic Newton-Schulz iteration. A small network has many matrices of few shapes, so those of one shape
are iterated together: a hundred small products become a few batched ones.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
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
    """All parameters that have the same matrix shape; their gradients and momentum as one stack (n, rows, columns)."""

    def __init__(self, params: list[nn.Parameter], gradients: Tensor) -> None:
        self.params = params
        self.size = params[0].shape[0], params[0].numel() // params[0].shape[0]
        self.gradients = gradients.view(len(params), *self.size)
        self.momentum = torch.zeros_like(self.gradients)

    @property
    def gain(self) -> float:
        """Steps of tall matrices are larger, so that what they add to is moved as far."""
        rows, columns = self.size
        return math.sqrt(max(1.0, rows / columns))


class Muon:
    """The optimizer of every training stage. Parameters are float32.

    Gradients are collected in one flat buffer, in which those of one shape lie together. Neither a step nor its rate
    asks anything of the host, so steps can be recorded and replayed.
    """

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        config: OptimizerConfig,
        *,
        source: Callable[[nn.Parameter], nn.Parameter] = lambda param: param,
    ) -> None:
        """`source` tells which parameter backward passes leave a parameter's gradient at."""
        self.config = config
        shapes: dict[tuple[int, int], list[nn.Parameter]] = defaultdict(list)
        rest: list[nn.Parameter] = []
        for name, param in named:
            if is_matrix(name, param):
                shapes[(param.shape[0], param.numel() // param.shape[0])].append(param)
            else:
                rest.append(param)
        params = [param for group in shapes.values() for param in group] + rest
        sizes = [param.numel() for param in params]
        self._sources = [source(param) for param in params]
        self.gradient = torch.zeros(sum(sizes), device=params[0].device)
        """Of all parameters, flat; what a step reads and may change."""
        self._gradients = [
            flat.view(param.shape) for flat, param in zip(torch.split(self.gradient, sizes), params, strict=True)
        ]
        stacks = torch.split(
            self.gradient, [*(sum(p.numel() for p in group) for group in shapes.values()), sum(p.numel() for p in rest)]
        )
        self._shapes = [_Shape(group, flat) for group, flat in zip(shapes.values(), stacks[:-1], strict=True)]
        self._rest = rest
        self._rest_gradients = self._gradients[len(params) - len(rest) :]
        self._one = torch.ones((), device=self.gradient.device)
        self._rate = torch.full((), config.adam_lr, device=self.gradient.device)
        self._adam = torch.optim.AdamW(
            rest or [nn.Parameter(torch.zeros(1))],
            lr=self._rate,
            betas=config.betas,
            weight_decay=config.weight_decay,
            fused=True,
            capturable=self._rate.is_cuda,
        )

    @torch.no_grad()
    def collect(self) -> None:
        """Takes the gradients that backward passes left, adding zeros for parameters that took no part."""
        pairs = zip(self._gradients, self._sources, strict=True)
        found = [(kept, source.grad) for kept, source in pairs if source.grad is not None]
        if len(found) < len(self._sources):
            self.gradient.zero_()
        torch._foreach_copy_([kept for kept, _ in found], [grad for _, grad in found])
        for source in self._sources:
            source.grad = None

    @torch.no_grad()
    def step(self, scale: Tensor | None = None) -> Tensor:
        """One update by the collected gradients with both peak steps times `scale` (), 1 by default; returns the
        gradient norm before clipping, on the device.

        Gradients that are not finite count as zero: one bad batch must not end a run.
        """
        scale = self._one if scale is None else scale
        norm: Tensor = torch.linalg.vector_norm(self.gradient)
        factor = (self.config.max_grad_norm / (norm + 1e-6)).clamp(max=1.0)
        self.gradient.mul_(factor).masked_fill_(~torch.isfinite(norm), 0.0)
        for shape in self._shapes:
            self._muon_step(shape, scale * self.config.muon_lr)
        self._rate.copy_(scale * self.config.adam_lr)
        for param, gradient in zip(self._rest, self._rest_gradients, strict=True):
            param.grad = gradient
        self._adam.step()
        self._adam.zero_grad()
        return norm

    def _muon_step(self, shape: _Shape, rate: Tensor) -> None:
        shape.momentum.lerp_(shape.gradients, 1.0 - self.config.momentum)
        update = orthogonalize(torch.lerp(shape.gradients, shape.momentum, self.config.momentum))
        # As contiguous as the parameters are: then all of them are added to at once.
        deltas = (update.float() * (-rate * shape.gain)).contiguous().unbind()
        params: list[Tensor] = list(shape.params)
        if self.config.weight_decay:
            torch._foreach_mul_(params, 1.0 - rate * self.config.weight_decay)
        torch._foreach_add_(params, [delta.view(p.shape) for delta, p in zip(deltas, params, strict=True)])

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
        for group in self._adam.param_groups:
            group["lr"] = self._rate


def is_matrix(name: str, param: nn.Parameter) -> bool:
    """Whether Muon takes the parameter: weights that map features to features, not tables, gains or output layers."""
    parts = name.split(".")
    is_edge = parts[0] in ("head", "token_embedding") or "modulation" in parts or "embedding" in name
    is_gain = param.ndim < 2 or param.numel() == max(param.shape)
    return not is_gain and not is_edge
