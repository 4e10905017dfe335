"""The compiled protocol matches its source."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from worldloom.serve.protocol import generated
from worldloom.serve.protocol.generated import session_pb2 as pb
from worldloom.serve.protocol.generated import worlds_pb2, worlds_pb2_grpc

GENERATED = Path(generated.__path__[0])
SOURCES = sorted(path.stem for path in GENERATED.parent.glob("*.proto"))


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, FileDescriptorProto]:
    """What the sources compile to now, by name."""
    out = tmp_path_factory.mktemp("compiled") / "all.pb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{GENERATED.parent}", f"--descriptor_set_out={out}"]
    subprocess.run([*command, *(f"{name}.proto" for name in SOURCES)], check=True)
    files = FileDescriptorSet.FromString(out.read_bytes()).file
    return {file.name.removesuffix(".proto"): file for file in files}


def module(name: str) -> Any:
    return importlib.import_module(f"{generated.__name__}.{name}_pb2")


@pytest.mark.parametrize("name", SOURCES)
def test_a_compiled_module_matches_its_source(name: str, compiled: dict[str, FileDescriptorProto]) -> None:
    """On failure: make protocol"""
    file = compiled[name]
    for message in file.message_type:
        for field in message.field:
            field.ClearField("json_name")
    assert file.SerializeToString() == module(name).DESCRIPTOR.serialized_pb


@pytest.mark.parametrize("name", SOURCES)
def test_the_type_stubs_name_every_message_and_field(name: str) -> None:
    stubs = (GENERATED / f"{name}_pb2.pyi").read_text()
    classes = {part.split("(")[0]: part for part in re.split(r"^class ", stubs, flags=re.MULTILINE)[1:]}
    for kind, message in module(name).DESCRIPTOR.message_types_by_name.items():
        assert set(re.findall(r"^    (\w+): (?!_ClassVar)", classes[kind], re.MULTILINE)) == set(message.fields_by_name)


def test_the_script_makes_exactly_the_files_that_are_there(tmp_path: Path) -> None:
    script = GENERATED.parents[2] / "ops" / "compile_protocol.py"
    subprocess.run([sys.executable, str(script), "--out", str(tmp_path)], check=True)
    made = {path.name for path in tmp_path.iterdir()}
    assert made == {path.name for path in GENERATED.iterdir() if path.is_file()}
    for name in made:
        imports = re.findall(r"^(?:from|import) .*", (tmp_path / name).read_text(), re.MULTILINE)
        assert imports == re.findall(r"^(?:from|import) .*", (GENERATED / name).read_text(), re.MULTILINE)


def test_the_grpc_service_has_the_methods_of_its_source() -> None:
    (service,) = worlds_pb2.DESCRIPTOR.services_by_name.values()
    assert service.full_name == "worldloom.v1.Worlds"
    for method in service.methods:
        assert callable(getattr(worlds_pb2_grpc.WorldsServicer, method.name))


def test_one_import_gives_all_messages_of_a_connection() -> None:
    for name in ("ClientMessage", "Event", "Frame", "CODEC_H264"):
        assert hasattr(pb, name)


def test_a_message_survives_the_wire() -> None:
    controls = pb.Controls(keyboard=pb.Keyboard(forward=True), mouse=pb.Mouse(yaw=-0.5))
    sent = pb.ClientMessage(event=pb.Event(event_id=7, controls=controls))
    assert pb.ClientMessage.FromString(sent.SerializeToString()) == sent
