"""A headless Chromium, driven over the DevTools protocol."""

from __future__ import annotations

import base64
import itertools
import json
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-proxy-server",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-port=0",
)
KEYS = {"KeyW": "w", "KeyA": "a", "KeyS": "s", "KeyD": "d", "ArrowLeft": "ArrowLeft", "ArrowRight": "ArrowRight"}
START_TIMEOUT_S = 30.0


def find_chromium() -> str | None:
    """Path of an installed Chromium, if there is one."""
    return next(filter(None, map(shutil.which, EXECUTABLES)), None)


class Page:
    """One tab."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._ids = itertools.count(1)
        self.problems: list[str] = []
        """Exceptions and console errors of the page so far."""
        for domain in ("Page", "Runtime", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """One DevTools command, and its result."""
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("id") == number:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result
            self._note(message)

    def open(self, url: str) -> None:
        """Navigate, and wait until the document is loaded."""
        self.call("Page.navigate", url=url)
        self.wait_for("document.readyState === 'complete'")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait_for(self, condition: str, timeout_s: float = 30.0) -> Any:
        """Wait until a JavaScript expression is true, and return its value."""
        give_up = time.monotonic() + timeout_s
        while not (value := self.evaluate(condition)):
            assert time.monotonic() < give_up, f"{condition} stayed {value!r}; problems: {self.problems}"
            time.sleep(0.05)
        return value

    def click(self, selector: str) -> None:
        """A mouse click in the middle of an element."""
        x, y = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def middle(self, selector: str) -> tuple[float, float]:
        """Where an element is on the screen."""
        quoted = json.dumps(selector)
        x, y = self.evaluate(
            f"(() => {{ const r = document.querySelector({quoted}).getBoundingClientRect();"
            " return [r.x + r.width / 2, r.y + r.height / 2]; })()"
        )
        return x, y

    def key(self, code: str, *, is_down: bool) -> None:
        """Press or release a key."""
        kind = "keyDown" if is_down else "keyUp"
        self.call("Input.dispatchKeyEvent", type=kind, code=code, key=KEYS[code])

    def touch(self, selector: str | None) -> None:
        """Put a finger on an element, or lift all fingers."""
        if selector is None:
            self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])
            return
        x, y = self.middle(selector)
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])

    def resize(self, width: int, height: int, *, is_phone: bool = False) -> None:
        """Show the page on a screen of this size in CSS pixels."""
        scale = 2 if is_phone else 1
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=is_phone
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=is_phone)

    def screenshot(self, path: Path) -> None:
        """What is seen now, as PNG."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def _note(self, message: dict[str, Any]) -> None:
        params = message.get("params", {})
        if message.get("method") == "Runtime.exceptionThrown":
            self.problems.append(params["exceptionDetails"].get("exception", {}).get("description", "exception"))
        elif message.get("method") == "Log.entryAdded" and params["entry"]["level"] == "error":
            self.problems.append(f"{params['entry']['text']} {params['entry'].get('url', '')}")


@contextmanager
def chromium_page(executable: str) -> Iterator[Page]:
    """A tab of a fresh browser, which ends with the block."""
    with tempfile.TemporaryDirectory(prefix="chromium-", ignore_cleanup_errors=True) as profile:
        command = [executable, *FLAGS, f"--user-data-dir={profile}", "about:blank"]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with connect(_page_url(Path(profile), process), max_size=None, proxy=None) as socket:
                yield Page(socket)
        finally:
            process.terminate()
            process.wait(timeout=10)


def _page_url(profile: Path, process: subprocess.Popen[bytes]) -> str:
    """The DevTools address of the first tab, once the browser is up."""
    port_file = profile / "DevToolsActivePort"
    give_up = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < give_up:
        assert process.poll() is None, f"Chromium ended with code {process.returncode}"
        if port_file.is_file() and (lines := port_file.read_text().splitlines()):
            listed = httpx.get(f"http://127.0.0.1:{lines[0]}/json/list", trust_env=False).json()
            pages = [target for target in listed if target["type"] == "page"]
            if pages:
                return str(pages[0]["webSocketDebuggerUrl"])
        time.sleep(0.05)
    raise AssertionError(f"Chromium opened no page within {START_TIMEOUT_S:g} s")
