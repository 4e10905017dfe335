"""What the service keeps with a world besides what the store understands, as JSON in the header's `extra`."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass

from ..errors import SnapshotInvalid
from ..memory.records import WorldHeader
from .events import ORIGIN, Pose
from .limits import SERVICE_LIMITS, SessionLimits
from .messages import SessionSpec

FARTHEST = 1e7
"""Of a camera's origin, in units."""


@dataclass(frozen=True, kw_only=True, slots=True)
class HeaderExtra:
    """Goes into `WorldHeader.extra`."""

    token_hash: str = ""
    """Empty: no session, but a snapshot."""
    origin: Pose = ORIGIN
    limits: SessionLimits = SERVICE_LIMITS
    first_frame_id: int = 0
    source: str = ""
    """The session that a snapshot was taken of."""

    @property
    def is_snapshot(self) -> bool:
        """Whether no session has the world."""
        return not self.token_hash


def pack_header_extra(extra: HeaderExtra) -> bytes:
    """JSON."""
    return json.dumps(asdict(extra)).encode()


def extra_of(header: WorldHeader) -> HeaderExtra:
    """What `pack_header_extra` packed."""
    fields = json.loads(header.extra)
    return HeaderExtra(**fields | {"origin": tuple(fields["origin"]), "limits": SessionLimits(**fields["limits"])})


def pack_origin(origin: Pose) -> bytes:
    """What an exported world keeps; it may be read by anybody."""
    return json.dumps({"origin": origin}).encode()


def unpack_origin(data: bytes) -> Pose:
    """What `pack_origin` packed, or nothing. Raises SnapshotInvalid on anything else: files come from anywhere."""
    if not data:
        return ORIGIN
    try:
        x, y, z, pitch, yaw = (float(value) for value in json.loads(data)["origin"])
    except (ValueError, TypeError, LookupError, RecursionError, OverflowError) as error:
        raise SnapshotInvalid("the file's camera origin is no pose", hint="Export the world again.") from error
    origin = (x, y, z, pitch, yaw)
    if not all(math.isfinite(value) and abs(value) <= FARTHEST for value in origin):
        raise SnapshotInvalid(f"the file's camera origin is {origin}", hint="Export the world again.")
    return origin


def header_of(spec: SessionSpec) -> WorldHeader:
    """A new session's world."""
    extra = HeaderExtra(
        token_hash=spec.token_hash, origin=spec.origin, limits=spec.limits, first_frame_id=spec.first_frame_id
    )
    return WorldHeader(
        session=spec.session,
        preset=spec.preset,
        seed=spec.seed,
        prompt=spec.prompt,
        viewpoint=spec.viewpoint,
        image=spec.image,
        created_at=spec.created_at,
        extra=pack_header_extra(extra),
    )


def spec_of(header: WorldHeader) -> SessionSpec:
    """The session of a world's header."""
    extra = extra_of(header)
    return SessionSpec(
        session=header.session,
        preset=header.preset,
        image=header.image,
        prompt=header.prompt,
        seed=header.seed,
        viewpoint=header.viewpoint,
        token_hash=extra.token_hash,
        created_at=header.created_at,
        origin=extra.origin,
        limits=extra.limits,
        first_frame_id=extra.first_frame_id,
    )
