"""What can be done on the page besides walking."""

from __future__ import annotations

import json
from urllib.parse import parse_qs, urlsplit

from ..serve.fake_service import FakeService
from .chromium import Page
from .test_page import STATE, lit, start

LINK = "document.getElementById('handout-link').value"
TITLE = "document.getElementById('handout-title').textContent"


def begin(page: Page) -> None:
    start(page)
    page.key("KeyW", is_down=True)
    page.wait_for(lit("forward"))
    page.key("KeyW", is_down=False)


def actions(service: FakeService, kind: str) -> list[int]:
    """Ids of the events of this kind that arrived."""
    return [event.event_id for event in service.controls if event.controls.HasField(kind)]


def test_a_prompt_is_said_while_playing(page: Page, service: FakeService) -> None:
    begin(page)
    page.evaluate("document.getElementById('words').value = 'it snows'")
    page.evaluate("document.getElementById('say').requestSubmit()")
    page.wait_for("document.getElementById('said').textContent === 'the world has heard it'")
    (said,) = [event for event in service.controls if event.controls.HasField("prompt")]
    assert said.controls.prompt.text == "it snows" and not said.controls.HasField("keyboard")


def test_a_world_is_stopped_and_goes_back_to_an_earlier_place(page: Page, service: FakeService) -> None:
    begin(page)
    page.wait_for("document.querySelectorAll('#film button').length > 1")
    page.click("#pause")
    page.wait_for(f"{STATE} === 'paused'")
    frames = service.sessions["s0"].frame_id
    page.wait_for(f"worldloom.shownId === {frames - 1}")
    x, y = page.middle("#screen")
    page.click("#rewind")
    assert page.middle("#screen") == (x, y), "the strip lies over the picture"
    page.evaluate("""document.querySelector('#film [data-chunk="1"]').click()""")
    page.wait_for(f"worldloom.shownId > {frames} && {STATE} === 'playing'")
    assert service.sessions["s0"].branch == 1 and service.sessions["s0"].chunk >= 1
    assert page.evaluate("worldloom.map.old.length") == 1
    assert page.problems == []


def test_a_world_is_kept_forked_and_shared_by_links(page: Page, service: FakeService) -> None:
    begin(page)
    links = {}
    for button, title in (("snapshot", "Kept"), ("fork", "Forked"), ("share", "Watch with me")):
        page.click(f"#{button}")
        page.wait_for(f"{TITLE} === '{title}' && !document.getElementById('handout').hidden")
        links[button] = urlsplit(page.evaluate(LINK))
        page.click("#handout-close")
    assert [verb for verb, _ in service.asked] == ["snapshots", "fork", "tickets"]
    assert service.asked[2][1] == {"role": "ROLE_VIEWER", "valid_s": 3600}
    assert parse_qs(links["snapshot"].query) == {"snapshot": ["snapshot-of-s0"]}
    assert parse_qs(links["fork"].fragment)["token"] == ["token-s1"] and not links["fork"].query
    assert parse_qs(links["share"].query)["ticket"] == ["ticket-s0"] and not links["share"].fragment

    # The kept place is among the start images, and a world starts from it.
    page.click("#leave")
    page.evaluate("""document.querySelector('input[value="snapshot snapsh"]').click()""")
    start(page)
    page.wait_for("worldloom.hasBegun")
    started = service.sessions["s2"].start
    assert started["snapshot_id"] == "snapshot-of-s0" and "seed" not in started
    page.evaluate("localStorage.clear()")


def test_a_fork_is_opened_by_its_link(page: Page, service: FakeService) -> None:
    begin(page)
    page.click("#fork")
    page.wait_for(f"{TITLE} === 'Forked'")
    link = page.evaluate(LINK)
    page.open("about:blank")
    page.open(link)
    page.wait_for("document.body.dataset.view === 'stage' && worldloom.hasBegun")
    page.key("KeyA", is_down=True)
    page.wait_for(lit("left"))
    page.key("KeyA", is_down=False)
    assert "token" not in page.evaluate("location.href")
    assert page.evaluate("document.body.dataset.owner") == "yes"


def test_a_ticket_lets_somebody_watch_and_no_more(page: Page, service: FakeService) -> None:
    begin(page)
    page.click("#share")
    page.wait_for(f"{TITLE} === 'Watch with me'")
    link = page.evaluate(LINK)
    page.open("about:blank")
    before = len(service.controls)
    page.open(link)
    page.wait_for("document.body.dataset.role === 'viewer' && worldloom.shownId > 5")
    page.key("KeyW", is_down=True)
    page.key("KeyW", is_down=False)
    hidden = "['tools', 'pads'].every((id) => getComputedStyle(document.getElementById(id)).display === 'none')"
    assert page.evaluate(hidden) and "ticket" not in page.evaluate("location.href")
    deleted = list(service.deleted)
    page.click("#leave")
    page.wait_for("document.body.dataset.view === 'start'")
    assert len(service.controls) == before and service.deleted == deleted and page.problems == []


def test_waiting_is_explained(page: Page, service: FakeService) -> None:
    service.is_warming, service.queue_position = True, 3
    page.open(service.url)
    page.wait_for("document.getElementById('go').textContent === 'Warming up …'")
    assert page.evaluate("document.getElementById('go').disabled")
    service.is_warming = False
    page.wait_for("!document.getElementById('go').disabled")
    start(page)
    page.wait_for(f"{STATE} === 'queued #3'")
    assert page.evaluate("document.getElementById('cover-hint').textContent") == "Number 3 in the queue"
    page.problems.clear()


def test_the_map_shows_the_way_and_what_was_remembered(page: Page) -> None:
    begin(page)
    page.wait_for("document.getElementById('map-legend').textContent === '4 remembered'")
    drawn = """(() => {
      const map = document.getElementById('map');
      return map.getContext('2d').getImageData(0, 0, map.width, map.height).data.some((value) => value > 0);
    })()"""
    assert page.evaluate(drawn)
    assert page.evaluate("worldloom.map.path.length") > 1
    assert page.evaluate("worldloom.readout.graph.chunks.length") > 1


def test_a_gamepad_walks_and_looks(page: Page, service: FakeService) -> None:
    start(page)
    pad = {"mapping": "standard", "axes": [0, -1, 0.5, 0], "buttons": [{"pressed": False}] * 17}
    page.evaluate(f"navigator.getGamepads = () => [{json.dumps(pad)}]")
    page.wait_for(lit("forward"))
    page.wait_for(lit("look_right"))
    page.evaluate("navigator.getGamepads = () => [{mapping: 'standard', axes: [0, 0, 0, 0], buttons: []}]")
    page.wait_for(f"!{lit('forward')}")
    held = [(event.controls.keyboard.forward, round(event.controls.mouse.yaw, 3)) for event in service.controls]
    assert held[-1] == (False, 0.0) and (True, 0.035) in held
