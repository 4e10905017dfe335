"""Parameter names of published VAE files, turned into those of Wan2.2, which our modules have."""

from __future__ import annotations

import re

_RENAMES: tuple[tuple[str, str], ...] = (
    (r"(resnets\.\d+)\.norm1\.", r"\1.residual.0."),
    (r"(resnets\.\d+)\.conv1\.", r"\1.residual.2."),
    (r"(resnets\.\d+)\.norm2\.", r"\1.residual.3."),
    (r"(resnets\.\d+)\.conv2\.", r"\1.residual.6."),
    (r"(resnets\.\d+)\.conv_shortcut\.", r"\1.shortcut."),
    (r"mid_block\.resnets\.0\.", r"middle.0."),
    (r"mid_block\.attentions\.0\.", r"middle.1."),
    (r"mid_block\.resnets\.1\.", r"middle.2."),
    (r"down_blocks\.(\d+)\.resnets\.", r"downsamples.\1.downsamples."),
    (r"up_blocks\.(\d+)\.resnets\.", r"upsamples.\1.upsamples."),
    (r"down_blocks\.(\d+)\.downsampler\.", r"downsamples.\1.downsamples.2."),
    (r"up_blocks\.(\d+)\.upsampler\.", r"upsamples.\1.upsamples.3."),
    (r"coder\.conv_in\.", r"coder.conv1."),
    (r"coder\.norm_out\.", r"coder.head.0."),
    (r"coder\.conv_out\.", r"coder.head.2."),
    (r"^quant_conv\.", r"conv1."),
    (r"^post_quant_conv\.", r"conv2."),
)
"""LightVAE to Wan2.2, applied in this order."""

_TRAINING_ONLY = "dynamic_feature_projection_heads."


def wan_name(name: str) -> str | None:
    """Wan2.2's name of a parameter of a LightVAE or Wan2.2 file; None if it serves training only."""
    if name.startswith(_TRAINING_ONLY):
        return None
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name
