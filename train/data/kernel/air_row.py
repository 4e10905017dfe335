"""Where the kernel finds what in a row of `Worlds.air`."""

from __future__ import annotations

from itertools import accumulate
from typing import Final

from ..air import FIELDS

_STARTS: Final = dict(zip(FIELDS, accumulate(FIELDS.values(), initial=0), strict=False))

ZENITH: Final = _STARTS["zenith"]
HORIZON: Final = _STARTS["horizon"]
SUN_DIRECTION: Final = _STARTS["sun_direction"]
SUN_COLOR: Final = _STARTS["sun_color"]
SUN_SIZE: Final = _STARTS["sun_size"]
AMBIENT: Final = _STARTS["ambient"]
GROUND_BOUNCE: Final = _STARTS["ground_bounce"]
FOG_M: Final = _STARTS["fog_m"]
STARS: Final = _STARTS["stars"]
CLOUDS: Final = _STARTS["clouds"]
CLOUD_COLOR: Final = _STARTS["cloud_color"]
RIDGE_COLOR: Final = _STARTS["ridge_color"]
RIDGE: Final = _STARTS["ridge"]
WIDTH: Final = sum(FIELDS.values())
