"""What several ranks cost. Importable without torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharing:
    """See EngineRecord, whose fields these are."""

    placement: str
    rank_memory_gb: tuple[float, ...]
    exposed_step_s: float | None
    decoder_ranks: int = 1
