"""Prompts from what a world is made of, in three levels of detail and a small closed vocabulary."""

from __future__ import annotations

from enum import IntEnum
from typing import Final

import numpy as np

from .blueprint import Attributes
from .landmarks import LANDMARKS
from .palette import NAMES


class Detail(IntEnum):
    """How much a prompt tells."""

    SHORT = 0
    MEDIUM = 1
    LONG = 2


_TIMES: Final = {
    "day": "by day",
    "morning": "in the morning",
    "sunset": "at sunset",
    "dusk": "at dusk",
    "night": "at night",
    "torchlight": "by torchlight",
    "lamplight": "by lamplight",
}
_PLACES: Final = {
    "dungeon": ("a dungeon", "an old dungeon", "an underground dungeon"),
    "street": ("a street", "a town street", "a quiet town"),
    "garden": ("a garden", "a park", "a walled garden with hedges"),
    "hall": ("a hall", "a large hall", "a museum hall"),
}
_OPENINGS: Final = ("", "first person view of ", "walking through ", "a view of ")
_WEATHERS: Final = {
    "clear": "the sky is clear",
    "cloudy": "clouds are in the sky",
    "foggy": "fog lies over the ground",
}


def compose(attributes: Attributes, detail: Detail, seed: int) -> str:
    """One prompt about a world; different seeds say it differently. Lower case, words, commas and full stops."""
    rng = np.random.default_rng((seed, 0x9E))
    opening = str(rng.choice(_OPENINGS))
    place = f"{opening}{rng.choice(_PLACES[attributes.kind])} {_TIMES[attributes.time]}"
    if detail is Detail.SHORT:
        return place
    walls, floors = _some(attributes.walls, 1, rng), _some(attributes.floors, 1, rng)
    if detail is Detail.MEDIUM:
        marks = [_article(mark) for mark in _some(attributes.landmarks, 2, rng)]
        return f"{place} with {_joined([*walls, *(_article(floor) for floor in floors), *marks])}"
    walls, floors = _some(attributes.walls, 3, rng), _some(attributes.floors, 2, rng)
    sentences = [f"{place} with {_joined([*walls, *(_article(floor) for floor in floors)])}"]
    if attributes.landmarks:
        marks = [_article(mark) for mark in _some(attributes.landmarks, 5, rng)]
        sentences.append(f"there {'is' if len(marks) == 1 else 'are'} {_joined(marks)}")
    if attributes.features:
        sentences.append(f"one can see {_joined(_some(attributes.features, 3, rng))}")
    if attributes.kind in ("street", "garden"):
        sentences.append(_WEATHERS[attributes.weather])
    return ". ".join(sentences) + "."


def vocabulary() -> tuple[str, ...]:
    """Every word and mark that `compose` can use, sorted; at most about 200."""
    phrases = [*_TIMES.values(), *_OPENINGS, *_WEATHERS.values(), *NAMES, *LANDMARKS, *_WORDS]
    phrases += [place for places in _PLACES.values() for place in places]
    words = {word for phrase in phrases for word in words_of(phrase)}
    return tuple(sorted(words))


def words_of(prompt: str) -> list[str]:
    """A prompt cut into vocabulary items: words, commas and full stops."""
    return prompt.replace(",", " ,").replace(".", " .").split()


_WORDS: Final = (
    # walls and floors
    "brick stone cobble wooden plaster panelled marble striped checkered tiled sand",
    "walls floor houses timber road square path lawn hedges",
    # features
    "water pool round pillars carpet crates torches rows bright lamps street market stalls trees flowers pond pavilion",
    # glue
    "a an the with and of there is are one can see , .",
)


def _some(phrases: list[str], number: int, rng: np.random.Generator) -> list[str]:
    """Up to so many different phrases, the first ones more likely, in their order."""
    different = list(dict.fromkeys(phrases))
    if len(different) <= number:
        return different
    weights = 0.7 ** np.arange(len(different))
    chosen = rng.choice(len(different), number, replace=False, p=weights / weights.sum())
    return [different[i] for i in sorted(chosen)]


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"


def _joined(phrases: list[str]) -> str:
    if len(phrases) < 2:
        return "".join(phrases)
    return ", ".join(phrases[:-1]) + " and " + phrases[-1]
