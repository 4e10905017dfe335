# mypy: disable-error-code="untyped-decorator, no-any-return"
"""Elementary functions of rays, in instructions that the GPU and Triton's interpreter both have."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def any_of(condition: tl.tensor) -> tl.tensor:
    """Whether it holds for any ray of the tile."""
    return tl.max(condition.to(tl.int32), axis=0) > 0


@triton.jit
def clip(value: tl.tensor) -> tl.tensor:
    """The value within [0, 1]."""
    return tl.minimum(tl.maximum(value, 0.0), 1.0)


@triton.jit
def lerp(start: tl.tensor, end: tl.tensor, weight: tl.tensor) -> tl.tensor:
    """From start at weight 0 to end at weight 1."""
    return start + (end - start) * weight


@triton.jit
def power(base: tl.tensor, exponent: tl.tensor) -> tl.tensor:
    """base ** exponent of numbers that are not negative, 0 for a base of 0."""
    return tl.exp2(exponent * tl.log2(tl.maximum(base, 1e-30)))


@triton.jit
def nonzero(value: tl.tensor, least: tl.tensor) -> tl.tensor:
    """The value, or `least` where it is nearer to 0."""
    return tl.where(tl.abs(value) < least, least, value)


@triton.jit
def sine(angle: tl.tensor) -> tl.tensor:
    """Within 2e-6 for angles up to a hundred; Abramowitz and Stegun 4.3.97 between −π/2 and π/2."""
    turns = angle * 0.15915494309189535
    turns = turns - tl.floor(turns + 0.5)
    # Half a turn is folded at a quarter: sin(π − x) = sin x.
    turns = tl.where(tl.abs(turns) > 0.25, tl.where(turns < 0, -0.5, 0.5) - turns, turns)
    x = turns * 6.283185307179586
    s = x * x
    tail = 0.0083333315 + s * (-0.000198409 + s * (2.7526e-06 - 2.39e-08 * s))
    return x * (1.0 + s * (-0.1666666664 + s * tail))


@triton.jit
def arctangent(y: tl.tensor, x: tl.tensor) -> tl.tensor:
    """atan2 within 1e-6; Abramowitz and Stegun 4.4.49 between 0 and π/4."""
    width, rise = tl.abs(x), tl.abs(y)
    q = tl.minimum(width, rise) / tl.maximum(tl.maximum(width, rise), 1e-30)
    s = q * q
    tail = 0.0429096138 + s * (-0.0161657367 + 0.0028662257 * s)
    tail = -0.1420889944 + s * (0.1065626393 + s * (-0.07528964 + s * tail))
    angle = q * (1.0 + s * (-0.3333314528 + s * (0.1999355085 + s * tail)))
    angle = tl.where(rise > width, 1.5707963267948966 - angle, angle)
    angle = tl.where(x < 0, 3.141592653589793 - angle, angle)
    return tl.where(y < 0, -angle, angle)


@triton.jit
def _half_word(word: tl.tensor) -> tl.tensor:
    """float32 of the float16 in the low bits of an int32."""
    return word.to(tl.int16).to(tl.float16, bitcast=True).to(tl.float32)


@triton.jit
def unpack_halves(word: tl.tensor) -> tuple[tl.tensor, tl.tensor, tl.tensor, tl.tensor]:
    """The four float16 of an int64, see `scene.pack`."""
    low, high = word.to(tl.int32), (word >> 32).to(tl.int32)
    return _half_word(low), _half_word(low >> 16), _half_word(high), _half_word(high >> 16)


@triton.jit
def unpack_pair(word: tl.tensor) -> tuple[tl.tensor, tl.tensor]:
    """The two float32 of an int64."""
    first, second = word.to(tl.int32), (word >> 32).to(tl.int32)
    return first.to(tl.float32, bitcast=True), second.to(tl.float32, bitcast=True)
