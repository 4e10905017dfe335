"""What POST /v1/sessions asks for: JSON, or a form with an image file."""

from __future__ import annotations

import asyncio
import secrets
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.datastructures import UploadFile
from starlette.requests import Request

from ..errors import InputError, PresetUnknown, PromptTooLong
from ..model.preset import Preset
from .images import read_image
from .samples import list_samples, load_sample

MAX_SEED = 2**63 - 1


class NewSession(BaseModel):
    """The fields of the JSON body, and of the form beside its `image` file."""

    model_config = ConfigDict(extra="forbid")

    sample: str | None = None
    """Name of a sample image; without it and without an image, the first one."""
    prompt: str | None = None
    """Defaults to the sample's prompt."""
    seed: Annotated[int | None, Field(ge=0, le=MAX_SEED)] = None
    """Defaults to a random one."""
    preset: str | None = None
    """Defaults to the one that the service runs."""
    viewpoint: Literal["first_person", "third_person"] = "first_person"


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class SessionRequest:
    """A request that has passed all checks."""

    image: npt.NDArray[np.uint8]
    """(H, W, 3) RGB at the preset's size."""
    prompt: str
    seed: int
    viewpoint: str


async def read_session_request(request: Request, preset: Preset) -> SessionRequest:
    """Raises InputError and its kinds, and PresetUnknown."""
    fields, upload = await _read_fields(request)
    try:
        asked = NewSession.model_validate(fields)
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, item['loc'])) or 'body'}: {item['msg']}" for item in error.errors())
        raise InputError(f"the session request is wrong: {wrong}", hint="Correct these fields.") from error
    if asked.preset not in (None, preset.name):
        raise PresetUnknown(f"this service does not run {asked.preset!r}", hint=f"It runs {preset.name!r}.")
    if upload is not None and asked.sample is not None:
        raise InputError("both an image and a sample", hint="Send one of them.")
    if upload is None:
        sample = load_sample(asked.sample or list_samples()[0].name)
        upload = sample.read_bytes()
        prompt = sample.prompt if asked.prompt is None else asked.prompt
    else:
        prompt = asked.prompt or ""
    _check_prompt(prompt, preset)
    return SessionRequest(
        image=await asyncio.to_thread(read_image, upload, height=preset.video.height, width=preset.video.width),
        prompt=prompt,
        seed=secrets.randbelow(MAX_SEED) if asked.seed is None else asked.seed,
        viewpoint=asked.viewpoint,
    )


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
    except ValueError as error:
        raise InputError(f"the body is no JSON: {error}", hint="Send an object, such as {}.") from error


async def _read_form(request: Request) -> tuple[dict[str, Any], bytes | None]:
    async with request.form(max_files=1, max_fields=16) as form:
        upload = form.get("image")
        data = await upload.read() if isinstance(upload, UploadFile) else None
        fields = {name: value for name, value in form.items() if name != "image"}
    if upload is not None and data is None:
        raise InputError("the form's 'image' is no file", hint="Send it as a file part.")
    return fields, data


def _check_prompt(prompt: str, preset: Preset) -> None:
    limit = preset.limits.prompt_chars
    if len(prompt) > limit:
        raise PromptTooLong(f"the prompt has {len(prompt)} characters", hint=f"Send at most {limit}.")
