"""The page, really played in a headless Chromium."""

from __future__ import annotations

import time

import pytest
from worldloom.errors import Overloaded, WorkerLost, WorldloomError
from worldloom.serve.service import ServiceHandle

from ..serve.fake_service import FakeService
from .chromium import Page

PIXELS = """(() => {
  const canvas = document.getElementById('canvas');
  const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  return data.reduce((sum, value, index) => (sum * 31 + value * (index % 251)) % 1000003, 7);
})()"""
PACE = "Number(document.getElementById('fps').textContent) || 0"
STATE = "document.getElementById('state').textContent"


def decoded(codec: int) -> str:
    """How many frames of this codec the page has decoded: 1 is JPEG, 2 H.264."""
    return f"worldloom.decoded[{codec}]"


def lit(key: str) -> str:
    return f"""document.querySelector('[data-key="{key}"]').classList.contains('lit')"""


def start(page: Page) -> None:
    page.evaluate("document.getElementById('go').click()")
    page.wait_for("document.body.dataset.view === 'stage'")


def test_a_world_is_played_with_the_keyboard(page: Page, service: FakeService) -> None:
    page.evaluate("document.getElementById('seed').value = '11'")
    page.evaluate("document.querySelector('input[value=garden]').click()")
    start(page)
    page.key("KeyW", is_down=True)
    page.wait_for(lit("forward"))
    page.wait_for(f"{PACE} > 5")
    before = page.evaluate(PIXELS)
    page.wait_for(f"{PIXELS} !== {before}")
    page.key("KeyW", is_down=False)
    page.key("ArrowRight", is_down=True)
    page.wait_for(lit("look_right"))
    page.wait_for(f"!{lit('forward')}")
    page.key("ArrowRight", is_down=False)

    assert page.evaluate(STATE) == "playing"
    page.wait_for(f"{decoded(2)} > 10")
    assert page.evaluate(decoded(1)) == 0
    assert page.evaluate("document.getElementById('latency').textContent") != "–"
    assert "decode 150 ms" in page.evaluate("document.getElementById('stage-legend').textContent")
    assert service.sessions["s0"].start["sample"] == "garden" and service.sessions["s0"].start["seed"] == 11
    assert service.sessions["s0"].acknowledged > 0
    events = [event.event_id for event in service.controls]
    assert events == sorted(set(events)) and service.controls[0].controls.keyboard.forward
    assert page.problems == []


def test_a_service_on_ray_is_played(browser: Page, mock_service: ServiceHandle) -> None:
    browser.resize(1280, 800)
    browser.open(mock_service.url)
    browser.wait_for("!document.getElementById('go').disabled")
    browser.problems.clear()
    start(browser)
    browser.key("KeyW", is_down=True)
    browser.wait_for(lit("forward"))
    browser.wait_for(f"{PACE} > 5")
    before = browser.evaluate(PIXELS)
    browser.wait_for(f"{PIXELS} !== {before}")
    browser.key("KeyW", is_down=False)
    browser.wait_for(f"{decoded(2)} > 10")
    assert browser.evaluate(decoded(1)) == 0
    session, shown = browser.evaluate("worldloom.owner.path"), browser.evaluate("worldloom.shownId")
    browser.open(mock_service.url)
    browser.wait_for("window.worldloom?.shownId > 0")
    assert browser.evaluate("worldloom.owner.path") == session and browser.evaluate("worldloom.shownId") >= shown
    browser.wait_for(f"{PACE} > 5 && !{lit('forward')}")
    browser.click("#leave")
    assert browser.problems == []


def test_leaving_ends_the_session(page: Page, service: FakeService) -> None:
    start(page)
    page.wait_for("document.getElementById('network').textContent !== '–'")
    page.click("#leave")
    page.wait_for("document.body.dataset.view === 'start'")
    give_up = time.monotonic() + 10
    while not (service.deleted and service.byes):
        assert time.monotonic() < give_up
        time.sleep(0.02)
    assert service.deleted == ["s0"] and service.byes == ["the player left"]


def test_a_page_that_is_loaded_again_goes_on_with_its_world_and_lets_keys_go(page: Page, service: FakeService) -> None:
    start(page)
    page.key("KeyW", is_down=True)
    page.wait_for(lit("forward"))
    page.open(service.url)
    page.wait_for(f"{STATE} === 'playing' && document.getElementById('cover').classList.contains('gone')")
    page.wait_for(f"{PACE} > 5 && !{lit('forward')}")
    page.key("KeyW", is_down=False)
    assert service.hellos == 2 and len(service.sessions) == 1 and not service.deleted and not service.byes
    assert [event.controls.keyboard.forward for event in service.controls][:2] == [True, False]
    page.click("#leave")
    page.wait_for("document.body.dataset.view === 'start'")
    page.open(service.url)
    assert page.evaluate("document.body.dataset.view") == "start"


def test_a_service_that_only_its_operator_opens_asks_for_the_key(page: Page, service: FakeService) -> None:
    service.operator_key = "secret"
    problem = "document.getElementById('problem').textContent"
    page.evaluate("document.getElementById('go').click()")
    page.wait_for(f"{problem}.includes('its operator')")
    assert page.evaluate("document.activeElement.id") == "key"
    for key in ("wrong", "secret"):
        page.evaluate(f"document.getElementById('key').value = '{key}'; document.getElementById('go').click()")
        page.wait_for(f"{problem}.includes('not the operator') || document.body.dataset.view === 'stage'")
        page.wait_for("!document.getElementById('go').disabled")
    assert len(service.sessions) == 1
    page.click("#leave")
    start(page)
    assert len(service.sessions) == 2 and page.evaluate("document.getElementById('key-field').hidden")


def test_untrained_weights_are_announced(page: Page, service: FakeService) -> None:
    assert page.evaluate("document.getElementById('untrained').hidden") is False
    service.trained = True
    page.open(service.url)
    page.wait_for("!document.getElementById('go').disabled")
    assert page.evaluate("document.getElementById('untrained').hidden") is True


def test_a_broken_connection_is_mended_while_playing(page: Page, service: FakeService) -> None:
    service.faults.drop_connection_after = 70
    start(page)
    page.key("KeyD", is_down=True)
    page.wait_for(f"{STATE} === 'reconnecting'")
    page.wait_for(f"{STATE} === 'playing' && document.getElementById('cover').classList.contains('gone')")
    before = service.sessions["s0"].acknowledged
    page.wait_for(f"{PACE} > 5")
    page.key("KeyD", is_down=False)
    page.wait_for(f"!{lit('right')}")
    assert service.hellos == 2 and service.sessions["s0"].acknowledged > before
    assert [event.controls.keyboard.right for event in service.controls] == [True, False]


@pytest.mark.parametrize("kind", [WorldloomError, Overloaded])
def test_an_error_ends_play_with_its_words(page: Page, service: FakeService, kind: type[WorldloomError]) -> None:
    service.faults.fail_after = (20, kind("The world is lost.", hint="Start another one."))
    start(page)
    page.key("KeyA", is_down=True)
    page.wait_for(f"{STATE} === 'ended'")
    page.key("KeyA", is_down=False)
    assert page.evaluate("document.getElementById('cover-title').textContent") == "The world is lost."
    assert page.evaluate("document.getElementById('cover-hint').textContent") == "Start another one."
    page.click("#again")
    page.wait_for("document.body.dataset.view === 'start'")


def test_a_retryable_error_is_followed_by_another_try(page: Page, service: FakeService) -> None:
    service.faults.fail_after = (20, WorkerLost("a worker died"))
    start(page)
    page.key("KeyA", is_down=True)
    page.wait_for(f"{STATE} === 'reconnecting'")
    service.faults.fail_after = None
    page.wait_for(f"{STATE} === 'playing'")
    page.key("KeyA", is_down=False)


def test_a_refused_picture_is_explained_in_the_form(page: Page) -> None:
    page.evaluate(
        """(() => {
          const transfer = new DataTransfer();
          transfer.items.add(new File(['no picture'], 'notes.png', { type: 'image/png' }));
          const input = document.querySelector('input[type=file]');
          input.files = transfer.files;
          input.dispatchEvent(new Event('change'));
        })()"""
    )
    page.evaluate("document.getElementById('go').click()")
    page.wait_for("!document.getElementById('problem').hidden")
    assert "no image" in page.evaluate("document.getElementById('problem').textContent")
    assert page.evaluate("document.body.dataset.view") == "start"


def test_typing_a_prompt_moves_nobody(page: Page, service: FakeService) -> None:
    start(page)
    page.wait_for("document.activeElement === document.getElementById('screen')")
    page.evaluate("document.getElementById('start').hidden = false; document.getElementById('prompt').focus()")
    page.key("KeyW", is_down=True)
    page.key("KeyW", is_down=False)
    page.wait_for("document.getElementById('network').textContent !== '–'")
    assert service.controls == []


def test_dragging_turns_the_view(page: Page, service: FakeService) -> None:
    start(page)
    x, y = page.middle("#screen")
    page.evaluate("document.getElementById('screen').requestPointerLock = () => {}")
    page.evaluate("document.getElementById('cover').style.pointerEvents = 'none'")
    page.call("Input.dispatchMouseEvent", type="mousePressed", x=x, y=y, button="left", clickCount=1)
    page.call("Input.dispatchMouseEvent", type="mouseMoved", x=x + 100, y=y + 50, button="left", buttons=1)
    page.call("Input.dispatchMouseEvent", type="mouseReleased", x=x + 100, y=y + 50, button="left", clickCount=1)
    page.wait_for(f"{PACE} > 0")
    assert sum(event.controls.mouse.yaw_motion for event in service.controls) == pytest.approx(0.8, rel=1e-3)
    assert sum(event.controls.mouse.pitch_motion for event in service.controls) == pytest.approx(0.4, rel=1e-3)


@pytest.mark.parametrize(("width", "height"), [(390, 844), (844, 390)], ids=["upright", "on its side"])
def test_a_phone_plays_with_the_thumbs(page: Page, service: FakeService, width: int, height: int) -> None:
    page.resize(width, height, is_phone=True)
    start(page)
    page.touch('[data-key="left"]')
    page.wait_for(lit("left"))
    page.touch(None)
    page.wait_for(f"!{lit('left')}")
    assert [event.controls.keyboard.left for event in service.controls] == [True, False]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    inside = """[...document.querySelectorAll('[data-key], #leave, #verbs > :not(#speak), #map-frame')].every((e) => {
      const r = e.getBoundingClientRect();
      return r.left >= 0 && r.top >= 0 && r.right <= innerWidth && r.bottom <= innerHeight;
    })"""
    assert page.evaluate(inside)
