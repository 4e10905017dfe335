"""How one service is laid out on a Ray cluster. Importable without torch and Ray."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.preset import Preset

STORE = "store"
DIRECTORY = "directory"
GATEWAY = "gateway"


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusterConfig:
    """One preset's groups and decoders, and the limits of what they admit."""

    preset: Preset
    name: str = "worldloom"
    """Ray namespace of the service's actors, and prefix of its Serve applications."""
    groups: int = 1
    decoders: int = 2
    sessions_per_group: int = 4
    streams_per_decoder: int = 8
    store_bytes: int = 4 << 30
    """What the memory store may hold: a minute of world at 720p takes 0.2 GB."""
    piece_latents: int = 2
    """Latents that a decoder turns into frames at a time: fewer let a chunk's first frames leave earlier."""
    jpeg_quality: int = 85
    lease_s: float = 4.0
    """How long a silent group keeps its sessions."""
    beat_s: float = 0.5
    """How often a group shows that it is alive."""
    idle_s: float = 600.0
    """A world that nobody plays for so long is deleted."""
    patience_s: float = 10.0
    """How long a call waits for an actor that restarts."""
    health_check_s: float = 2.0
    """How often Serve looks after groups and decoders."""
    start_tries: int = 2
    """How often a group or decoder tries to start before the service gives up."""
    shutdown_s: float = 5.0
    """How long a stopping group or decoder may finish what it does."""
    rank_gpus: float = 0.6
    """Share of a GPU for each rank, where the preset needs GPUs."""
    decoder_gpus: float = 0.2
    """Share of a GPU for each decoder, where the preset needs GPUs."""

    @property
    def groups_app(self) -> str:
        """Serve application of the worker groups."""
        return f"{self.name}-groups"

    @property
    def decoders_app(self) -> str:
        """Serve application of the decoders."""
        return f"{self.name}-decoders"

    @property
    def uses_gpus(self) -> bool:
        """Whether ranks and decoders run on GPUs."""
        return self.preset.num_gpus > 0

    @property
    def device(self) -> str:
        """Torch device of ranks and decoders."""
        return "cuda" if self.uses_gpus else "cpu"
