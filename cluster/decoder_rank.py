"""One rank of a decoder that several ranks are together. Importable without torch, which only its process needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import WorkerLost
from ..model.clip import Array
from .member import Member
from .pictures import Layout

if TYPE_CHECKING:
    from ..parallel.ranks import Ranks


class DecoderRank(Member):
    """A band of every picture. It holds its part of each stream's cache."""

    async def reach(self, number: int, data: None) -> int:
        """See `Decoder.reach_latents`."""
        return await self._in_turn(number, lambda: self._decoder.reach_latents)

    async def decode(
        self, number: int, latents: Array, stream: str, is_new: bool, layout: Layout
    ) -> npt.NDArray[np.uint8] | None:
        """See `Decoder.decode`, of a stream that begins where `is_new`. The first rank has the frames.

        Raises WorkerLost on all ranks for a stream that other ranks had before these.
        """
        return await self._in_turn(number, self._decode, latents, stream, is_new, layout)

    async def forget(self, number: int, stream: str) -> None:
        """The stream has ended."""
        await self._in_turn(number, self._states.pop, stream, None)

    def _load(self, ranks: Ranks | None) -> None:
        """See `Member`."""
        from .rollout_engine import VaeDecoder

        self._states: dict[str, Any] = {}
        self._decoder = VaeDecoder(self._config.preset, self.device, ranks=ranks)

    def _warm_up(self) -> None:
        """See `Member`."""
        self._decoder.warm_up()

    def _decode(self, latents: Array, stream: str, is_new: bool, layout: Layout) -> npt.NDArray[np.uint8] | None:
        if not is_new and stream not in self._states:
            raise WorkerLost("the stream's cache has died with its ranks", hint="Follow the stream anew.")
        is_first = self._rank == 0
        before = None if is_new else self._states[stream]
        frames, self._states[stream] = self._decoder.decode(latents, before, layout=layout if is_first else Layout.RGB)
        return frames if is_first else None
