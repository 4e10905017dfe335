"""How long a session may play and wait, and who may watch it."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import InputError


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionLimits:
    """Asked for with a new session, where 0 means the service's own limit; or in force, within those."""

    play_s: float = 0.0
    """Seconds of video that may be made."""
    idle_s: float = 0.0
    """Without a player for so long, the session ends."""
    grace_s: float = 0.0
    """After a lost connection the player's place is kept so long."""
    viewers: int = 0
    """Who may watch besides the player."""

    def within(self, most: SessionLimits) -> SessionLimits:
        """What is in force where the service grants `most`. Raises InputError on what is negative or no number."""
        return SessionLimits(
            play_s=_at_most("play_s", self.play_s, most.play_s),
            idle_s=_at_most("idle_s", self.idle_s, most.idle_s),
            grace_s=_at_most("grace_s", self.grace_s, most.grace_s),
            viewers=int(_at_most("viewers", self.viewers, most.viewers)),
        )


def _at_most(name: str, asked: float, most: float) -> float:
    if not asked >= 0:
        raise InputError(f"the limit {name} is {asked}", hint="Give a number from 0, which means the service's own.")
    return min(asked, most) if asked else most


SERVICE_LIMITS = SessionLimits()
"""Nothing asked for."""
