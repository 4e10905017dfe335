"""A world in this process, without Ray: what researchers use.

world = World.load("pocket")
world.start(Image.open("hall.png"), prompt="A stone hall", seed=0)
frames = world.step(parse_script("forward 57"))      # uint8 (57, H, W, 3)
there = world.snapshot()
left, right = (world.restore(there).step(parse_script(f"camera_{way} 40")) for way in ("left", "right"))
"""

from __future__ import annotations

import dataclasses
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps

from ..errors import InputError, NotAnImage, PromptTooLong, SessionUnknown
from ..memory.records import Snapshot, WorldHeader
from ..memory.store import Store, StoreConfig
from ..model.clip import ClipInputs, Float32, Float64, MemoryQuery, MemoryView, OnStep, plan_clip
from ..model.mixture import HIGH_NOISE
from ..model.preset import Preset, load_preset
from .engine import ChunkJob, Decoder, Engine
from .engines import make_decoder, make_engine
from .events import ORIGIN
from .history import memory_of, record_of, state_of
from .replay import ReplayedChunk, replay
from .world_file import pack_file, unpack_file

Frames = npt.NDArray[np.uint8]
ImageLike = npt.ArrayLike | Image.Image
EPOCH = 0
"""A world in this process has one writer."""
VIEWPOINTS = tuple(HIGH_NOISE)


class ActionRows(Protocol):
    """Actions of F frames, such as `worldloom.serve.actions.Actions`."""

    @property
    def keyboard(self) -> Float32:
        """(F, 6) in {0, 1}: W, S, A, D and two unused columns."""
        ...

    @property
    def mouse(self) -> Float32:
        """(F, 2) pitch and yaw a frame in units of 15 degrees."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class WorldSnapshot:
    """A world at one moment: restoring it gives the same future for the same actions, bit for bit."""

    data: bytes
    """The whole history, as a file that another process can restore."""
    decoder_state: Any | None = None
    """Spares this process to decode the last latents again."""


class World:
    """One world at a time, of one preset. Frames are RGB uint8 (F, H, W, 3)."""

    def __init__(
        self,
        preset: Preset,
        engine: Engine,
        decoder: Decoder,
        *,
        store_bytes: int = 8 << 30,
        store: Store | None = None,
    ) -> None:
        """`store_bytes` bounds the world's history: a minute takes 0.2 GB at 720p. Worlds may share a `store`."""
        self.preset = preset
        self._engine = engine
        self._decoder = decoder
        self._decoder_state: Any | None = None
        self._store = Store(StoreConfig(budget_bytes=store_bytes)) if store is None else store
        self._session = ""

    @classmethod
    def load(cls, preset: str | Preset, *, device: str = "auto") -> Self:
        """A preset by name, `.toml` path or value, with its weights on `device`.

        Raises PresetUnknown, ConfigError or CheckpointError.
        """
        loaded = preset if isinstance(preset, Preset) else load_preset(preset)
        return cls(loaded, make_engine(loaded, device), make_decoder(loaded, device))

    def start(self, image: ImageLike, *, prompt: str = "", seed: int = 0, viewpoint: str = "first_person") -> Self:
        """Begin a new world from an RGB image: uint8 (H, W, 3) or a PIL image, cut and resized to the preset's size.

        Raises NotAnImage, PromptTooLong, InputError on another viewpoint than first_person or third_person.
        """
        if viewpoint not in VIEWPOINTS:
            raise InputError(f"there is no viewpoint {viewpoint!r}", hint=f"Use one of {', '.join(VIEWPOINTS)}.")
        session = _new_session()
        header = WorldHeader(
            session=session,
            preset=self.preset.name,
            seed=seed,
            prompt=self._checked(prompt),
            viewpoint=viewpoint,
            image=fit_image(image, height=self.preset.video.height, width=self.preset.video.width),
            created_at=time.time(),
        )
        self._store.open(session, EPOCH, header=header)
        self._become(session, decoder_state=None)
        return self

    @property
    def num_new_frames(self) -> int:
        """Frames that the next step makes, and action rows that it needs: 57, later 40."""
        return state_of(self._now()).num_new_frames

    @property
    def poses(self) -> Float64:
        """(F, 5) of all frames so far: x, y, z in units, pitch and yaw in degrees."""
        return self._now().poses

    def step(self, actions: ActionRows, *, prompt: str | None = None, on_step: OnStep | None = None) -> Frames:
        """Play the next chunk; `prompt` changes what the world is from here on.

        Raises ActionError unless there are `num_new_frames` rows, SessionUnknown before `start`. What fails leaves the
        world as it was.
        """
        now = self._now()
        clip = self._plan(now, actions, now.prompt if prompt is None else self._checked(prompt))
        result = self._engine.step(ChunkJob(session=self._session, epoch=EPOCH, clip=clip), on_step=on_step)
        frames, decoder_state = self._decoder.decode(result.latents, self._decoder_state)
        record = record_of(clip, result.latents, first_frame_id=now.next_frame_id)
        self._store.commit(self._session, EPOCH, record)
        self._decoder_state = decoder_state
        return frames

    @property
    def place(self) -> tuple[int, int]:
        """(branch, chunk): the branch that grows, and the number of its next chunk."""
        now = self._now()
        return now.branch, now.chunk

    def rewind(self, chunk: int, *, branch: int | None = None) -> Self:
        """Go on after the first `chunk` chunks of a branch (None: the one that grows), in a new branch, whose future is
        another one under the same actions. Raises InputError where there is no such place."""
        self._now()
        turned = self._store.rewind(self._session, EPOCH, chunk, branch=branch)
        self._decoder_state = self._decode_again(self._session, turned)
        return self

    def reset(self) -> Self:
        """Go back to the start image, in a new branch."""
        return self.rewind(0)

    def fork(self, *, branch: int | None = None, chunk: int | None = None, prompt: str | None = None) -> Self:
        """Another world that shares the first `chunk` chunks (None: all) of a branch, and the engine.

        Both can be played on, and the same actions give the same future. Raises InputError where the place is none.
        """
        self._now()
        session = _new_session()
        prompt = None if prompt is None else self._checked(prompt)
        forked = self._store.fork(
            self._session, session, created_at=time.time(), branch=branch, chunk=chunk, prompt=prompt
        )
        other = type(self)(self.preset, self._engine, self._decoder, store=self._store)
        other._become(session, decoder_state=self._decode_again(session, forked))
        return other

    def snapshot(self) -> WorldSnapshot:
        """The world as it is now. Raises SessionUnknown before `start`."""
        self._now()
        return WorldSnapshot(data=self._store.export_world(self._session), decoder_state=self._decoder_state)

    def restore(self, snapshot: WorldSnapshot) -> Self:
        """Go on from a snapshot of a world of this preset. Raises SnapshotInvalid and leaves the world as it was."""
        state = snapshot.decoder_state
        session = self._take_in(snapshot.data)
        state = self._decode_again(session, self._store.snapshot(session)) if state is None else state
        self._become(session, decoder_state=state)
        return self

    def export_world(self, path: str | Path) -> Path:
        """Write the whole world with all its branches as one file; a service reads it too. See `memory.archive`."""
        self._now()
        file = Path(path)
        file.write_bytes(pack_file(self._store.world(self._session), ORIGIN))
        return file

    def import_world(self, path: str | Path) -> Self:
        """Go on from an exported file, of this process or of a service. Raises SnapshotInvalid and leaves the world as
        it was."""
        return self.restore(WorldSnapshot(data=Path(path).read_bytes()))

    def replay(self) -> Iterator[ReplayedChunk]:
        """Make every chunk of every branch again, and compare; see `replay`. Raises SessionUnknown before `start`."""
        self._now()
        return replay(self._store.world(self._session), self._engine, self._decoder)

    def close(self) -> None:
        """Forget the world. `start`, `restore` and `import_world` begin another one."""
        self._become("", decoder_state=None)

    def _take_in(self, data: bytes) -> str:
        """A file as a world in the store, under a new session id."""
        world, _ = unpack_file(data, self.preset)
        session = _new_session()
        self._store.add(dataclasses.replace(world, header=dataclasses.replace(world.header, session=session)))
        return session

    def _now(self) -> Snapshot:
        if not self._session:
            raise SessionUnknown("no world has been started", hint="Call start with an image first.")
        return self._store.snapshot(self._session)

    def _plan(self, now: Snapshot, actions: ActionRows, prompt: str) -> ClipInputs:
        def retrieve(query: MemoryQuery) -> MemoryView:
            return memory_of(self._store.retrieve(self._session, now.branch, query.query_poses, query.candidate_stop))

        return plan_clip(
            state_of(now),
            actions.keyboard,
            actions.mouse,
            prompt=prompt,
            viewpoint=now.header.viewpoint,
            image=now.header.image,
            retrieve=retrieve,
        )

    def _decode_again(self, session: str, now: Snapshot) -> Any | None:
        """The decoder's state after all of a world's latents, from those that it depends on."""
        records = self._store.read(session, now.branch, 0, now.chunk)
        if not records:
            return None
        latents = np.concatenate([record.latents for record in records], axis=1)
        return self._decoder.decode(latents[:, -self._decoder.reach_latents :], None)[1]

    def _become(self, session: str, *, decoder_state: Any | None) -> None:
        self._store.delete(self._session)
        self._session, self._decoder_state = session, decoder_state

    def _checked(self, prompt: str) -> str:
        limit = self.preset.limits.prompt_chars
        if len(prompt) > limit:
            raise PromptTooLong(f"the prompt has {len(prompt)} characters", hint=f"Use at most {limit}.")
        return prompt


def _new_session() -> str:
    return f"world-{uuid.uuid4().hex}"


def fit_image(image: ImageLike, *, height: int, width: int) -> Frames:
    """The centre of an RGB image (H, W, 3) uint8, cut to the shape of (height, width) and resized to it."""
    pixels = np.asarray(image)
    if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or not pixels.size:
        raise NotAnImage(
            f"the start image is an array {pixels.shape} of {pixels.dtype}",
            hint="Give RGB pixels, uint8 (H, W, 3), or a PIL image after .convert('RGB').",
        )
    if pixels.shape[:2] == (height, width):
        return pixels
    return np.asarray(ImageOps.fit(Image.fromarray(pixels), (width, height), Image.Resampling.LANCZOS))
