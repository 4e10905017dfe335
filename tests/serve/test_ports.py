"""Ports that a service has for itself."""

from __future__ import annotations

import asyncio
import errno
import socket

import pytest
from worldloom.errors import ConfigError
from worldloom.serve.ports import HeldPort, choose_port

from .test_servers import running

LOOPBACK = "127.0.0.1"


def test_a_held_port_is_nobody_elses_before_and_between_those_who_listen_on_it() -> None:
    async def scene() -> None:
        held, other = HeldPort(LOOPBACK, 0), HeldPort(LOOPBACK, 0)
        for _ in range(2):
            for port in (held, other):
                with socket.socket() as stranger, pytest.raises(OSError) as refused:
                    stranger.bind((LOOPBACK, port.number))
                assert refused.value.errno == errno.EADDRINUSE
            async with running(port=held.number, grpc_port=other.number) as servers:
                assert f":{held.number}/" in servers.url
                with pytest.raises(ConfigError, match="cannot listen"):
                    choose_port(LOOPBACK, held.number)
        for port in (held, other):
            port.release()
            assert choose_port(LOOPBACK, port.number) == port.number

    asyncio.run(scene())
