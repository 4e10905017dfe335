"""A game, its player in a browser, and two who watch, through the whole service: `make e2e`.

The engine is the mock; all else is what a service really runs.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from urllib.parse import urlencode, urlsplit

import pytest
from worldloom.serve.service import ServiceHandle

from ..browser.chromium import Page
from .cable import Cable
from .game import Game, Viewer

PATIENCE_S = 30.0
JPEG, H264 = 1, 2
STATE = "document.getElementById('state').textContent"

COLOURS = """(() => {
  const { width, height } = document.getElementById('canvas');
  const pixels = document.getElementById('canvas').getContext('2d').getImageData(0, 0, width, height).data;
  return new Set(new Uint32Array(pixels.buffer)).size;
})()"""

# The page's own objects, listened to: which frames it shows, and which events it hears to have been applied.
LISTEN = """(() => {
  window.shownIds = [];
  window.appliedAt = [];
  const shown = worldloom.shown.bind(worldloom), applied = worldloom.stream.applied.bind(worldloom.stream);
  worldloom.shown = (frame) => { shownIds.push(frame.frame_id); shown(frame); };
  worldloom.stream.applied = (chunk) => {
    appliedAt.push(...chunk.events.map((event) => [event.event_id, event.frame_id]));
    applied(chunk);
  };
})()"""

FORWARD, FORWARD_RIGHT, LEFT, STILL = (True, False, False), (True, False, True), (False, True, False), (False,) * 3
"""Keys that frames were made with: forward, left, right."""


def lit(key: str) -> str:
    return f"""document.querySelector('[data-key="{key}"]').classList.contains('lit')"""


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until the condition holds."""
    give_up = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < give_up, what
        time.sleep(0.05)


@pytest.fixture
def game(mock_service: ServiceHandle) -> Iterator[Game]:
    with Game(f"grpc://{mock_service.grpc_target}").running() as game:
        yield game


@pytest.fixture
def cable(mock_service: ServiceHandle) -> Iterator[Cable]:
    """Between the browser and the gateway."""
    stream = urlsplit(mock_service.stream_url)
    assert stream.hostname is not None and stream.port is not None
    with Cable(stream.hostname, stream.port).running() as cable:
        yield cable


@pytest.fixture
def page(browser: Page, mock_service: ServiceHandle, game: Game, cable: Cable) -> Iterator[Page]:
    """A browser that was sent there with a player's ticket."""
    browser.resize(1280, 800)
    browser.problems.clear()
    invitation = {"ticket": game.ticket(is_player=True).ticket, "stream": f"ws://127.0.0.1:{cable.port}/"}
    browser.open(f"{mock_service.url}/?{urlencode(invitation)}")
    browser.wait_for("window.worldloom?.hasBegun")
    browser.evaluate(LISTEN)
    yield browser
    browser.open("about:blank")


def test_a_world_is_played_watched_and_survives_a_broken_connection(game: Game, page: Page, cable: Cable) -> None:
    viewers = [Viewer("h264"), Viewer("jpeg")]
    page.key("KeyW", is_down=True)
    page.wait_for(lit("forward"))
    for number, viewer in enumerate(viewers):
        game.let_watch(viewer, over_grpc=number == 0)
    until(lambda: all(len(viewer.frames) > 10 for viewer in viewers), "viewers see the world")
    session = game.describe()
    assert session.has_player and session.viewers == 2
    page.wait_for(f"worldloom.decoded[{H264}] > 30")
    assert page.evaluate(COLOURS) > 8, "the canvas is blank"

    # The connection breaks while a key is pressed, and keys change while it is broken.
    page.key("KeyD", is_down=True)
    cable.pull()
    page.wait_for(f"{STATE} === 'reconnecting'")
    page.key("KeyW", is_down=False)
    page.key("KeyD", is_down=False)
    page.key("KeyA", is_down=True)
    cable.plug()
    page.wait_for(f"{STATE} === 'playing'")
    page.wait_for(lit("left"))
    page.key("KeyA", is_down=False)
    page.wait_for(f"!{lit('left')}")
    page.wait_for("worldloom.stream.pending.size === 0")
    until(lambda: all(keys_of(viewer)[-1] == STILL for viewer in viewers), "viewers see the world stand still")

    shown = page.evaluate("shownIds")
    assert shown == list(range(shown[0], shown[0] + len(shown))), "a frame was shown twice, or not at all"
    assert cable.connections == 2
    assert page.evaluate(f"worldloom.decoded[{H264}]") >= len(shown), "frames were shown that were not decoded"
    assert page.evaluate(f"worldloom.decoded[{JPEG}]") == 0, "frames came as JPEG"
    last_event = page.evaluate("worldloom.stream.lastEventId")
    assert game.describe().last_event_id == last_event >= 6, "an input was lost"
    # What came before the connection broke may be told again, but not of other frames.
    applied = sorted({(event, frame) for event, frame in page.evaluate("appliedAt")})
    assert len({event for event, _ in applied}) == len(applied) >= 1, "an input was applied twice"
    assert [frame for _, frame in applied] == sorted(frame for _, frame in applied)
    assert page.problems == [] or all("WebSocket" in problem for problem in page.problems)

    game.close()
    page.wait_for(f"{STATE} === 'ended'")
    until(lambda: all(viewer.is_done for viewer in viewers), "the end reaches the viewers")
    for viewer in viewers:
        assert viewer.problem is None
        check_seen(viewer)


def keys_of(viewer: Viewer) -> list[tuple[bool, bool, bool]]:
    """Of each frame that the viewer has seen."""
    return [(frame.held.forward, frame.held.left, frame.held.right) for frame in viewer.frames]


def check_seen(viewer: Viewer) -> None:
    """What a viewer has seen: every frame once and whole, and the player's keys in their order."""
    ids = [frame.frame_id for frame in viewer.frames]
    assert ids == list(range(ids[0], ids[0] + len(ids))), "a viewer missed frames or saw some twice"
    assert {frame.codec for frame in viewer.frames} == {viewer.codec}
    keys = keys_of(viewer)
    changes = [held for number, held in enumerate(keys) if number == 0 or held != keys[number - 1]]
    assert changes[0] == FORWARD and changes[-1] == STILL
    # The other keys of the broken connection came up in one moment: only the last state, or its taps, count.
    taps = {(False, False, True), (False, True, True)}
    assert LEFT in changes and set(changes) <= {FORWARD, FORWARD_RIGHT, LEFT, STILL} | taps
