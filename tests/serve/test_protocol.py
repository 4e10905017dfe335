"""The compiled protocol matches its source."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from worldloom.serve.protocol import session_pb2

PROTOCOL = Path(session_pb2.__file__).parent


def compile_source(out: Path) -> FileDescriptorSet:
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{PROTOCOL}", f"--descriptor_set_out={out}"]
    subprocess.run([*command, str(PROTOCOL / "session.proto")], check=True)
    return FileDescriptorSet.FromString(out.read_bytes())


def test_the_compiled_module_matches_the_proto_file(tmp_path: Path) -> None:
    """On failure: cd serve/protocol && python -m grpc_tools.protoc -I. --python_out=. --pyi_out=. session.proto"""
    (compiled,) = compile_source(tmp_path / "session.pb").file
    for message in compiled.message_type:
        for field in message.field:
            field.ClearField("json_name")
    assert compiled.SerializeToString() == session_pb2.DESCRIPTOR.serialized_pb


def test_the_type_stubs_name_every_message_and_field() -> None:
    stubs = (PROTOCOL / "session_pb2.pyi").read_text()
    classes = {part.split("(")[0]: part for part in re.split(r"^class ", stubs, flags=re.MULTILINE)[1:]}
    for name, message in session_pb2.DESCRIPTOR.message_types_by_name.items():
        assert set(re.findall(r"^    (\w+): (?!_ClassVar)", classes[name], re.MULTILINE)) == set(message.fields_by_name)


def test_a_message_survives_the_wire() -> None:
    sent = session_pb2.ClientMessage(controls=session_pb2.Controls(event_id=7, forward=True, camera_yaw=-0.5))
    assert session_pb2.ClientMessage.FromString(sent.SerializeToString()) == sent
