"""What a gateway measures, for each Ray node's Prometheus endpoint. No session ids: labels stay few."""

from __future__ import annotations

from ray.util.metrics import Histogram

BOUNDARIES_S = [0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0, 10.0]


class StreamMetrics:
    """Histograms over all sessions of one gateway."""

    def __init__(self, preset: str) -> None:
        self._tags = {"preset": preset}
        self._action = _histogram(
            "worldloom_action_to_frame_seconds", "From an input to the first frame that it shaped"
        )
        self._first = _histogram("worldloom_create_to_frame_seconds", "From a session's creation to its first frame")

    def action_to_frame(self, seconds: float) -> None:
        """From an event's arrival to the report that its first frame was shown."""
        self._action.observe(seconds, self._tags)

    def create_to_frame(self, seconds: float) -> None:
        """From a session's creation to the sending of its first frame."""
        self._first.observe(seconds, self._tags)


def _histogram(name: str, description: str) -> Histogram:
    return Histogram(name, description=description, boundaries=BOUNDARIES_S, tag_keys=("preset",))
