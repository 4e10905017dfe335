"""How many ranks decode: by arithmetic, from what a chunk takes on one GPU. Importable without torch.

A decoder's cache reaches back 38 latents, and a chunk has 10. So the chunks of one stream cannot be dealt out to
several decoders: each would have to see again almost four times what it shows. What one decoder cannot do in time
several do together, a band of the picture each; and several streams are dealt out whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil

from ..model.clip import NEW_FRAMES
from ..model.preset import Preset
from .times import MeasuredTimes, decoding_s

DECODER_SHARE = 0.4
"""Share of a GPU's time that decoding may take beside denoising. Taken for granted, as is the efficiency below:
processes that share a GPU take turns on it, and how much bands lose by that has not been measured."""
BAND_EFFICIENCY = 0.9
"""Share of a rank's speed that is left when several decode a picture together."""
SPARE_DECODERS = 2
"""Of one rank: when one is lost the other takes over its streams."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decoding:
    """The decoders beside one worker group."""

    ranks: int
    """That decode each picture together."""
    decoders: int
    """Each with so many ranks."""
    chunk_s: float
    """Seconds of a chunk on the ranks of one decoder, with GPUs for themselves."""
    share: float
    """Of its GPU's time that one stream at the preset's rate takes."""

    def on_each(self, gpus: int) -> int:
        """Decoders of which a rank is on the fullest of a group's GPUs."""
        return ceil(self.decoders * self.ranks / gpus)

    @property
    def holds(self) -> bool:
        """Whether a stream is decoded at the preset's rate."""
        return self.share <= DECODER_SHARE


def plan_decoding(
    preset: Preset, times: MeasuredTimes | None, *, gpus: int, sessions: int, spare: int = SPARE_DECODERS
) -> Decoding:
    """The fewest ranks that decode a stream at its rate beside denoising, or all; and decoders for all sessions: of one
    rank `spare` at least."""
    alone_s, period_s = decoding_s(preset, times), NEW_FRAMES / preset.video.frame_rate
    most = min(gpus, preset.latent_height)

    def on(ranks: int) -> Decoding:
        chunk_s = alone_s if ranks == 1 else alone_s / (ranks * BAND_EFFICIENCY)
        share = chunk_s / period_s
        wanted = max(spare if ranks == 1 else 1, ceil(sessions * share / DECODER_SHARE))
        room = spare * gpus if ranks == 1 else gpus // ranks
        return Decoding(ranks=ranks, decoders=min(wanted, room), chunk_s=chunk_s, share=share)

    found = on(1)
    for ranks in range(2, most + 1):
        if found.holds:
            break
        found = min(found, on(ranks), key=lambda one: one.share)
    return found


def decoding_reasons(decoding: Decoding, preset: Preset, *, measured: bool) -> Iterator[str]:
    """Why so, in sentences."""
    how = "measured" if measured else "estimated"
    together = "alone" if decoding.ranks == 1 else f"on {decoding.ranks} ranks, a band of the picture each"
    yield (
        f"{decoding.decoders} decoders, {together}: a chunk in {decoding.chunk_s:.2f} s ({how}), "
        f"{100 * decoding.share:.0f} % of a GPU for each stream"
    )
    if not decoding.holds:
        yield (
            f"that is more than the {100 * DECODER_SHARE:.0f} % that denoising leaves: frames will be late at "
            f"{preset.video.frame_rate:g} a second; a pruned decoder is faster"
        )
