"""Certificates of the service's servers."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc

from ..errors import ConfigError


@dataclass(frozen=True, kw_only=True, slots=True)
class TlsFiles:
    """PEM files."""

    certificate: Path
    """With the chain up to the authority."""
    key: Path

    def context(self) -> ssl.SSLContext:
        """For the WebSocket. Raises ConfigError when the files do not fit."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ConfigError(
                f"no TLS with {self.certificate} and {self.key}: {error}",
                hint="Give a certificate and its key as PEM files that this process can read.",
            ) from error
        return context

    def credentials(self) -> grpc.ServerCredentials:
        """For gRPC. Raises ConfigError when the files do not fit."""
        self.context()
        return grpc.ssl_server_credentials([(self.key.read_bytes(), self.certificate.read_bytes())])


def http_options(host: str, port: int, tls: TlsFiles | None) -> dict[str, str | int]:
    """Of the HTTP server that Ray Serve starts."""
    options: dict[str, str | int] = {"host": host, "port": port}
    if tls is not None:
        options |= {"ssl_certfile": str(tls.certificate), "ssl_keyfile": str(tls.key)}
    return options


def tls_files(certificate: Path | None, key: Path | None) -> TlsFiles | None:
    """Both files, or none for no encryption. Raises ConfigError when one is missing or they do not fit."""
    if certificate is None and key is None:
        return None
    if certificate is None or key is None:
        raise ConfigError("TLS needs a certificate and its key", hint="Give both, or none.")
    files = TlsFiles(certificate=certificate.resolve(), key=key.resolve())
    files.context()
    return files
