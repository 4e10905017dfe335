"""What a rung's H.264 stream is called before it is there. Importable without PyAV.

Levels are those of ITU-T H.264 Table A-1, from 3 on, which every device has; names are those of RFC 6381.
"""

from __future__ import annotations

from ..errors import ConfigError
from .video import Rung

PROFILE = "42c0"
"""Constrained baseline: no frames out of order, and decoders in hardware everywhere."""
LEVELS = (
    (30, 40_500, 1_620, 10_000),
    (31, 108_000, 3_600, 14_000),
    (32, 216_000, 5_120, 20_000),
    (40, 245_760, 8_192, 20_000),
    (42, 522_240, 8_704, 50_000),
    (50, 589_824, 22_080, 135_000),
    (51, 983_040, 36_864, 240_000),
    (52, 2_073_600, 36_864, 240_000),
)
"""(ten times the level, macroblocks a second, macroblocks a frame, kbit/s) that a level allows."""


def level_of(rung: Rung, frame_rate: float) -> int:
    """Ten times the lowest level that holds the stream. Raises ConfigError where none does."""
    blocks = -(-rung.width // 16) * -(-rung.height // 16)
    for level, blocks_per_s, most_blocks, kbit_per_s in LEVELS:
        if blocks * frame_rate <= blocks_per_s and blocks <= most_blocks and rung.kbit_per_s <= kbit_per_s:
            return level
    raise ConfigError(
        f"no level of H.264 has {rung.width}×{rung.height}, {frame_rate:g} frames and {rung.kbit_per_s} kbit a second",
        hint="Ask for a smaller video.",
    )


def codec_string(rung: Rung, frame_rate: float) -> str:
    """As WebCodecs names the stream, such as 'avc1.42c01f'."""
    return f"avc1.{PROFILE}{level_of(rung, frame_rate):02x}"
