"""Start images from clients: checked before they are decoded, and brought to a preset's size."""

from __future__ import annotations

import io
import warnings

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from ..errors import ImageTooLarge, NotAnImage

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 50_000_000
"""What a file may unpack to: 150 MB of RGB."""


def read_image(data: bytes, *, height: int, width: int) -> npt.NDArray[np.uint8]:
    """RGB (height, width, 3) from an image file: turned upright, its centre cut to the shape, resized.

    Raises NotAnImage, or ImageTooLarge on an image whose header promises too many pixels; those are not decoded.
    """
    image = _open(data)
    if image.width * image.height > MAX_PIXELS:
        raise _too_large(f"{image.width}×{image.height}")
    try:
        upright = ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, SyntaxError, ValueError) as error:
        raise NotAnImage("the image file is damaged or cut short", hint="Send it again, or as PNG.") from error
    return np.asarray(ImageOps.fit(upright, (width, height), Image.Resampling.LANCZOS))


def _open(data: bytes) -> Image.Image:
    try:
        with warnings.catch_warnings():
            # Sizes are checked by the caller, with a limit of our own.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise _too_large("far") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise NotAnImage(
            f"{len(data)} bytes are no image that is known here", hint=f"Send one of {', '.join(FORMATS)}."
        ) from error


def _too_large(size: str) -> ImageTooLarge:
    return ImageTooLarge(
        f"the image unpacks to {size} too many pixels" if size == "far" else f"the image has {size} pixels",
        hint=f"Send at most {MAX_PIXELS // 1_000_000} million.",
    )
