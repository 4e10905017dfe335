"""Client of a worldloom service, without torch and Ray.

    async with open_world("http://127.0.0.1:8000", sample="courtyard") as world:
        await world.play(parse_script("forward 97"))
        async for frame in world.frames():
            show(frame.image)

`open_world_blocking` is the same without `async`.
"""

from .blocking import BlockingWorld, open_world_blocking
from .frames import WorldFrame
from .http import ServiceClient, StartRequest, Ticket
from .world import World, open_world

__all__ = [
    "BlockingWorld",
    "ServiceClient",
    "StartRequest",
    "Ticket",
    "World",
    "WorldFrame",
    "open_world",
    "open_world_blocking",
]
