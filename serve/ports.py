"""TCP ports to listen on."""

from __future__ import annotations

import socket

from ..errors import ConfigError


class HeldPort:
    """A port that is given to nobody who asks for a free one, from now on until `release`. Servers of any process can
    listen on it by its number, again and again, as long as they set SO_REUSEADDR, which all usual ones do."""

    def __init__(self, host: str, port: int) -> None:
        """`port` itself, or a free one for 0. Raises ConfigError when it cannot be listened on."""
        self._socket = socket.socket()
        # Not in the way of those who listen, and a port that waits for the last packets of a stopped service is free.
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError as error:
            self._socket.close()
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error.strerror}", hint="Choose another port; 0 takes a free one."
            ) from error
        self.number = int(self._socket.getsockname()[1])

    def release(self) -> None:
        """The port is anybody's."""
        self._socket.close()


def choose_port(host: str, port: int) -> int:
    """`port` itself, or one that is free now for 0. Raises ConfigError when it cannot be listened on."""
    held = HeldPort(host, port)
    held.release()
    return held.number


def free_port(host: str) -> int:
    """A port that nobody listens on now."""
    return choose_port(host, 0)
