"""Where clients find a gateway."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Addresses:
    """A gateway's servers, as clients name them."""

    host: str
    port: int
    """Of the WebSocket."""
    grpc_port: int
    is_secure: bool = False
    """Whether both speak TLS."""

    @property
    def stream_url(self) -> str:
        """Of the WebSocket."""
        return f"{'wss' if self.is_secure else 'ws'}://{_bracketed(self.host)}:{self.port}/"

    @property
    def grpc_target(self) -> str:
        """Host and port of gRPC."""
        return f"{_bracketed(self.host)}:{self.grpc_port}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host and not host.startswith("[") else host
