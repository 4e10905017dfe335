"""A loaded decoder as the fast decoder's layers, wired from the last to the first."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor, nn

from ..vae import Decoder
from ..vae_blocks import CausalConv3d, ChannelNorm, FrameAttention, ResidualBlock
from ..vae_stages import Upsample, UpStage
from .convolution import Convolution, convolution_of, for_library, upsampling_convolution
from .layers import Attention, Causal, Enlargement, Residual, Stage
from .norm import Norm, norm_of
from .signal import Need, Piece, Signal

LIBRARY_WIDTHS = frozenset({64})
"""Output channels for which cuDNN's convolution and a kernel for its end are faster than one kernel, on an H200."""
PAIRS_FROM = 512
"""Input channels from which making frames in pairs saves more time in products than its two passes over them cost."""
Layer = Callable[[Signal, Piece], Signal]


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Network:
    """All layers from the first convolution's buffer to the last one's."""

    layers: tuple[Layer, ...]
    head: Convolution


def build_network(decoder: Decoder) -> Network:
    """Copies of the decoder's weights in the layout of the fast one, on the same device and of the same dtype."""
    stack = decoder.decoder
    norm, _, last = stack.head.children()
    need = Need(raw=False, norm=_norm(norm))
    layers: list[Layer] = []
    for module in reversed([*stack.middle.children(), *stack.upsamples.children()]):
        layer, need = _layer(module, need)
        layers.insert(0, layer)
    layers.insert(0, Causal(convolution=_convolution(stack.conv1), then=need))
    return Network(layers=tuple(layers), head=_convolution(last))


def _layer(module: nn.Module, then: Need) -> tuple[Layer, Need]:
    """A layer that gives what the next one needs, and what itself needs."""
    if isinstance(module, UpStage):
        return _stage(module, then)
    if isinstance(module, ResidualBlock):
        return _residual(module, then)
    assert isinstance(module, FrameAttention), f"a decoder has no {type(module).__name__}"
    return _attention(module, then), Need(raw=True)


def _stage(stage: UpStage, then: Need) -> tuple[Stage, Need]:
    end = None
    blocks: list[Residual] = []
    for module in reversed(list(stage.upsamples.children())):
        if isinstance(module, Upsample):
            end = _enlargement(module, stage, then)
            then = Need(raw=True, raw_past=end.earlier is not None)
        else:
            block, then = _residual(module, then)
            blocks.insert(0, block)
    return Stage(blocks=tuple(blocks), end=end), then


def _residual(module: nn.Module, then: Need) -> tuple[Residual, Need]:
    assert isinstance(module, ResidualBlock), f"a stage has no {type(module).__name__}"
    first_norm, _, first, norm, _, _, second = module.residual.children()
    widening = module.shortcut
    block = Residual(
        first=_convolution(first),
        norm=_norm(norm),
        second=_convolution(second),
        widening=None if isinstance(widening, nn.Identity) else _convolution(widening),
        then=then,
    )
    return block, Need(raw=True, norm=_norm(first_norm))


def _attention(module: FrameAttention, then: Need) -> Attention:
    def matrix(layer: nn.Conv2d) -> tuple[Tensor, Tensor]:
        assert layer.bias is not None
        return layer.weight.detach().flatten(1), layer.bias.detach()

    return Attention(norm=_norm(module.norm), qkv=matrix(module.to_qkv), projection=matrix(module.proj), then=then)


def _enlargement(module: Upsample, stage: UpStage, then: Need) -> Enlargement:
    convolution = module.resample[1]
    assert isinstance(convolution, nn.Conv2d) and convolution.bias is not None
    channels = convolution.out_channels
    earlier = later = None
    if module.time_conv is not None:
        weight, bias = module.time_conv.weight.detach(), module.time_conv.bias
        assert bias is not None
        # The first half of the channels is the earlier frame.
        earlier, later = (
            _placed(convolution_of(*half)) for half in zip(weight.chunk(2), bias.detach().chunk(2), strict=True)
        )
    factor = 4 if earlier is None else 8
    return Enlargement(
        earlier=earlier,
        later=later,
        space=_placed(upsampling_convolution(convolution.weight.detach(), convolution.bias.detach())),
        repeats=channels * factor // _in_channels(stage),
        then=then,
    )


def _in_channels(stage: UpStage) -> int:
    block = next(stage.upsamples.children())
    assert isinstance(block, ResidualBlock)
    first = next(block.residual.children())
    assert isinstance(first, ChannelNorm)
    return first.gamma.numel()


def _convolution(module: nn.Module) -> Convolution:
    assert isinstance(module, CausalConv3d | nn.Conv3d) and module.bias is not None
    return _placed(convolution_of(module.weight.detach(), module.bias.detach()))


def _placed(convolution: Convolution) -> Convolution:
    """Ready for what does it fastest."""
    if not convolution.weights.is_cuda:
        return for_library(convolution)
    if convolution.kernel != (3, 3, 3):
        return convolution
    if convolution.in_channels >= PAIRS_FROM:
        from .pairs import for_pairs

        return for_pairs(convolution)
    deep = convolution.in_channels >= convolution.out_channels
    return for_library(convolution) if deep and convolution.out_channels in LIBRARY_WIDTHS else convolution


def _norm(module: nn.Module) -> Norm:
    assert isinstance(module, ChannelNorm)
    return norm_of(module.gamma)
