"""How one service is laid out on a Ray cluster. Importable without torch and Ray."""

from __future__ import annotations

from dataclasses import dataclass

from ..model.preset import Preset
from ..parallel.planner import Layout
from .limits import SessionLimits

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
    lease_s: float = 4.0
    """How long a silent group keeps its sessions."""
    beat_s: float = 0.5
    """How often a group shows that it is alive."""
    idle_s: float = 600.0
    """A world that nobody plays for so long is deleted."""
    play_s: float = 4 * 3600.0
    """A session may make at most so many seconds of video."""
    grace_s: float = 30.0
    """After a lost connection the player's place is kept so long."""
    viewers: int = 16
    """So many may watch a session besides its player."""
    snapshot_keep_s: float = 24 * 3600.0
    """A snapshot is kept for so long."""
    snapshots_per_session: int = 64
    """A session may have so many snapshots at a time."""
    import_bytes: int = 1 << 30
    """The largest file that a world is imported from."""
    queue_s: float = 60.0
    """A session that has begun waits so long for room, in the store or in a worker group, before it is ended."""
    patience_s: float = 10.0
    """How long a call waits for an actor that restarts."""
    health_check_s: float = 2.0
    """How often Serve looks after groups and decoders."""
    start_tries: int = 2
    """How often a group or decoder tries to start before the service gives up."""
    shutdown_s: float = 5.0
    """How long a stopping group or decoder may finish what it does."""
    layout: Layout | None = None
    """How each worker group holds the preset; None: on one rank."""
    decoder_ranks: int = 1
    """Of each decoder; several decode each picture together, a band of it each."""
    rank_gpus: float = 0.6
    """Share of a GPU for each rank, where the preset needs GPUs."""
    decoder_gpus: float = 0.2
    """Share of a GPU for each decoder, where the preset needs GPUs and one rank decodes."""

    @property
    def groups_app(self) -> str:
        """Serve application of the worker groups."""
        return f"{self.name}-groups"

    @property
    def decoders_app(self) -> str:
        """Serve application of the decoders."""
        return f"{self.name}-decoders"

    @property
    def limits(self) -> SessionLimits:
        """The most that a session is granted."""
        return SessionLimits(play_s=self.play_s, idle_s=self.idle_s, grace_s=self.grace_s, viewers=self.viewers)

    @property
    def uses_gpus(self) -> bool:
        """Whether ranks and decoders run on GPUs."""
        return self.preset.num_gpus > 0

    @property
    def group_ranks(self) -> int:
        """Ranks of each worker group, which share its work."""
        return 1 if self.layout is None else self.layout.gpus

    @property
    def chunks_in_flight(self) -> int:
        """Chunks of different sessions that a worker group makes at a time."""
        return 1 if self.layout is None else self.layout.in_flight

    @property
    def rank_share(self) -> float:
        """GPU of each rank of a worker group; 0 on the CPU."""
        return self.rank_gpus if self.uses_gpus else 0.0

    @property
    def decoder_share(self) -> float:
        """GPU of each rank of a decoder; 0 on the CPU. Ranks that decode together need a GPU each: so each takes all
        that a worker group's rank leaves, and no two fit beside it."""
        if not self.uses_gpus:
            return 0.0
        return self.decoder_gpus if self.decoder_ranks == 1 else round(1 - self.rank_gpus, 6)

    @property
    def device(self) -> str:
        """Torch device of ranks and decoders."""
        return "cuda" if self.uses_gpus else "cpu"
