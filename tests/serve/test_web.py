"""The web page's codec against the protocol, and the page's files against what a browser needs."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.json_format import MessageToDict
from worldloom.serve.protocol.generated import controls_pb2, frames_pb2
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.wire import PROTOCOL_VERSION

WEB = Path(pb.__file__).parents[2] / "web"
KINDS = {
    FieldDescriptor.TYPE_UINT32: "uint32",
    FieldDescriptor.TYPE_UINT64: "uint64",
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_STRING: "string",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_ENUM: "enum",
}
FRAME = pb.ServerMessage(
    frame=pb.Frame(
        frame_id=2**40 + 3,
        position=pb.WorldPosition(branch=1, chunk=4, frame=39),
        codec=pb.CODEC_JPEG,
        data=bytes(range(256)),
        key_frame=True,
        client_time_us=1_700_000_000_000_123,
        action=pb.ActionFrame(forward=True, camera_yaw=-0.5),
        stages=pb.StageTimes(queue_ms=1.5, step_ms=[10, 20.25, 30], encode_ms=0.125),
    )
)
APPLIED = pb.ServerMessage(
    applied=pb.Applied(chunk=300, events=[pb.AppliedEvent(event_id=1, frame_id=0), pb.AppliedEvent(event_id=129)])
)
ERROR = pb.ServerMessage(error=pb.Error(code="überlast", message="zu viel", retryable=True))
CONTROLS = pb.ClientMessage(
    event=pb.Event(
        event_id=1,
        client_time_us=2**45,
        controls=pb.Controls(
            keyboard=pb.Keyboard(left=True), mouse=pb.Mouse(pitch=-0.25, yaw_motion=3.5, pitch_motion=-24)
        ),
    )
)
REWIND = pb.ClientMessage(event=pb.Event(event_id=2, rewind=pb.Rewind(chunk=3, branch=0)))
HELLO = pb.ClientMessage(hello=pb.Hello(protocol_version=1, token="t" * 200, client="wéb"))


def schema_of_the_page() -> dict[str, dict[int, tuple[str, str]]]:
    """Message → field number → (name, type), as protocol.js writes them."""
    source = (WEB / "protocol.js").read_text()
    table = source[source.index("const SCHEMA = {") : source.index("};")]
    joined = re.sub(r'" \+\s*"', "", table)
    schema = {}
    for message, fields in re.findall(r'(\w+): "([^"]*)"', joined):
        parts = (field.split() for field in fields.split(", ") if field)
        schema[message] = {int(number): (name, kind) for number, name, kind in parts}
    return schema


def mark(field: FieldDescriptor) -> str:
    """How the page's table marks a field of its kind."""
    if field.is_repeated:
        return "*"
    is_optional = field.containing_oneof is not None and field.containing_oneof.name.startswith("_")
    return "?" if is_optional else ""


def test_the_page_knows_every_message_and_field_of_the_protocol() -> None:
    expected = {
        name: {
            field.number: (
                field.name,
                (field.message_type.name if field.message_type else KINDS[field.type]) + mark(field),
            )
            for field in message.fields
        }
        for module in (controls_pb2, frames_pb2, pb)
        for name, message in module.DESCRIPTOR.message_types_by_name.items()
    }
    assert schema_of_the_page() == expected


def test_the_page_speaks_the_version_of_the_service() -> None:
    assert f"PROTOCOL_VERSION = {PROTOCOL_VERSION};" in (WEB / "protocol.js").read_text()


def run_node(program: str) -> str:
    node = shutil.which("node")
    if node is None:
        pytest.skip("Node.js is not installed: tests/browser runs the codec in a browser")
    imports = f"import {{ decode, encode }} from {json.dumps((WEB / 'protocol.js').as_uri())};\n"
    command = [node, "--no-warnings", "--input-type=module", "-e", imports + program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("message", [FRAME, APPLIED, ERROR], ids=["frame", "applied", "error"])
def test_what_the_service_sends_is_read_by_the_page(message: pb.ServerMessage) -> None:
    show = "JSON.stringify(message, (key, value) => value instanceof Uint8Array ? [...value] : value)"
    wire = list(message.SerializeToString())
    read = json.loads(
        run_node(f"const message = decode('ServerMessage', Uint8Array.from({wire})); console.log({show})")
    )
    body = message.WhichOneof("body")
    assert body is not None and [name for name, value in read.items() if value] == [body]
    expected = MessageToDict(getattr(message, body), preserving_proto_field_name=True, use_integers_for_enums=True)
    assert_covers(read[body], expected, data=list(message.frame.data))


def assert_covers(read: object, expected: object, data: list[int]) -> None:
    """All of `expected`, which leaves out defaults and writes 64-bit integers and bytes as text, is in `read`."""
    if isinstance(expected, dict) and isinstance(read, dict):
        for name, value in expected.items():
            assert_covers(read[name], data if name == "data" else value, data)
    elif isinstance(expected, list) and isinstance(read, list):
        assert len(read) == len(expected)
        for one, other in zip(read, expected, strict=True):
            assert_covers(one, other, data)
    else:
        assert str(read) == str(expected) or read == expected


@pytest.mark.parametrize("message", [CONTROLS, REWIND, HELLO], ids=["controls", "rewind", "hello"])
def test_what_the_page_sends_is_read_by_the_service(message: pb.ClientMessage) -> None:
    values = MessageToDict(message, preserving_proto_field_name=True)
    written = run_node(f"console.log(JSON.stringify([...encode('ClientMessage', {json.dumps(values)})]))")
    assert pb.ClientMessage.FromString(bytes(json.loads(written))) == message


def test_unknown_fields_are_skipped_and_cut_messages_refused() -> None:
    # Field 15 in each wire type, then event_id = 7.
    unknown = [120, 1, 121, *[0] * 8, 122, 2, 9, 9, 125, *[0] * 4, 8, 7]
    assert run_node(f"console.log(decode('Accepted', Uint8Array.from({unknown})).event_id)").strip() == "7"
    refused = "try { decode('Bye', Uint8Array.from([10, 5, 65])) } catch (e) { console.log(e instanceof RangeError) }"
    assert run_node(refused).strip() == "true"


def test_the_page_asks_no_other_host_for_anything() -> None:
    for path in WEB.iterdir():
        addresses = re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text())
        assert set(addresses) <= {"http://www.w3.org"}, path.name


def test_every_file_the_page_names_is_there() -> None:
    pages = "".join(path.read_text() for path in WEB.glob("*.html")).replace('href="openapi.json"', "")
    named = re.findall(r'(?:href|src)="([^"]+)"', pages)
    for script in WEB.glob("*.js"):
        named += re.findall(r'from "\./([^"]+)"', script.read_text())
    assert named and all((WEB / name).is_file() for name in named)


def test_every_element_that_the_scripts_ask_for_is_in_the_page() -> None:
    for script in WEB.glob("*.js"):
        page = WEB / ("docs.html" if script.name == "docs.js" else "index.html")
        ids = set(re.findall(r'id="([^"]+)"', page.read_text()))
        assert set(re.findall(r'\$\("([^"]+)"\)', script.read_text())) <= ids, script.name
