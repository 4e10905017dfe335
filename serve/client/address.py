"""Addresses of services and streams."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from urllib.parse import urlsplit

from .errors import Unreachable

_SECURE = {"http": False, "https": True, "ws": False, "wss": True, "grpc": False, "grpcs": True}


@dataclass(frozen=True, kw_only=True, slots=True)
class Address:
    """Where something listens, and how it is spoken to."""

    url: str
    """Without a slash at the end."""
    scheme: str
    """One of http, https, ws, wss, grpc and grpcs."""
    host: str
    port: int | None

    @property
    def is_secure(self) -> bool:
        """Whether TLS is spoken."""
        return _SECURE[self.scheme]

    @property
    def is_loopback(self) -> bool:
        """Whether it is this machine, which no proxy of the environment can reach."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    @property
    def target(self) -> str:
        """As gRPC names it."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port or (443 if self.is_secure else 80)}"


def parse_address(url: str, *schemes: str) -> Address:
    """Raises Unreachable unless the URL has one of these schemes, and a host."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Unreachable(url, error) from error
    if parts.scheme not in schemes or not host:
        raise Unreachable(url, f"a URL that begins with {' or '.join(f'{scheme}://' for scheme in schemes)} is needed")
    return Address(url=url.rstrip("/"), scheme=parts.scheme, host=host, port=port)
