"""Start images are checked before they are decoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from worldloom.errors import ImageTooLarge, NotAnImage
from worldloom.serve.images import read_image


def encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that promises a size and brings no pixels."""

    def part(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + part(b"IHDR", size) + part(b"IDAT", b"") + part(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_any_shape_and_mode_becomes_rgb_of_the_presets_size(kind: str, mode: str) -> None:
    image = read_image(encoded(Image.new(mode, (300, 500), "white"), kind), height=64, width=96)
    assert image.shape == (64, 96, 3) and image.dtype == np.uint8 and (image > 250).all()


def test_the_centre_is_kept() -> None:
    wide = Image.new("RGB", (300, 100), "red")
    wide.paste((0, 255, 0), (100, 0, 200, 100))
    image = read_image(encoded(wide, "PNG"), height=50, width=50)
    assert (image[:, 5:-5] == (0, 255, 0)).all()


def test_a_photo_is_turned_upright() -> None:
    photo = Image.new("RGB", (80, 40), "black")
    photo.paste("white", (0, 0, 40, 40))
    exif = Image.Exif()
    exif[0x0112] = 6
    image = read_image(encoded(photo, "PNG", exif=exif), height=80, width=40)
    assert image[:36].min() > 240 and image[44:].max() < 15


@pytest.mark.parametrize("size", [(7100, 7100), (30_000, 30_000), (2**31 - 1, 1)])
def test_an_image_bomb_is_refused_by_its_header(size: tuple[int, int]) -> None:
    with pytest.raises(ImageTooLarge):
        read_image(png_header(*size), height=64, width=96)


def test_a_cut_image_is_no_image() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    for kind in ("PNG", "JPEG", "WEBP"):
        data = encoded(Image.fromarray(noise), kind)
        with pytest.raises(NotAnImage):
            read_image(data[: len(data) // 2], height=64, width=96)


def test_formats_outside_the_list_are_refused() -> None:
    with pytest.raises(NotAnImage):
        read_image(encoded(Image.new("RGB", (8, 8)), "TIFF"), height=64, width=96)


@given(st.binary(max_size=300))
def test_any_bytes_give_a_typed_error(data: bytes) -> None:
    with pytest.raises((NotAnImage, ImageTooLarge)):
        read_image(data, height=64, width=96)
