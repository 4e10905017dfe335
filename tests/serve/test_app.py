"""HTTP without Ray: every wrong request gets a typed error, and every right one what it asks for."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import replace
from typing import Any

import httpx
import jwt
import pytest
from PIL import Image
from worldloom import errors
from worldloom.cluster.limits import SERVICE_LIMITS, SessionLimits
from worldloom.cluster.messages import ClusterHealth, Phase, SessionInfo, SnapshotPlace
from worldloom.cluster.verbs import CreatedSession, FromSnapshot, NewWorld
from worldloom.errors import NotAuthorized, Overloaded, SessionUnknown, WorldloomError
from worldloom.model.preset import load_preset
from worldloom.serve.app import MAX_BODY_BYTES, build_app
from worldloom.serve.http_errors import STATUS, status_of
from worldloom.serve.samples import list_samples
from worldloom.serve.session_routes import IMPORT_PATH, Entrance

PRESET = load_preset("mock")


class FakeSessions:
    """Remembers what was asked."""

    def __init__(self) -> None:
        self.requests: list[NewWorld | FromSnapshot] = []
        self.calls: list[tuple[Any, ...]] = []
        self.open: dict[str, SessionInfo] = {}
        self.entrance = Entrance(stream_port=4321, grpc_port=4322, ticket_secret="s" * 32)
        self.groups = 1
        self.failure: Exception | None = None

    async def create(self, start: NewWorld | FromSnapshot) -> CreatedSession:
        if self.failure is not None:
            raise self.failure
        self.requests.append(start)
        return self.opened(start)

    def opened(self, start: NewWorld | FromSnapshot | None = None) -> CreatedSession:
        info = SessionInfo(
            session=f"s{len(self.open) + 1}",
            preset="mock",
            prompt=(start.prompt if start else None) or "",
            seed=start.seed if isinstance(start, NewWorld) else 1,
            viewpoint="first_person",
            phase=Phase.PLAYING,
            group="g",
            epoch=1,
            created_at=1.0,
            has_player=False,
            chunk=3,
        )
        self.open[info.session] = info
        return CreatedSession(info=info, token="secret")

    async def authorize(self, session: str, token: str) -> None:
        await self.describe(session)
        if token != "secret":
            raise NotAuthorized("another token", hint="send yours")

    async def describe(self, session: str) -> SessionInfo:
        if session not in self.open:
            raise SessionUnknown(f"there is no session {session!r}", hint="create one")
        return self.open[session]

    async def close(self, session: str) -> None:
        await self.describe(session)
        del self.open[session]

    async def take_snapshot(
        self, session: str, *, branch: int | None = None, chunk: int | None = None
    ) -> SnapshotPlace:
        self.calls.append((session, branch, chunk))
        return SnapshotPlace(snapshot="p", branch=branch or 0, chunk=chunk or 3)

    async def drop_snapshot(self, snapshot: str) -> None:
        self.calls.append((snapshot,))

    async def fork(
        self,
        session: str,
        *,
        branch: int | None = None,
        chunk: int | None = None,
        limits: SessionLimits = SERVICE_LIMITS,
    ) -> CreatedSession:
        self.calls.append((session, branch, chunk, limits))
        return self.opened()

    async def export_world(self, session: str) -> AsyncIterator[bytes]:
        if self.failure is not None:
            raise self.failure
        for part in (b"one", b"two"):
            yield part

    async def import_world(
        self, parts: AsyncIterable[bytes], *, limits: SessionLimits = SERVICE_LIMITS
    ) -> CreatedSession:
        self.calls.append((b"".join([part async for part in parts]), limits))
        return self.opened()

    async def health(self) -> ClusterHealth:
        return ClusterHealth(groups=self.groups, capacity=4, sessions=len(self.open))


OWNER = {"Authorization": "Bearer secret"}


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


def call(sessions: FakeSessions, method: str, path: str, **content: Any) -> httpx.Response:
    app = build_app(PRESET, sessions, sessions.entrance, import_bytes=MAX_BODY_BYTES + 10)

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
    first, second = sessions.requests
    assert isinstance(first, NewWorld) and isinstance(second, NewWorld)
    assert first.image.shape == (128, 224, 3) and first.seed != second.seed


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
    assert isinstance(asked, NewWorld)
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
        ({"json": {"limits": {"play_s": -1}}}, 400, "input_invalid"),
        ({"json": {"camera": {"x": 1e9}}}, 400, "input_invalid"),
        ({"json": {"camera": {"roll": 1}}}, 400, "input_invalid"),
        ({"json": {"snapshot_id": "p", "seed": 1}}, 400, "input_invalid"),
        ({"json": {"snapshot_id": "p", "sample": "garden"}}, 400, "input_invalid"),
        ({"json": {"image": "not base64!"}}, 400, "input_invalid"),
        ({"content": b"[" * 10**5, "headers": {"content-type": "application/json"}}, 400, "input_invalid"),
        ({"data": {"camera": "{"}, "files": {"image": png()}}, 400, "input_invalid"),
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


def test_camera_limits_and_an_image_come_as_json_and_in_a_form(sessions: FakeSessions) -> None:
    camera, limits = {"x": 5, "yaw_degrees": 90}, {"play_s": 60, "viewers": 2}
    image = base64.b64encode(png()).decode()
    call(sessions, "POST", "/v1/sessions", json={"image": image, "camera": camera, "limits": limits})
    fields = {"camera": json.dumps(camera), "limits": json.dumps(limits)}
    call(sessions, "POST", "/v1/sessions", files={"image": ("a.png", png())}, data=fields)
    assert len(sessions.requests) == 2
    for asked in sessions.requests:
        assert isinstance(asked, NewWorld) and (asked.image == (0, 0, 128)).all()
        assert asked.camera == (5, 0, 0, 0, 90) and asked.limits == SessionLimits(play_s=60, viewers=2)


def test_a_session_starts_from_a_snapshot_with_a_new_prompt(sessions: FakeSessions) -> None:
    reply = call(sessions, "POST", "/v1/sessions", json={"snapshot_id": "p", "prompt": "night"})
    assert reply.status_code == 201, reply.text
    assert sessions.requests == [FromSnapshot(snapshot="p", prompt="night")]


def test_sessions_are_described_and_ended_by_their_owner(sessions: FakeSessions) -> None:
    call(sessions, "POST", "/v1/sessions", json={"prompt": "here", "seed": 3})
    body = call(sessions, "GET", "/v1/sessions/s1", headers=OWNER).json()
    assert (body["session_id"], body["prompt"], body["seed"], body["state"]) == ("s1", "here", 3, "playing")
    assert body["chunk"] == 3 and "token" not in body
    assert call(sessions, "DELETE", "/v1/sessions/s1", headers=OWNER).status_code == 204
    for method in ("GET", "DELETE"):
        reply = call(sessions, method, "/v1/sessions/s1", headers=OWNER)
        assert (reply.status_code, reply.json()["error"]["code"]) == (404, "session_unknown")


VERBS = [
    ("GET", ""), ("DELETE", ""), ("POST", "/tickets"), ("POST", "/snapshots"), ("POST", "/fork"), ("GET", "/export"),
]  # fmt: skip


@pytest.mark.parametrize(("method", "path"), VERBS)
def test_every_verb_of_a_session_needs_its_token(sessions: FakeSessions, method: str, path: str) -> None:
    call(sessions, "POST", "/v1/sessions", json={})
    content: dict[str, Any] = {"json": {}} if method == "POST" else {}
    for headers in ({}, {"Authorization": "Bearer other"}, {"Authorization": "Basic secret"}):
        reply = call(sessions, method, f"/v1/sessions/s1{path}", headers=headers, **content)
        assert (reply.status_code, reply.json()["error"]["code"]) == (401, "not_authorized")
    assert sessions.calls == [] and list(sessions.open) == ["s1"]
    assert call(sessions, method, f"/v1/sessions/s1{path}", headers=OWNER, **content).is_success


def test_only_the_operator_creates_worlds_where_there_is_one(sessions: FakeSessions) -> None:
    sessions.entrance = replace(sessions.entrance, operator_key="key")
    for path in ("/v1/sessions", IMPORT_PATH):
        for headers in ({}, {"Authorization": "Bearer no"}):
            assert call(sessions, "POST", path, headers=headers).status_code == 401
        assert call(sessions, "POST", path, headers={"Authorization": "Bearer key"}).status_code == 201


def test_tickets_are_minted_for_players_and_viewers(sessions: FakeSessions) -> None:
    call(sessions, "POST", "/v1/sessions", json={})
    asked = {"role": "ROLE_VIEWER", "valid_s": 5, "origins": ["https://game"]}
    body = call(sessions, "POST", "/v1/sessions/s1/tickets", headers=OWNER, json=asked).json()
    assert (body["stream_url"], body["grpc_target"]) == ("ws://there:4321/", "there:4322")
    content = jwt.decode(body["ticket"], "s" * 32, algorithms=["HS256"])
    assert (content["sub"], content["role"], content["origins"]) == ("s1", "viewer", ["https://game"])
    for wrong in ({"role": "ROLE_KING"}, {"valid_s": -1}, {"valid_s": 10**6}, {"origin": "x"}):
        reply = call(sessions, "POST", "/v1/sessions/s1/tickets", headers=OWNER, json=wrong)
        assert (reply.status_code, reply.json()["error"]["code"]) == (400, "input_invalid")


def test_snapshots_and_forks_are_made_where_they_are_asked_for(sessions: FakeSessions) -> None:
    call(sessions, "POST", "/v1/sessions", json={})
    taken = call(sessions, "POST", "/v1/sessions/s1/snapshots", headers=OWNER, json={"branch": 1, "chunk": 2})
    assert (taken.status_code, taken.json()) == (201, {"snapshot_id": "p", "branch": 1, "chunk": 2})
    assert call(sessions, "POST", "/v1/sessions/s1/snapshots", headers=OWNER).status_code == 201
    place = {"chunk": 1, "limits": {"idle_s": 3}}
    forked = call(sessions, "POST", "/v1/sessions/s1/fork", headers=OWNER, json=place).json()
    assert (forked["session_id"], forked["token"]) == ("s2", "secret")
    assert call(sessions, "DELETE", "/v1/snapshots/p").status_code == 204
    assert sessions.calls == [
        ("s1", 1, 2), ("s1", None, None), ("s1", None, 1, SessionLimits(idle_s=3)), ("p",),
    ]  # fmt: skip
    assert call(sessions, "POST", "/v1/sessions/s1/fork", headers=OWNER, json={"chunk": -1}).status_code == 400


def test_worlds_go_out_and_come_in_as_files(sessions: FakeSessions) -> None:
    call(sessions, "POST", "/v1/sessions", json={})
    reply = call(sessions, "GET", "/v1/sessions/s1/export", headers=OWNER)
    assert reply.content == b"onetwo" and "s1.world" in reply.headers["content-disposition"]
    large = b"x" * (MAX_BODY_BYTES + 1)
    back = call(sessions, "POST", f"{IMPORT_PATH}?play_s=9", content=large)
    assert back.status_code == 201 and sessions.calls == [(large, SessionLimits(play_s=9))]
    assert call(sessions, "POST", IMPORT_PATH, content=large + b"x" * 10).status_code == 413
    assert call(sessions, "POST", f"{IMPORT_PATH}?play_s=nan", content=b"").status_code == 400


def test_an_export_that_fails_is_an_error_and_no_file(sessions: FakeSessions) -> None:
    call(sessions, "POST", "/v1/sessions", json={})
    sessions.failure = Overloaded("full", hint="later")
    reply = call(sessions, "GET", "/v1/sessions/s1/export", headers=OWNER)
    assert (reply.status_code, reply.json()["error"]["code"]) == (503, "overloaded")


def test_the_openapi_page_has_every_verb_with_its_models(sessions: FakeSessions) -> None:
    schema = call(sessions, "GET", "/openapi.json").json()
    for method, path in [*VERBS, ("POST", "/import")]:
        path = f"/v1/sessions{path}" if path == "/import" else f"/v1/sessions/{{session}}{path}"
        assert schema["paths"][path][method.lower()]["description"]
    create = schema["paths"]["/v1/sessions"]["post"]
    fields = create["requestBody"]["content"]["application/json"]["schema"]["properties"]
    assert "yaw_degrees" in json.dumps(fields["camera"]) and "$ref" not in json.dumps(fields)
    assert {"CreatedOut", "SnapshotOut", "ErrorOut"} <= schema["components"]["schemas"].keys()
    assert call(sessions, "GET", "/docs").status_code == 200


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
