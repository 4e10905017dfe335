"""HTTP without Ray: every wrong request gets a typed error, and every right one what it asks for."""

from __future__ import annotations

import asyncio
import io
from typing import Any

import httpx
import pytest
from PIL import Image
from worldloom import errors
from worldloom.cluster.messages import ClusterHealth, Phase, SessionInfo
from worldloom.errors import Overloaded, SessionUnknown, WorldloomError
from worldloom.model.preset import load_preset
from worldloom.serve.app import MAX_BODY_BYTES, build_app
from worldloom.serve.http_errors import STATUS, status_of
from worldloom.serve.samples import list_samples
from worldloom.serve.session_requests import SessionRequest
from worldloom.serve.sessions import CreatedSession

PRESET = load_preset("mock")


class FakeSessions:
    """Remembers what was asked."""

    def __init__(self) -> None:
        self.requests: list[SessionRequest] = []
        self.open: dict[str, SessionInfo] = {}
        self.groups = 1
        self.failure: Exception | None = None

    async def create(self, request: SessionRequest) -> CreatedSession:
        if self.failure is not None:
            raise self.failure
        self.requests.append(request)
        info = SessionInfo(
            session=f"s{len(self.requests)}",
            preset="mock",
            prompt=request.prompt,
            seed=request.seed,
            viewpoint=request.viewpoint,
            phase=Phase.PLAYING,
            group="g",
            epoch=1,
            created_at=1.0,
            has_player=False,
        )
        self.open[info.session] = info
        return CreatedSession(info=info, token="secret")

    async def describe(self, session: str) -> SessionInfo:
        if session not in self.open:
            raise SessionUnknown(f"there is no session {session!r}", hint="create one")
        return self.open[session]

    async def end(self, session: str) -> None:
        await self.describe(session)
        del self.open[session]

    async def health(self) -> ClusterHealth:
        return ClusterHealth(groups=self.groups, capacity=4, sessions=len(self.open))


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


def call(sessions: FakeSessions, method: str, path: str, **content: Any) -> httpx.Response:
    app = build_app(PRESET, sessions, stream_port=4321)

    async def send() -> httpx.Response:
        transport = httpx.ASGITransport(app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://there:99") as client:
            return await client.request(method, path, **content)

    return asyncio.run(send())


def png(size: tuple[int, int] = (60, 40)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "navy").save(file, "PNG")
    return file.getvalue()


def test_a_session_from_nothing_takes_the_first_sample_and_a_random_seed(sessions: FakeSessions) -> None:
    replies = [call(sessions, "POST", "/v1/sessions"), call(sessions, "POST", "/v1/sessions", json={})]
    assert [reply.status_code for reply in replies] == [201, 201]
    body = replies[0].json()
    assert body["stream_url"] == "ws://there:4321/" and body["token"] == "secret"
    assert (body["width"], body["height"], body["frame_rate"], body["trained"]) == (224, 128, 16, False)
    assert body["prompt"] == list_samples()[0].prompt
    assert sessions.requests[0].image.shape == (128, 224, 3)
    assert sessions.requests[0].seed != sessions.requests[1].seed


def test_an_upload_with_fields_is_taken_as_asked(sessions: FakeSessions) -> None:
    reply = call(
        sessions,
        "POST",
        "/v1/sessions",
        files={"image": ("a.png", png())},
        data={"seed": "12", "viewpoint": "third_person"},
    )
    assert reply.status_code == 201, reply.text
    (asked,) = sessions.requests
    assert (asked.seed, asked.viewpoint, asked.prompt) == (12, "third_person", "")
    assert (asked.image == (0, 0, 128)).all()


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        ({"content": b"{", "headers": {"content-type": "application/json"}}, 400, "input_invalid"),
        ({"content": b"[1]", "headers": {"content-type": "application/json"}}, 400, "input_invalid"),
        ({"content": b"\xff\xfe", "headers": {"content-type": "application/json"}}, 400, "input_invalid"),
        ({"content": b"x", "headers": {"content-type": "text/plain"}}, 400, "input_invalid"),
        ({"content": b"x", "headers": {"content-type": "multipart/form-data; boundary=b"}}, 400, "input_invalid"),
        ({"json": {"seed": -1}}, 400, "input_invalid"),
        ({"json": {"seed": 2**63}}, 400, "input_invalid"),
        ({"json": {"seeds": 1}}, 400, "input_invalid"),
        ({"json": {"viewpoint": "above"}}, 400, "input_invalid"),
        ({"json": {"sample": "nowhere"}}, 400, "input_invalid"),
        ({"json": {"preset": "mg3-28b"}}, 404, "preset_unknown"),
        ({"json": {"prompt": "x" * 2001}}, 400, "prompt_too_long"),
        ({"data": {"image": "text"}, "files": {"other": b"1"}}, 400, "input_invalid"),
        ({"data": {"sample": "x"}, "files": {"image": png()}}, 400, "input_invalid"),
        ({"files": {"image": b"GIF89a"}}, 415, "not_an_image"),
        ({"files": {"image": png((9000, 9000))}}, 413, "image_too_large"),
        ({"content": b"x" * (MAX_BODY_BYTES + 1)}, 413, "request_too_large"),
    ],
)
def test_wrong_requests_get_typed_errors(
    sessions: FakeSessions, content: dict[str, Any], status: int, code: str
) -> None:
    reply = call(sessions, "POST", "/v1/sessions", **content)
    error = reply.json()["error"]
    assert (reply.status_code, error["code"]) == (status, code), reply.text
    assert set(error) == {"code", "message", "hint", "retryable", "world_lost"} and error["hint"]
    assert not sessions.requests


def test_a_body_that_lies_about_its_length_is_still_bounded(sessions: FakeSessions) -> None:
    async def endless() -> Any:
        for _ in range(MAX_BODY_BYTES // (1 << 20) + 2):
            yield b"x" * (1 << 20)

    reply = call(sessions, "POST", "/v1/sessions", content=endless())
    assert (reply.status_code, reply.json()["error"]["code"]) == (413, "request_too_large")


def test_a_full_service_says_when_to_try_again(sessions: FakeSessions) -> None:
    sessions.failure = Overloaded("full", hint="later")
    reply = call(sessions, "POST", "/v1/sessions", json={})
    assert reply.status_code == 503 and int(reply.headers["retry-after"]) > 0
    assert reply.json()["error"]["retryable"]


def test_a_fault_of_ours_shows_nothing_of_its_cause(sessions: FakeSessions) -> None:
    sessions.failure = RuntimeError("secret detail")
    reply = call(sessions, "POST", "/v1/sessions", json={})
    assert reply.status_code == 500 and reply.json()["error"]["code"] == "internal"
    assert "secret detail" not in reply.text and "Traceback" not in reply.text


def test_sessions_are_described_and_ended(sessions: FakeSessions) -> None:
    call(sessions, "POST", "/v1/sessions", json={"prompt": "here", "seed": 3})
    body = call(sessions, "GET", "/v1/sessions/s1").json()
    assert (body["session_id"], body["prompt"], body["seed"], body["state"]) == ("s1", "here", 3, "playing")
    assert "token" not in body
    assert call(sessions, "DELETE", "/v1/sessions/s1").status_code == 204
    for method in ("GET", "DELETE"):
        reply = call(sessions, method, "/v1/sessions/s1")
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "session_unknown")


def test_unknown_paths_and_methods_get_the_same_form_of_error(sessions: FakeSessions) -> None:
    assert call(sessions, "GET", "/v1/nothing").json()["error"]["code"] == "input_invalid"
    assert call(sessions, "PUT", "/v1/sessions").status_code == 405


def test_health_says_warming_until_a_group_is_there(sessions: FakeSessions) -> None:
    sessions.groups = 0
    reply = call(sessions, "GET", "/healthz")
    assert (reply.status_code, reply.json()["status"]) == (503, "warming")
    sessions.groups = 1
    reply = call(sessions, "GET", "/healthz")
    assert (reply.status_code, reply.json()["status"]) == (200, "ready")


def test_samples_come_with_prompts_and_pictures(sessions: FakeSessions) -> None:
    samples = call(sessions, "GET", "/v1/samples").json()["samples"]
    assert [sample["name"] for sample in samples] == [sample.name for sample in list_samples()]
    picture = call(sessions, "GET", samples[0]["image_url"])
    assert Image.open(io.BytesIO(picture.content)).get_format_mimetype() == picture.headers["content-type"]


def test_the_preset_is_described(sessions: FakeSessions) -> None:
    (described,) = call(sessions, "GET", "/v1/presets").json()["presets"]
    assert (described["preset"], described["num_steps"], described["frames_per_chunk"]) == ("mock", 3, 40)


def every(kind: type[WorldloomError] = WorldloomError) -> list[type[WorldloomError]]:
    return [kind, *(found for child in kind.__subclasses__() for found in every(child))]


def test_every_error_has_a_status_and_only_listed_ones_are_listed() -> None:
    assert all(400 <= status_of(kind) < 600 for kind in every())
    assert {status_of(kind) for kind in every(errors.InputError)} <= {400, 413, 415}
    assert set(STATUS) <= set(every())
