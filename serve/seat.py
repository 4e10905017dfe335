"""One connection's place in a session, here or at another gateway: messages go in, and what is to be sent comes out."""

from __future__ import annotations

from typing import Protocol

from ..cluster.peer import Peer
from ..errors import MessageInvalid, WorldloomError
from .channel import Channel
from .fan_out import Member
from .mailbox import outgoing
from .protocol.generated import session_pb2 as pb
from .wire import bye, error_of
from .wire_events import event_of


class Seat(Protocol):
    """See `LocalSeat`."""

    async def take(self, message: pb.ClientMessage) -> None: ...

    async def outgoing(self) -> list[bytes]: ...

    async def leave(self, *, is_bye: bool) -> None: ...


class LocalSeat:
    """A seat in a channel of this process."""

    def __init__(self, channel: Channel, member: Member, *, prompt_chars: int) -> None:
        self._channel = channel
        self._member = member
        self._prompt_chars = prompt_chars

    async def take(self, message: pb.ClientMessage) -> None:
        """A message of the client. What is wrong with it is answered by an Error."""
        try:
            match message.WhichOneof("body"):
                case "event":
                    self._take_event(message.event)
                case "report":
                    self._channel.report_buffer(self._member.connection, message.report)
                case _:
                    raise MessageInvalid("a second Hello", hint="Say Hello once a connection.")
        except WorldloomError as error:
            event_id = message.event.event_id if message.HasField("event") else 0
            self._put(error_of(error, event_id=event_id))

    async def outgoing(self, *, max_bytes: int = 1) -> list[bytes]:
        """Wait for what is to be sent next, encoded; for more than one message, if they have `max_bytes` together.
        Empty: the connection is over."""
        messages = await self._member.mailbox.take(max_bytes=max_bytes)
        if not messages and self._member.mailbox.is_overrun:
            self._member.mailbox.is_overrun = False
            return [bye("nothing was read for too long", reconnect=True).SerializeToString()]
        return [message.data for message in messages]

    async def leave(self, *, is_bye: bool) -> None:
        """The connection has ended: with a Bye, or it is lost."""
        self._member.mailbox.close()
        self._channel.leave(self._member.connection, is_bye=is_bye)

    def _take_event(self, message: pb.Event) -> None:
        event = event_of(message, prompt_chars=self._prompt_chars)
        self._channel.take(self._member.connection, event)
        accepted = pb.Accepted(event_id=message.event_id, client_time_us=message.client_time_us)
        self._put(pb.ServerMessage(accepted=accepted))

    def _put(self, message: pb.ServerMessage) -> None:
        self._member.mailbox.put(outgoing(message))


class RemoteSeat:
    """A seat at the session's home, another gateway."""

    def __init__(self, home: Peer, connection: str) -> None:
        self._home = home
        self._connection = connection

    async def take(self, message: pb.ClientMessage) -> None:
        """As `LocalSeat.take`. Raises WrongGateway when the home does not know the seat, WorkerLost when it is gone."""
        await self._home.call("seat_take", self._connection, message.SerializeToString())

    async def outgoing(self) -> list[bytes]:
        """As `LocalSeat.outgoing`. Raises as `take`."""
        batch: list[bytes] | None = None
        while batch is None:
            batch = await self._home.call("seat_outgoing", self._connection)
        return batch

    async def leave(self, *, is_bye: bool) -> None:
        """As `LocalSeat.leave`."""
        await self._home.call("seat_leave", self._connection, is_bye)
