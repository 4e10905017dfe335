"""TCP ports to listen on."""

from __future__ import annotations

import socket

from ..errors import ConfigError


def choose_port(host: str, port: int) -> int:
    """`port` itself, or a free one for 0. Raises ConfigError when it cannot be listened on."""
    with socket.socket() as probe:
        # A port that only waits for the last packets of a stopped service is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another port; 0 takes a free one."
            ) from error
        return int(probe.getsockname()[1])


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    return choose_port(host, 0)
