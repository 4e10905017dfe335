"""Start images and prompts that come with the package."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from ...errors import InputError

SAMPLES_DIR = Path(__file__).parent


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """A place to start from."""

    name: str
    prompt: str
    path: Path

    def read_bytes(self) -> bytes:
        """The image file as it is."""
        return self.path.read_bytes()

    def read_image(self) -> npt.NDArray[np.uint8]:
        """The image as RGB (H, W, 3)."""
        with Image.open(self.path) as image:
            return np.asarray(image.convert("RGB"))


def list_samples() -> list[Sample]:
    """All samples; the first is the default."""
    table = tomllib.loads((SAMPLES_DIR / "samples.toml").read_text(encoding="utf-8"))
    return [
        Sample(name=name, prompt=entry["prompt"], path=SAMPLES_DIR / entry["image"]) for name, entry in table.items()
    ]


def load_sample(name: str) -> Sample:
    """The sample of that name. Raises InputError, which lists the names."""
    samples = {sample.name: sample for sample in list_samples()}
    if name not in samples:
        raise InputError(f"no sample image is named {name!r}", hint=f"Samples: {', '.join(samples)}.")
    return samples[name]
