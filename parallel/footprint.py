"""How much memory a model's parts take, from its shapes alone. Importable without torch. Sizes are in bytes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..model.action_config import ActionConfig
from ..model.mixture import LOW_NOISE
from ..model.precision import Precision
from ..model.preset import Preset
from ..model.text_config import TextConfig
from ..model.transformer_config import PLUCKER_CHANNELS, TransformerConfig

LATER_CLIP_FRAMES = 19
"""Latent frames of a clip with memory: 5 of memory, 4 past, 10 new."""
STREAM_CACHE_BYTES_PER_PIXEL = 3.2e9 / (704 * 1280)
"""Of a full decoder's cache of one stream; a pruned decoder's is smaller by its channels."""
DECODER_WORK_BYTES_PER_PIXEL = 7e9 / (704 * 1280)
"""What a full decoder holds while it decodes a piece."""
ENCODER_BYTES_PER_PIXEL = 1.5e9 / (704 * 1280)
"""Of the VAE's encoder with what it holds while it encodes an image."""
RUNTIME_BYTES = 2.5e9
"""CUDA's context, NCCL's buffers, and what the allocator cannot use."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Footprint:
    """What a preset's parts take on one GPU, where `ranks` of them share the tokens."""

    expert: int
    """Weights of one transformer, the largest of a mixture."""
    conditioning: int
    """Of one clip: camera terms of all blocks."""
    activations: int
    """At most, within one block."""
    text_encoder: int
    """Weights; on one device of a group only."""
    image_encoder: int
    """Likewise, with what it holds while it encodes."""
    decoder: int
    """Weights and one stream."""
    stream: int
    """Another stream."""

    def rank(self, experts: int) -> int:
        """A rank that holds so many experts and denoises one clip at a time; it neither encodes nor decodes."""
        return experts * self.expert + self.conditioning + self.activations + int(RUNTIME_BYTES)


def footprint(preset: Preset, ranks: int) -> Footprint:
    """What a preset takes on each of `ranks` GPUs that share its tokens. Not for mocks."""
    config = preset.transformer
    assert config is not None, "a mock takes no memory"
    tokens = -(-LATER_CLIP_FRAMES * preset.tokens_per_frame // ranks)
    width = _bytes_of(preset)
    pixels = preset.video.height * preset.video.width
    kept = 1 - preset.decoder_pruning_rate
    stream = STREAM_CACHE_BYTES_PER_PIXEL * pixels * kept
    return Footprint(
        expert=_weights(config, preset.precision, width),
        conditioning=(2 * config.num_layers if preset.camera_cache else 1) * tokens * config.dim * width,
        # The residual stream twice in float32, q, k, v before and after their exchange, and the widest layer.
        activations=tokens * (2 * 4 * config.dim + 8 * width * config.dim + 2 * width * config.ffn_dim),
        text_encoder=text_parameters(preset.text) * width if preset.text_device == "same" else 0,
        image_encoder=round(ENCODER_BYTES_PER_PIXEL * pixels),
        decoder=round(DECODER_WORK_BYTES_PER_PIXEL * pixels * kept + stream),
        stream=round(stream),
    )


def expert_configs(preset: Preset) -> dict[str, TransformerConfig]:
    """The shape of each expert of a preset; of weights that are loaded, an estimate."""
    config = preset.transformer
    assert config is not None, "a mock has no experts"
    if preset.mixture is None:
        return {preset.weights.transformer_dir: config}
    without_actions = replace(config, action_config=None)
    return {name: without_actions if name == LOW_NOISE else config for name in preset.mixture.experts}


def transformer_parameters(config: TransformerConfig) -> int:
    """Numbers that a transformer's state dict holds."""
    dim = config.dim
    _, rows, columns = config.patch_size
    patch = rows * columns
    ends = (
        _linear(config.in_dim * patch, dim)
        + _linear(PLUCKER_CHANNELS * patch, dim)
        + 2 * _linear(dim, dim)
        + _linear(config.text_dim, dim)
        + _linear(dim, dim)
        + _linear(config.freq_dim, dim)
        + _linear(dim, dim)
        + _linear(dim, 6 * dim)
        + _linear(dim, config.out_dim * patch)
        + 2 * dim
    )
    attention = 4 * _linear(dim, dim) + 2 * dim
    block = 2 * attention + 4 * _linear(dim, dim) + 2 * dim + 6 * dim
    block += _linear(dim, config.ffn_dim) + _linear(config.ffn_dim, dim)
    actions = 0
    if config.action_config is not None:
        actions = len(config.action_config.blocks) * _action_parameters(config.action_config)
    return ends + config.num_layers * block + actions


def text_parameters(config: TextConfig) -> int:
    """Numbers that a umT5 encoder's state dict holds."""
    attention = 4 * config.dim * config.dim_attn + config.num_buckets * config.num_heads
    layer = attention + 3 * config.dim * config.dim_ffn + 2 * config.dim
    return config.vocab * config.dim + config.num_layers * layer + config.dim


def _weights(config: TransformerConfig, precision: Precision, width: int) -> int:
    """Linear layers of the blocks may be in 8 bits; they are all but a few percent."""
    if precision is Precision.BF16:
        return transformer_parameters(config) * width
    blocks = transformer_parameters(config) - transformer_parameters(replace(config, num_layers=1, action_config=None))
    return blocks + (transformer_parameters(config) - blocks) * width


def _action_parameters(action: ActionConfig) -> int:
    dim, mouse, keyboard = action.img_hidden_size, action.mouse_hidden_dim, action.keyboard_hidden_dim
    rows = action.window_rows * action.mouse_dim_in
    mouse_part = _linear(dim + rows, mouse) + _linear(mouse, mouse) + 2 * mouse + 3 * mouse * mouse + mouse * dim
    embedding = _linear(action.keyboard_dim_in, action.hidden_size) + _linear(action.hidden_size, action.hidden_size)
    windows = action.hidden_size * action.window_rows * 2 * keyboard
    norms = 2 * (mouse + keyboard) // action.heads_num
    return mouse_part + embedding + windows + 2 * dim * keyboard + norms


def _linear(inputs: int, outputs: int) -> int:
    return (inputs + 1) * outputs


def _bytes_of(preset: Preset) -> int:
    return {"bfloat16": 2, "float32": 4}[preset.dtype]
