"""What a new session is asked for with, over HTTP or gRPC, and the checks that it has to pass."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import Annotated, Any, Literal

from pydantic import Base64Bytes, BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from ..cluster.events import ORIGIN, Pose
from ..cluster.limits import SessionLimits
from ..cluster.verbs import FromSnapshot, NewWorld
from ..errors import InputError, PresetUnknown, PromptTooLong
from ..model.preset import Preset
from .http_errors import wrong_fields
from .images import read_image
from .samples import list_samples, load_sample

MAX_SEED = 2**63 - 1
FARTHEST = 1e7

Coordinate = Annotated[float, Field(ge=-FARTHEST, le=FARTHEST, allow_inf_nan=False)]
Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Camera(_Strict):
    """A camera in the game's own coordinates: units of 1 cm, z up; positive yaw turns from x to y."""

    x: Coordinate = 0.0
    y: Coordinate = 0.0
    z: Coordinate = 0.0
    pitch_degrees: Annotated[float, Field(ge=-90, le=90, allow_inf_nan=False)] = 0.0
    yaw_degrees: Annotated[float, Field(ge=-360, le=360, allow_inf_nan=False)] = 0.0

    def pose(self) -> Pose:
        return self.x, self.y, self.z, self.pitch_degrees, self.yaw_degrees


class Limits(_Strict):
    """0 means the service's own limit, which none of these can exceed."""

    play_s: Seconds = 0.0
    """Seconds of video that may be made."""
    idle_s: Seconds = 0.0
    """Without a player."""
    grace_s: Seconds = 0.0
    """For a player whose connection broke."""
    viewers: Annotated[int, Field(ge=0, le=10**6)] = 0

    def limits(self) -> SessionLimits:
        return SessionLimits(play_s=self.play_s, idle_s=self.idle_s, grace_s=self.grace_s, viewers=self.viewers)


class NewSession(_Strict):
    """A session to create: from a sample image, an image of its own, or a snapshot."""

    sample: str | None = None
    """Name of a sample image; without it, an image and a snapshot, the first one."""
    image: Base64Bytes | None = None
    """A PNG, JPEG or WebP file. A form has it as a file part."""
    snapshot_id: str | None = None
    """Then seed, viewpoint and camera are the snapshot's."""
    prompt: str | None = None
    """Defaults to the sample's or the snapshot's prompt."""
    seed: Annotated[int | None, Field(ge=0, le=MAX_SEED)] = None
    """Defaults to a random one."""
    preset: str | None = None
    """Defaults to the one that the service runs."""
    viewpoint: Literal["first_person", "third_person"] | None = None
    """Defaults to first_person."""
    camera: Camera | None = None
    """Where the first frame is seen from; defaults to the origin."""
    limits: Limits = Limits()


class ForkAsked(_Strict):
    """Where to fork a session, and its limits."""

    branch: Annotated[int | None, Field(ge=0)] = None
    """Defaults to the one that grows."""
    chunk: Annotated[int | None, Field(ge=0)] = None
    """Chunks to keep; defaults to all."""
    limits: Limits = Limits()


class PlaceAsked(_Strict):
    """Where to take a snapshot."""

    branch: Annotated[int | None, Field(ge=0)] = None
    """Defaults to the one that grows."""
    chunk: Annotated[int | None, Field(ge=0)] = None
    """Chunks to keep; defaults to all."""


class TicketAsked(_Strict):
    """Whom to let in, and how."""

    role: Literal["ROLE_PLAYER", "ROLE_VIEWER"] = "ROLE_PLAYER"
    valid_s: Annotated[int, Field(ge=0)] = 0
    """0: a minute."""
    origins: list[str] = []
    """Web origins that may use it; none: any."""
    max_kbit_per_s: Annotated[int, Field(ge=0)] = 0
    """0: no limit."""


async def start_of(asked: NewSession, preset: Preset) -> NewWorld | FromSnapshot:
    """The world to create. Raises InputError and its kinds, and PresetUnknown."""
    if asked.preset not in (None, preset.name):
        raise PresetUnknown(f"this service does not run {asked.preset!r}", hint=f"It runs {preset.name!r}.")
    starts = [name for name in ("sample", "image", "snapshot_id") if getattr(asked, name) is not None]
    if len(starts) > 1:
        raise InputError(f"the world starts from {' and '.join(starts)}", hint="Send one of them.")
    if asked.snapshot_id is not None:
        return _from_snapshot(asked, asked.snapshot_id, preset)
    if asked.image is not None:
        image, prompt = asked.image, asked.prompt or ""
    else:
        sample = load_sample(asked.sample or list_samples()[0].name)
        image, prompt = sample.read_bytes(), sample.prompt if asked.prompt is None else asked.prompt
    return NewWorld(
        image=await asyncio.to_thread(read_image, image, height=preset.video.height, width=preset.video.width),
        prompt=_checked(prompt, preset),
        seed=secrets.randbelow(MAX_SEED) if asked.seed is None else asked.seed,
        viewpoint=asked.viewpoint or "first_person",
        camera=ORIGIN if asked.camera is None else asked.camera.pose(),
        limits=asked.limits.limits(),
    )


def _from_snapshot(asked: NewSession, snapshot: str, preset: Preset) -> FromSnapshot:
    own = [name for name in ("seed", "viewpoint", "camera") if getattr(asked, name) is not None]
    if own:
        raise InputError(f"a snapshot has its own {', '.join(own)}", hint="Leave them out.")
    prompt = None if asked.prompt is None else _checked(asked.prompt, preset)
    return FromSnapshot(snapshot=snapshot, prompt=prompt, limits=asked.limits.limits())


def _checked(prompt: str, preset: Preset) -> str:
    limit = preset.limits.prompt_chars
    if len(prompt) > limit:
        raise PromptTooLong(f"the prompt has {len(prompt)} characters", hint=f"Send at most {limit}.")
    return prompt


async def read_session_request(request: Request, preset: Preset) -> NewWorld | FromSnapshot:
    """What POST /v1/sessions asks for: JSON, or a form with an image file. Raises as `start_of` does."""
    fields, image = await _read_fields(request)
    try:
        asked = NewSession.model_validate(fields)
    except ValidationError as error:
        raise invalid(error) from error
    return await start_of(asked if image is None else asked.model_copy(update={"image": image}), preset)


def invalid(error: ValidationError) -> InputError:
    """What is wrong with a request, field by field."""
    return wrong_fields(error.errors())


async def _read_fields(request: Request) -> tuple[Any, bytes | None]:
    """The fields, and the image file's bytes if there is one."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _read_form(request)
    if kind not in ("application/json", ""):
        raise InputError(f"the body is {kind!r}", hint="Send application/json or multipart/form-data.")
    body = await request.body()
    try:
        return await request.json() if body else {}, None
    except (ValueError, RecursionError) as error:
        raise InputError(f"the body is no JSON: {error}", hint="Send an object, such as {}.") from error


async def _read_form(request: Request) -> tuple[dict[str, Any], bytes | None]:
    async with request.form(max_files=1, max_fields=16) as form:
        upload = form.get("image")
        data = await upload.read() if isinstance(upload, UploadFile) else None
        fields: dict[str, Any] = {name: value for name, value in form.items() if name != "image"}
    if upload is not None and data is None:
        raise InputError("the form's 'image' is no file", hint="Send it as a file part.")
    for name in fields.keys() & {"camera", "limits"}:
        fields[name] = _json_of(name, fields[name])
    return fields, data


def _json_of(name: str, text: object) -> Any:
    try:
        return json.loads(str(text))
    except (ValueError, RecursionError) as error:
        raise InputError(f"the form's {name!r} is no JSON: {error}", hint="Send an object, such as {}.") from error
