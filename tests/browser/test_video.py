"""How the page shows what comes: which codec, in which size, and what it does when that fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ..serve.fake_service import FakeService
from .chromium import Page
from .test_page import PIXELS, STATE, decoded, lit, start


@pytest.fixture
def old_browser(page: Page) -> Iterator[Page]:
    """A page in a browser without WebCodecs."""
    hide = "delete window.VideoDecoder"
    script = page.call("Page.addScriptToEvaluateOnNewDocument", source=hide)["identifier"]
    page.call("Page.reload")
    page.wait_for("document.getElementById('go')?.disabled === false && !window.VideoDecoder")
    yield page
    page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)


def walk(page: Page) -> None:
    start(page)
    page.key("KeyW", is_down=True)
    page.wait_for(lit("forward"))


def stand(page: Page) -> None:
    page.key("KeyW", is_down=False)
    assert page.problems == []


def test_a_browser_without_webcodecs_plays_jpeg(old_browser: Page) -> None:
    walk(old_browser)
    old_browser.wait_for(f"{decoded(1)} > 10")
    assert old_browser.evaluate(decoded(2)) == 0
    stand(old_browser)


def test_a_decoder_that_fails_is_followed_by_jpeg(page: Page, service: FakeService) -> None:
    service.faults.damage_h264 = True
    walk(page)
    page.wait_for(f"{decoded(1)} > 10 && {STATE} === 'playing'")
    assert page.evaluate(decoded(2)) == 0 and service.hellos == 2
    stand(page)


def test_the_size_of_the_video_may_change_while_it_plays(page: Page, service: FakeService) -> None:
    service.faults.fall_after = 20
    walk(page)
    page.wait_for("worldloom.shownId > 70")
    assert page.evaluate("worldloom.videoFormat.width") < 224
    assert page.evaluate("document.getElementById('canvas').width") == 224
    assert page.evaluate(decoded(2)) > 70 and service.hellos == 1
    stand(page)


def test_after_a_reconnect_no_frame_is_shown_twice(page: Page, service: FakeService) -> None:
    service.faults.drop_connection_after = 40
    start(page)
    page.evaluate("""(() => {
      const shown = worldloom.readout.shown;
      window.ids = [];
      worldloom.readout.shown = function (frame) { ids.push(frame.frame_id); shown.call(this, frame); };
    })()""")
    page.key("KeyW", is_down=True)
    page.wait_for("ids.at(-1) > 70")
    page.key("KeyW", is_down=False)
    ids = page.evaluate("ids")
    assert service.hellos == 2 and ids == list(range(ids[-1] + 1))
    # The stream began again with frames that were there before: they were decoded, and not shown.
    assert page.evaluate(decoded(2)) > len(ids)
    assert page.evaluate(PIXELS)
