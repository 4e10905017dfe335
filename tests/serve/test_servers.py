"""WebSocket and gRPC on loopback, without Ray: the same conversation over both, and the Worlds service's calls."""

from __future__ import annotations

import asyncio
import datetime
import ipaddress
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from ray.serve.config import HTTPOptions
from websockets.asyncio.client import connect
from worldloom.cluster.verbs import FromSnapshot, NewWorld
from worldloom.errors import ConfigError, Overloaded, WorldloomError
from worldloom.serve.addresses import Addresses
from worldloom.serve.conversation import ConversationConfig, Reception
from worldloom.serve.grpc_errors import DETAILS_KEY, code_of
from worldloom.serve.grpc_server import SERVICE, GrpcLimits, GrpcServer
from worldloom.serve.grpc_worlds import Worlds, WorldsConfig
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.protocol.generated import worlds_pb2, worlds_pb2_grpc
from worldloom.serve.tls import TlsFiles, http_options
from worldloom.serve.websocket_server import Listen, serve_websocket
from worldloom.serve.wire import PROTOCOL_VERSION

from .channel_scene import pieces
from .local_hall import PRESET, TOKEN, FakeSessions, LocalHall

HELLO = pb.ClientMessage(hello=pb.Hello(protocol_version=PROTOCOL_VERSION, token=TOKEN))
OWNER = (("authorization", f"Bearer {TOKEN}"),)
ADDRESSES = Addresses(host="game.example", port=1, grpc_port=2)


@dataclass
class Servers:
    """Both servers of one hall, and a channel to the gRPC one."""

    here: LocalHall
    sessions: FakeSessions
    url: str
    channel: grpc.aio.Channel

    @property
    def worlds(self) -> Any:
        return worlds_pb2_grpc.WorldsStub(self.channel)  # type: ignore[no-untyped-call]


@asynccontextmanager
async def running(
    *, operator_key: str = "", tls: TlsFiles | None = None, port: int = 0, grpc_port: int = 0
) -> AsyncIterator[Servers]:
    here, sessions = LocalHall(), FakeSessions()
    reception = Reception(here.hall, ConversationConfig())
    config = WorldsConfig(preset=PRESET, addresses=ADDRESSES, operator_key=operator_key)
    limits = GrpcLimits(max_message_bytes=1000, max_request_bytes=100_000)
    grpc_server = GrpcServer(reception, Worlds(sessions, here.tickets, config), limits)
    listen = Listen(
        host="127.0.0.1", port=port, max_message_bytes=1000, heartbeat_s=10, tls=None if tls is None else tls.context()
    )
    websocket = await serve_websocket(reception, listen)
    grpc_port = await grpc_server.start("127.0.0.1", grpc_port, tls=tls)
    scheme = "ws" if tls is None else "wss"
    url = f"{scheme}://127.0.0.1:{next(iter(websocket.sockets)).getsockname()[1]}/"
    if tls is None:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{grpc_port}")
    else:
        channel = grpc.aio.secure_channel(
            f"127.0.0.1:{grpc_port}", grpc.ssl_channel_credentials(tls.certificate.read_bytes())
        )
    try:
        yield Servers(here, sessions, url, channel)
    finally:
        await channel.close()
        here.hall.close(reconnect=True)
        websocket.close()
        await grpc_server.stop()


def serve(scene: Callable[[Servers], Coroutine[Any, Any, None]], **config: Any) -> None:
    async def run() -> None:
        async with asyncio.timeout(20), running(**config) as servers:
            await scene(servers)

    asyncio.run(run())


async def frames_of(servers: Servers, receive: Callable[[], Coroutine[Any, Any, pb.ServerMessage]]) -> list[bytes]:
    """Frames 0 to 2, pushed once the stream has begun."""
    while (await receive()).WhichOneof("body") != "welcome":
        continue
    channel = servers.here.hall.channel("s")
    rung = channel.fan_out.members[0].watching.wanted
    one = pieces(0, 1, 2)[0]
    channel.push(channel.begin_stream(1).stream, (type(one)(rung=rung, packets=one.packets),))
    frames: list[bytes] = []
    while len(frames) < 3:
        message = await receive()
        if message.HasField("frame"):
            frames.append(message.SerializeToString())
    return frames


def test_the_same_messages_come_over_websocket_and_grpc() -> None:
    async def over_websocket() -> list[bytes]:
        async with running() as servers, connect(servers.url) as socket:
            await socket.send(HELLO.SerializeToString())

            async def receive() -> pb.ServerMessage:
                data = await socket.recv()
                assert isinstance(data, bytes)
                return pb.ServerMessage.FromString(data)

            return await frames_of(servers, receive)

    async def over_grpc() -> list[bytes]:
        async with running() as servers:
            call = servers.worlds.Play()
            await call.write(HELLO)
            return await frames_of(servers, call.read)

    one, other = asyncio.run(over_websocket()), asyncio.run(over_grpc())
    assert one == other and len(one) == 3


def test_a_call_that_is_cancelled_leaves_a_seat_that_can_be_resumed() -> None:
    async def scene(it: Servers) -> None:
        call = it.worlds.Play()
        await call.write(HELLO)
        welcome = (await call.read()).welcome
        call.cancel()
        while it.here.neighbours.present:
            await asyncio.sleep(0.005)
        call = it.worlds.Play()
        hello = pb.Hello(protocol_version=PROTOCOL_VERSION, resume_token=welcome.resume_token)
        await call.write(pb.ClientMessage(hello=hello))
        assert (await call.read()).welcome.role == pb.ROLE_PLAYER
        await call.write(pb.ClientMessage(bye=pb.Bye()))
        while await call.read() is not grpc.aio.EOF:
            continue
        assert await call.code() is grpc.StatusCode.OK

    serve(scene)


def test_messages_that_are_too_large_end_the_connection_and_no_other() -> None:
    async def scene(it: Servers) -> None:
        large = pb.ClientMessage(hello=pb.Hello(protocol_version=PROTOCOL_VERSION, token="x" * 2000))
        call = it.worlds.Play()
        await call.write(large)
        assert (await call.read()).error.code == "request_too_large"
        async with connect(it.url) as socket:
            await socket.send(large.SerializeToString())
            await socket.wait_closed()
            assert socket.close_code == 1009
        await it.worlds.Create(worlds_pb2.CreateRequest())

    serve(scene)


def test_health_and_reflection_answer() -> None:
    async def scene(it: Servers) -> None:
        health: Any = health_pb2_grpc.HealthStub(it.channel)
        for name in ("", SERVICE):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == health_pb2.HealthCheckResponse.SERVING
        channel: Any = it.channel
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")
        answers = [one async for one in reflection.ServerReflectionInfo(iter([asked]))]
        assert SERVICE in {service.name for service in answers[0].list_services_response.service}

    serve(scene)


def test_a_back_end_creates_lends_copies_and_closes_a_world() -> None:
    async def scene(it: Servers) -> None:
        create = worlds_pb2.CreateRequest(
            prompt="a hill", seed=2**62, viewpoint=worlds_pb2.VIEWPOINT_THIRD_PERSON, limits={"viewers": 3}
        )
        created = await it.worlds.Create(create)
        assert (created.session.session_id, created.token) == ("s", TOKEN)
        assert (created.stream_url, created.grpc_target) == ("ws://game.example:1/", "game.example:2")
        (start,) = it.sessions.asked
        assert isinstance(start, NewWorld) and (start.prompt, start.seed) == ("a hill", 2**62)
        assert start.viewpoint == "third_person" and start.limits.viewers == 3
        await it.worlds.Create(worlds_pb2.CreateRequest(snapshot_id="shot"))
        assert it.sessions.asked[-1] == FromSnapshot(snapshot="shot")

        session = worlds_pb2.SessionRef(session_id="s")
        described = await it.worlds.Describe(session, metadata=OWNER)
        assert (described.session_id, described.width, described.state) == ("s", 224, pb.SESSION_STATE_PLAYING)
        ask = worlds_pb2.TicketRequest(session_id="s", role=pb.ROLE_VIEWER)
        ticket = await it.worlds.MintTicket(ask, metadata=OWNER)
        call = it.worlds.Play()
        await call.write(pb.ClientMessage(hello=pb.Hello(protocol_version=PROTOCOL_VERSION, ticket=ticket.ticket)))
        assert (await call.read()).welcome.role == pb.ROLE_VIEWER

        shot = await it.worlds.TakeSnapshot(worlds_pb2.SnapshotRequest(session_id="s", chunk=0), metadata=OWNER)
        assert (shot.snapshot_id, shot.chunk) == ("shot", 0) and it.sessions.asked[-1] == (None, 0)
        fork = await it.worlds.Fork(worlds_pb2.ForkRequest(session_id="s", branch=1), metadata=OWNER)
        assert fork.session.session_id == "fork" and it.sessions.asked[-1][:2] == (1, None)
        parts = [part.data async for part in it.worlds.Export(session, metadata=OWNER)]
        await it.worlds.Import(iter([worlds_pb2.FilePart(data=part) for part in parts]))
        assert it.sessions.asked[-1] == b"onetwo"
        await it.worlds.Close(session, metadata=OWNER)
        assert await refusal(it.worlds.Describe(session, metadata=OWNER)) == ("NOT_FOUND", "session_unknown")

    serve(scene)


@pytest.mark.parametrize("verb", ["Describe", "Close", "MintTicket", "TakeSnapshot", "Fork", "Export"])
def test_nobody_but_the_owner_may(verb: str) -> None:
    kinds = {
        "MintTicket": worlds_pb2.TicketRequest,
        "TakeSnapshot": worlds_pb2.SnapshotRequest,
        "Fork": worlds_pb2.ForkRequest,
    }

    async def scene(it: Servers) -> None:
        await it.worlds.Create(worlds_pb2.CreateRequest())
        request = kinds.get(verb, worlds_pb2.SessionRef)(session_id="s")
        for metadata in (None, (("authorization", "Bearer guess"),)):
            call = getattr(it.worlds, verb)(request, metadata=metadata)
            answer = call.read() if verb == "Export" else call
            assert await refusal(answer) == ("UNAUTHENTICATED", "not_authorized")
        assert it.sessions.info is not None

    serve(scene)


def test_worlds_are_made_by_the_operator_where_there_is_one() -> None:
    async def scene(it: Servers) -> None:
        for call in (
            it.worlds.Create(worlds_pb2.CreateRequest(), metadata=OWNER),
            it.worlds.Import(iter([worlds_pb2.FilePart()]), metadata=OWNER),
        ):
            assert await refusal(call) == ("UNAUTHENTICATED", "not_authorized")
        await it.worlds.Create(worlds_pb2.CreateRequest(), metadata=(("authorization", "Bearer key"),))

    serve(scene, operator_key="key")


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        ({"preset": "other"}, "preset_unknown"),
        ({"prompt": "x" * 3000}, "prompt_too_long"),
        ({"seed": 2**63}, "input_invalid"),
        ({"image": b"no image"}, "not_an_image"),
        ({"viewpoint": 7}, "input_invalid"),
        ({"camera": {"x": float("nan")}}, "input_invalid"),
        ({"limits": {"play_s": -1}}, "input_invalid"),
        ({"sample": "nowhere"}, "input_invalid"),
    ],
)
def test_a_wrong_request_is_refused_with_the_error_in_its_details(request_: dict[str, Any], code: str) -> None:
    async def scene(it: Servers) -> None:
        status, found = await refusal(it.worlds.Create(worlds_pb2.CreateRequest(**request_)))
        assert found == code and status in ("INVALID_ARGUMENT", "NOT_FOUND")
        assert not it.sessions.asked

    serve(scene)


def test_a_full_service_says_so() -> None:
    async def scene(it: Servers) -> None:
        it.sessions.failure = Overloaded("full")
        assert await refusal(it.worlds.Create(worlds_pb2.CreateRequest())) == ("RESOURCE_EXHAUSTED", "overloaded")

    serve(scene)


def test_every_error_has_a_status() -> None:
    def kinds(base: type[WorldloomError]) -> list[type[WorldloomError]]:
        return [base, *(kind for below in base.__subclasses__() for kind in kinds(below))]

    assert {code_of(kind) for kind in kinds(WorldloomError)} >= {grpc.StatusCode.INTERNAL, grpc.StatusCode.DATA_LOSS}


def test_both_servers_speak_tls(tmp_path: Path) -> None:
    files = certificate(tmp_path)

    async def scene(it: Servers) -> None:
        call = it.worlds.Play()
        await call.write(HELLO)
        assert (await call.read()).welcome.session_id == "s"
        await call.write(pb.ClientMessage(bye=pb.Bye()))
        while await call.read() is not grpc.aio.EOF:
            continue
        trust = files.context().__class__(2)
        trust.check_hostname = False
        trust.load_verify_locations(files.certificate)
        async with connect(it.url, ssl=trust) as socket:
            await socket.send(HELLO.SerializeToString())
            data = await socket.recv()
            assert isinstance(data, bytes) and pb.ServerMessage.FromString(data).HasField("welcome")

    serve(scene, tls=files)


def test_http_takes_the_same_certificate(tmp_path: Path) -> None:
    files = certificate(tmp_path)
    secret: dict[str, Any] = {**http_options("127.0.0.1", 1, files)}
    options = HTTPOptions(**secret)
    assert (options.ssl_certfile, options.ssl_keyfile) == (str(files.certificate), str(files.key))
    plain: dict[str, Any] = {**http_options("127.0.0.1", 1, None)}
    assert HTTPOptions(**plain).ssl_certfile is None


def test_tls_files_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    (tmp_path / "no.pem").write_text("no certificate")
    for path in (tmp_path / "no.pem", tmp_path / "missing.pem"):
        with pytest.raises(ConfigError, match=path.name):
            TlsFiles(certificate=path, key=path).context()


async def refusal(call: Any) -> tuple[str, str]:
    """Status code and error code of a call that is refused."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = caught.value
    (packed,) = (value for name, value in error.trailing_metadata() if name == DETAILS_KEY)
    told = pb.Error()
    assert status_pb2.Status.FromString(packed).details[0].Unpack(told)
    return error.code().name, told.code


def certificate(directory: Path) -> TlsFiles:
    """One that a test signs itself."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    files = TlsFiles(certificate=directory / "certificate.pem", key=directory / "key.pem")
    files.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
