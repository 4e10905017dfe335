"""Renders the sample start images and their prompts: `render_samples.py [FOLDER]`, by default into serve/samples.

All show held-out worlds, which no training sees, from a place where the scripts beside them touch no wall.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from worldloom.serve.samples import SAMPLES_DIR
from worldloom.serve.scripts import load_script
from worldloom.train.data.paths import scripted
from worldloom.train.data.prompts import Detail, compose
from worldloom.train.data.render import render
from worldloom.train.data.worlds import HELD_OUT_FROM, Worlds, sample_worlds

HEIGHT, WIDTH = 256, 448
SCRIPTS = ("tour", "walk")
PLACES = {"garden": 1126, "street": 1077, "hall": 1067, "dungeon": 1112, "night-street": 1021, "dusk-garden": 1122}
"""Names of the samples, and which held-out worlds they show. All scripts fit; chosen by eye."""
_HEADER = """# Start images that come with the package, in the order in which they are offered. Held-out worlds, made by
# ops/render_samples.py.
"""


def picture(world: Worlds) -> npt.NDArray[np.uint8]:
    """(HEIGHT, WIDTH, 3) RGB: what a player sees first in a batch of one world."""
    actions = [load_script(name) for name in SCRIPTS]
    keyboard = torch.from_numpy(np.concatenate([part.keyboard for part in actions]))
    mouse = torch.from_numpy(np.concatenate([part.mouse for part in actions]))
    start = scripted(world, keyboard, mouse, seed=world.seeds[0], draws=1024).poses[:, :1]
    image: npt.NDArray[np.uint8] = render(world, start, HEIGHT, WIDTH)[0, 0].numpy()
    return image


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else SAMPLES_DIR
    folder.mkdir(parents=True, exist_ok=True)
    table = _HEADER
    for name, number in PLACES.items():
        world = sample_worlds([HELD_OUT_FROM + number])
        Image.fromarray(picture(world)).save(folder / f"{name}.png", optimize=True)
        prompt = compose(world.attributes[0], Detail.LONG, world.seeds[0])
        table += f'\n[{name}]\nimage = "{name}.png"\nprompt = "{prompt}"\n'
    (folder / "samples.toml").write_text(table, encoding="utf-8")


if __name__ == "__main__":
    main()
