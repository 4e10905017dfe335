"""One session's connection, again and again: what breaks is dialled anew, and what was not applied is sent again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from .errors import ProtocolError, SessionEnded, Unreachable, WorldError, error_of
from .pending import PendingEvents
from .protocol import session_pb2 as pb
from .transport import CONNECT_TIMEOUT_S, Lost, Transport, dial

RECONNECT_WAITS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0)
SILENT_HEARTBEATS = 3
"""A service that says nothing for so many heartbeats is gone: it answers ours."""
_TRY_AGAIN = frozenset({"player_taken"})
"""Refusals that pass by themselves after a connection broke: the service may not have noticed yet."""


class Link:
    """Carries messages of one session. Hello's credential is used once; then the resume token counts."""

    def __init__(
        self,
        url: str,
        hello: pb.Hello,
        *,
        pending: PendingEvents,
        next_frame_id: Callable[[], int],
        on_welcome: Callable[[pb.Welcome], None],
    ) -> None:
        """`next_frame_id` tells which frame is missing next, when a connection begins."""
        self.url = url
        self.welcome = pb.Welcome()
        """The newest one."""
        self.reconnects = 0
        self._hello = hello
        self._pending = pending
        self._next_frame_id = next_frame_id
        self._on_welcome = on_welcome
        self._resume_token = ""
        self._transport: Transport | None = None
        self._reason: WorldError | None = None
        # Events must reach the service in the order of their ids, also while kept ones are sent again.
        self._ordering = asyncio.Lock()

    async def open(self) -> None:
        """Connect and be welcomed. Raises what the service refuses this for, or Unreachable where nobody answers."""
        try:
            await self._connect()
        except Lost as lost:
            if self._reason is None:
                raise Unreachable(self.url, lost) from lost
            await self._try_again(lost)

    async def receive(self) -> pb.ServerMessage:
        """The next message that is no end of the connection. Raises SessionEnded, or what cannot be mended."""
        while True:
            try:
                message = await self._receive()
                self._check_end(message)
            except Lost as lost:
                await self._let_go()
                await self._try_again(lost)
                self.reconnects += 1
            else:
                if not _is_complaint(message):
                    return message

    async def send(self, message: pb.ClientMessage) -> None:
        """To the service; what meets a broken connection is lost."""
        if self._transport is None:
            return
        try:
            await self._transport.send(message)
        except Lost:
            # The reader meets the same end, and mends it.
            return

    async def send_event(self, event: pb.Event) -> int:
        """Number an event, keep it and send it. Returns its id; raises WorldError when too many are kept."""
        limit = self.welcome.limits.pending_events
        if limit and len(self._pending) >= limit:
            raise WorldError(
                f"{len(self._pending)} events wait to be applied",
                hint="Send fewer, or wait with settled().",
                code="overloaded",
                is_retryable=True,
            )
        async with self._ordering:
            event_id = self._pending.add(event)
            await self.send(pb.ClientMessage(event=event))
        return event_id

    def break_off(self) -> None:
        """Break the connection, as a bad network does; `receive` mends it."""
        if self._transport is not None:
            self._transport.abort()

    async def close(self, reason: str) -> None:
        """Say Bye and disconnect."""
        await self.send(pb.ClientMessage(bye=pb.Bye(reason=reason)))
        await self._let_go()

    async def _receive(self) -> pb.ServerMessage:
        assert self._transport is not None
        silence_s = SILENT_HEARTBEATS * self.welcome.heartbeat_s or None
        try:
            async with asyncio.timeout(silence_s):
                return await self._transport.receive()
        except TimeoutError as error:
            raise Lost(f"the service has been silent for {silence_s:g} s") from error

    def _check_end(self, message: pb.ServerMessage) -> None:
        """Raises what the message ends the connection by. An error that may pass does not yet: what comes behind it,
        Bye or nothing, tells whether the session lives on."""
        if _is_complaint(message):
            self._reason = error_of(message.error)
            if not self._reason.is_retryable:
                raise self._reason
        if message.HasField("bye"):
            if not message.bye.reconnect:
                raise self._reason or SessionEnded(message.bye.reason or "the service ended the session")
            raise Lost(message.bye.reason)
        if message.HasField("status") and message.status.state == pb.SESSION_STATE_ENDED:
            raise SessionEnded("the service ended the session")

    async def _connect(self) -> None:
        """Dial, say Hello, and send again what is pending. Raises Lost, or what the service answers instead."""
        transport = await dial(self.url)
        try:
            await transport.send(pb.ClientMessage(hello=self._next_hello()))
            async with asyncio.timeout(CONNECT_TIMEOUT_S), self._ordering:
                message = await transport.receive()
                self._check_end(message)
                if _is_complaint(message):
                    raise Lost(message.error.message)
                if not message.HasField("welcome"):
                    raise ProtocolError("the service's first message is no Welcome", hint="Is it a worldloom service?")
                self._transport, self.welcome = transport, message.welcome
                self._resume_token = message.welcome.resume_token
                self._on_welcome(message.welcome)
                for event in self._pending.welcomed(message.welcome):
                    await transport.send(pb.ClientMessage(event=event))
        except BaseException as error:
            self._transport = None
            await transport.close()
            if isinstance(error, TimeoutError):
                raise Lost("no Welcome came") from error
            raise
        self._reason = None

    def _next_hello(self) -> pb.Hello:
        hello = pb.Hello(next_frame_id=self._next_frame_id())
        hello.MergeFrom(self._hello)
        if self._resume_token:
            hello.resume_token = self._resume_token
        return hello

    async def _try_again(self, lost: Lost) -> None:
        """Connect again, with longer and longer waits. Raises the last reason when that does not help."""
        for wait_s in RECONNECT_WAITS_S:
            await asyncio.sleep(wait_s)
            try:
                await self._connect()
            except Lost as again:
                lost = again
            except WorldError as error:
                self._reason = error
                if not self._may_try_again(error):
                    raise
            else:
                return
        raise self._reason or Unreachable(self.url, lost)

    def _may_try_again(self, error: WorldError) -> bool:
        if error.code == "not_authorized" and self._resume_token and self._hello.token:
            # The place is not kept any more, but the session's own token still opens it.
            self._resume_token = ""
            return True
        return error.is_retryable or error.code in _TRY_AGAIN

    async def _let_go(self) -> None:
        transport, self._transport = self._transport, None
        if transport is not None:
            await transport.close()


def _is_complaint(message: pb.ServerMessage) -> bool:
    """Whether this is an error of the connection or the session, not of an event."""
    return message.HasField("error") and not message.error.event_id
