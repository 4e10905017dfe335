"""Bytes on a TCP connection that are no WebSocket, or break its rules."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import struct

CLOSE_TIMEOUT_S = 15.0
"""For the end of a connection that speaks nonsense: an HTTP server may wait that long for the rest of a request."""


def nonsense(chance: random.Random) -> bytes:
    """What no HTTP server can answer with anything but an error."""
    kinds = (
        lambda: chance.randbytes(chance.choice((1, 30, 4000))) + b"\r\n\r\n",
        lambda: b"GET / HTTP/1.1\r\nUpgrade: websocket\r\n\r\n",
        lambda: b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n",
        lambda: b"GET / HTTP/1.1\r\n" + b"A: b\r\n" * 1000 + b"\r\n",
        lambda: _handshake() + _frame(0x82, chance.randbytes(20), is_masked=False),
        lambda: _handshake() + _frame(0xF2, chance.randbytes(20)),
        lambda: _handshake() + _frame(0x83, chance.randbytes(20)),
        lambda: _handshake() + _frame(0x81, b"\xff\xfe\xfd"),
        lambda: _handshake() + _frame(0x80, b"the rest of nothing"),
        lambda: _handshake() + b"\x82\xff" + struct.pack("!Q", 2**62) + chance.randbytes(4),
        lambda: _handshake() + _frame(0x89, chance.randbytes(200)),
    )
    return chance.choice(kinds)()


async def is_ended_by(host: str, port: int, data: bytes) -> bool:
    """Send the bytes. Whether the service ends the connection."""
    reader, writer = await asyncio.open_connection(host, port)
    try:
        with contextlib.suppress(ConnectionError):
            writer.write(data)
            await writer.drain()
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                while await reader.read(65536):
                    continue
        return True
    except TimeoutError:
        return False
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def _handshake() -> bytes:
    key = base64.b64encode(b"0123456789abcdef").decode()
    return (
        "GET / HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
    ).encode()


def _frame(head: int, payload: bytes, *, is_masked: bool = True) -> bytes:
    """One WebSocket frame with first byte `head`, and a mask of zeros."""
    long = b"" if len(payload) < 126 else struct.pack("!H", len(payload))
    length = (0x80 if is_masked else 0) | (126 if long else len(payload))
    return bytes([head, length]) + long + (bytes(4) if is_masked else b"") + payload
