"""Client of a worldloom service: torch-free, Ray-free.

    async with open_world("http://127.0.0.1:8000", sample="street") as world:
        await world.play([Held(forward=True)] * 97)
        async for frame in world.frames():
            show(frame.image)

`open_world_blocking` is the same without `async`; `join_world` enters a session that somebody else has opened.
"""

from .blocking import BlockingWorld, join_world_blocking, open_world_blocking
from .controls import Action, Held, Pose
from .errors import CodecMissing, ProtocolError, SessionEnded, Unreachable, WorldError
from .frames import WorldFrame
from .service import OpenedSession, Service, Snapshot, StartRequest, Ticket, open_service
from .version import PROTOCOL_VERSION
from .world import Credential, World, WorldInfo, join_world, open_session, open_world

__all__ = [
    "PROTOCOL_VERSION",
    "Action",
    "BlockingWorld",
    "CodecMissing",
    "Credential",
    "Held",
    "OpenedSession",
    "Pose",
    "ProtocolError",
    "Service",
    "SessionEnded",
    "Snapshot",
    "StartRequest",
    "Ticket",
    "Unreachable",
    "World",
    "WorldError",
    "WorldFrame",
    "WorldInfo",
    "join_world",
    "join_world_blocking",
    "open_service",
    "open_session",
    "open_world",
    "open_world_blocking",
]
