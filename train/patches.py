"""Training at coarse patches first: the weights of a transformer with large patches as a start for one with smaller.

Only what reads and writes patches depends on their size. A small patch stands for each part of the large one that it is
cut from, as if the whole had its values: so input layers take the sum of those parts' weights, the output layer the
mean (compare FlexiViT, Beyer et al. 2022, arXiv 2212.08013, section 3.4).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import CheckpointError
from ..model.layout import split_dim
from .checkpoints import STATE, has_weights, load_weights, save_weights
from .ranks import Ranks

_LATENTS = "transformer.patch_embedding.weight"
_CAMERA = "transformer.patch_embedding_wancamctrl.weight"
_HEAD = "transformer.head.head"

Patch = tuple[int, int]
"""Rows and columns of latents."""


def refine(folder: Path, patch_size: tuple[int, ...], ranks: Ranks) -> None:
    """Rewrites a folder's weights for patches of `patch_size` (1, rows, columns) if theirs are multiples of it; does
    nothing where they fit already, or where there are none.

    Raises CheckpointError where they are no multiple.
    """
    finer: dict[str, Tensor] | None = None
    if has_weights(folder):
        # By every rank, so that an error is everybody's.
        weights, meta = load_weights(folder)
        rows, columns = weights[_LATENTS].shape[-2:]
        if (rows, columns) != patch_size[1:]:
            finer = refined(weights, (rows, columns), (patch_size[1], patch_size[2]))
    ranks.wait()
    if ranks.is_first and finer is not None:
        save_weights(folder, finer, meta=meta)
        # An optimizer's state is that of the coarse network.
        (folder / STATE).unlink(missing_ok=True)
    ranks.wait()


def refined(weights: Mapping[str, Tensor], coarse: Patch, fine: Patch) -> dict[str, Tensor]:
    """A world model's weights with patches of `coarse` latents as those of one with patches of `fine`."""
    if coarse[0] % fine[0] or coarse[1] % fine[1]:
        raise CheckpointError(
            f"patches of {coarse[0]}×{coarse[1]} latents cannot be cut into {fine[0]}×{fine[1]}",
            hint="Choose a patch_size that divides the weights' own, or train from nothing in another folder.",
        )
    camera, head, bias = weights[_CAMERA], weights[f"{_HEAD}.weight"], weights[f"{_HEAD}.bias"]
    return {
        **weights,
        _LATENTS: _parts(weights[_LATENTS], 3, coarse, fine).sum(dim=(3, 5)),
        # Channels of the camera map are slowest in a token.
        _CAMERA: _parts(split_dim(camera, 1, (-1, *coarse)), 2, coarse, fine).sum(dim=(2, 4)).flatten(1),
        # Channels of a latent are fastest in what is made.
        f"{_HEAD}.weight": _parts(split_dim(head, 0, (*coarse, -1)), 0, coarse, fine).mean(dim=(0, 2)).flatten(0, 2),
        f"{_HEAD}.bias": _parts(split_dim(bias, 0, (*coarse, -1)), 0, coarse, fine).mean(dim=(0, 2)).flatten(),
    }


def _parts(tensor: Tensor, dim: int, coarse: Patch, fine: Patch) -> Tensor:
    """Dimensions `dim` (rows) and `dim + 1` (columns) of a large patch as (part, row, part, column) of small ones."""
    columns = split_dim(tensor, dim + 1, (coarse[1] // fine[1], fine[1]))
    return split_dim(columns, dim, (coarse[0] // fine[0], fine[0]))
