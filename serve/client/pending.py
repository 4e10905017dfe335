"""Events that are not yet known to have happened."""

from __future__ import annotations

import asyncio

from .errors import WorldError
from .protocol import session_pb2 as pb


class PendingEvents:
    """Numbers events and keeps each until it is applied or refused. A reconnect sends again what is kept."""

    def __init__(self) -> None:
        self.applied: dict[int, int] = {}
        """Event id → first frame id that the event shaped."""
        self._newest_id = 0
        self._kept: dict[int, pb.Event] = {}
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._refused: dict[int, WorldError] = {}
        self._end: WorldError | None = None

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, event: pb.Event) -> int:
        """Number an event and keep it. Returns its id."""
        self._newest_id += 1
        event.event_id = self._newest_id
        self._kept[event.event_id] = event
        return event.event_id

    def welcomed(self, welcome: pb.Welcome) -> list[pb.Event]:
        """A connection stands. Returns the events to send again, in order."""
        self._newest_id = max(self._newest_id, welcome.last_event_id)
        for event_id in [known for known in self._kept if known <= welcome.applied_event_id]:
            # Its Applied was lost with the old connection, and with it the frame that it named.
            self._settle(event_id, welcome.next_frame_id)
        return list(self._kept.values())

    def applied_by(self, applied: pb.Applied) -> None:
        """A chunk has taken events."""
        for event in applied.events:
            self._settle(event.event_id, event.frame_id)

    def refused_by(self, event_id: int, error: WorldError) -> None:
        """The service does not take an event."""
        self._kept.pop(event_id, None)
        self._refused[event_id] = error
        if waiting := self._waiting.pop(event_id, None):
            waiting.set_exception(error)
            waiting.exception()

    def ended(self, error: WorldError) -> None:
        """Nothing more will be applied."""
        self._end = error
        for waiting in self._waiting.values():
            waiting.set_exception(error)
            # Nobody may be waiting any more.
            waiting.exception()
        self._waiting.clear()

    async def settled(self, event_id: int) -> int:
        """Wait for the event's end. Returns the first frame that it shaped; raises what it was refused for."""
        if event_id in self._refused:
            raise self._refused[event_id]
        if event_id in self.applied:
            return self.applied[event_id]
        if self._end is not None:
            raise self._end
        waiting = self._waiting.setdefault(event_id, asyncio.get_running_loop().create_future())
        return await asyncio.shield(waiting)

    def _settle(self, event_id: int, frame_id: int) -> None:
        self._kept.pop(event_id, None)
        # A refused event is reported as applied with the next chunk, without effect.
        if event_id in self._refused:
            return
        self.applied.setdefault(event_id, frame_id)
        if waiting := self._waiting.pop(event_id, None):
            waiting.set_result(frame_id)
