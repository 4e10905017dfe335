"""The page of the HTTP interface, drawn in a headless Chromium by what the service itself answers."""

from __future__ import annotations

import threading
import time

import uvicorn
from worldloom.model.preset import load_preset
from worldloom.serve.app import build_app
from worldloom.serve.session_routes import Entrance

from ..serve.local_hall import FakeSessions
from .chromium import Page


def test_all_paths_and_types_are_shown_without_another_host(browser: Page) -> None:
    app = build_app(load_preset("mock"), FakeSessions(), Entrance(stream_port=1, ticket_secret="s" * 32))
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.005)
    try:
        browser.problems.clear()
        browser.open(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/docs#CreatedOut")
        browser.wait_for("document.querySelector('#CreatedOut')?.open")
        api = app.openapi()
        paths = browser.evaluate(
            "[...document.querySelectorAll('#verbs summary code')].map((code) => code.textContent)"
        )
        assert set(paths) == set(api["paths"])
        types = browser.evaluate("[...document.querySelectorAll('#types details')].map((one) => one.id)")
        assert types == list(api["components"]["schemas"])
        shown = browser.evaluate("document.body.textContent")
        assert "multipart/form-data" in shown and "stream_url" in shown and "[object" not in shown
        loaded = browser.evaluate("performance.getEntriesByType('resource').map((one) => new URL(one.name).host)")
        assert len(set(loaded)) == 1 and browser.problems == []
    finally:
        browser.open("about:blank")
        server.should_exit = server.force_exit = True
        thread.join()
