"""A small server that speaks the endpoints of the Hugging Face hub that downloads use."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

REPO = "somebody/some-world"
COMMIT = "a" * 40
LARGE = 10_000
"""Files from this size on are listed with their SHA-256, smaller ones with git's name of their content."""


class HubServer:
    """One repository at one commit. `files` is what the listing says, `served` what really comes."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.served = dict(files)
        self.stall: tuple[str, int] | None = None
        """A file, and after how many of its bytes the connection hangs until `released`."""
        self.released = threading.Event()
        self.ranges: dict[str, list[str | None]] = {}
        """Range headers of the downloads of each file."""
        self.claimed_sizes: dict[str, int] = {}
        """Sizes that the listing gives instead of the true ones."""
        self.endpoint = ""

    def listing(self) -> list[dict[str, Any]]:
        entries = [_entry(path, content) for path, content in self.files.items()]
        return [{**entry, "size": self.claimed_sizes.get(entry["path"], entry["size"])} for entry in entries]


@contextmanager
def hub_server(files: dict[str, bytes]) -> Iterator[HubServer]:
    hub = HubServer(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(hub))
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield hub
    finally:
        hub.released.set()
        server.shutdown()
        thread.join()
        server.server_close()


def _entry(path: str, content: bytes) -> dict[str, Any]:
    blob = hashlib.sha1(f"blob {len(content)}\0".encode() + content).hexdigest()
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(content), "oid": blob}
    if len(content) >= LARGE:
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 100}
    return entry


def _handler(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_GET(self) -> None:
            path = unquote(urlsplit(self.path).path)
            if path in (f"/api/models/{REPO}/revision/main", f"/api/models/{REPO}/revision/{COMMIT}"):
                self._json({"id": REPO, "sha": COMMIT, "siblings": [{"rfilename": name} for name in hub.files]})
            elif path == f"/api/models/{REPO}/tree/{COMMIT}":
                self._json(hub.listing())
            elif (name := path.removeprefix(f"/{REPO}/resolve/{COMMIT}/")) in hub.served:
                self._file(name)
            else:
                self._not_found()

        do_HEAD = do_GET

        def _json(self, value: Any) -> None:
            body = json.dumps(value).encode()
            self._head(200, len(body), {"Content-Type": "application/json"})
            self.wfile.write(body)

        def _not_found(self) -> None:
            missing_file = self.path.startswith(f"/{REPO}/resolve/")
            self._head(404, 0, {"X-Error-Code": "EntryNotFound" if missing_file else "RepoNotFound"})

        def _file(self, name: str) -> None:
            content = hub.served[name]
            headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
            if self.command == "HEAD":
                self._head(200, len(content), headers)
                return
            requested = self.headers.get("Range")
            hub.ranges.setdefault(name, []).append(requested)
            start = int(requested.removeprefix("bytes=").rstrip("-")) if requested else 0
            if requested:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            self._head(206 if requested else 200, len(content) - start, headers)
            self._send(name, content[start:])

        def _send(self, name: str, content: bytes) -> None:
            if hub.stall is not None and hub.stall[0] == name:
                before, content = content[: hub.stall[1]], content[hub.stall[1] :]
                self.wfile.write(before)
                hub.released.wait(30)
                self.close_connection = True
                return
            self.wfile.write(content)

        def _head(self, status: int, length: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(length)}.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: tests read what they need from the hub's fields."""

    return Handler
