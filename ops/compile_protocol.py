"""Compiles serve/protocol/*.proto into serve/protocol/generated: `compile_protocol.py [--out DIR]`.

protoc writes imports that only work on a flat search path; here they become relative, so that the folder works wherever
a package takes it up.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

PROTOCOL = Path(__file__).parent.parent / "serve" / "protocol"
SERVICE = "worlds.proto"
_FLAT_IMPORT = re.compile(r"^(import|from) (\w+_pb2)\b", re.MULTILINE)
_MARKER = '"""Made from ../*.proto by ops/compile_protocol.py."""\n'


def compile_into(out: Path) -> None:
    """Messages and their stubs of every .proto file, and the gRPC service."""
    out.mkdir(parents=True, exist_ok=True)
    sources = sorted(path.name for path in PROTOCOL.glob("*.proto"))
    _protoc(f"--python_out={out}", f"--pyi_out={out}", *sources)
    _protoc(f"--grpc_python_out={out}", SERVICE)
    for path in [*out.glob("*_pb2*.py"), *out.glob("*_pb2.pyi")]:
        path.write_text(_FLAT_IMPORT.sub(_relative, path.read_text()))
    (out / "__init__.py").write_text(_MARKER)


def _protoc(*arguments: str) -> None:
    well_known = Path(grpc_tools.__file__).parent / "_proto"
    if protoc.main(["protoc", f"-I{PROTOCOL}", f"-I{well_known}", *arguments]):
        raise SystemExit("error: protoc refused the sources, see above")


def _relative(match: re.Match[str]) -> str:
    keyword, module = match.groups()
    return f"from . import {module}" if keyword == "import" else f"from .{module}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=PROTOCOL / "generated")
    compile_into(parser.parse_args().out)


if __name__ == "__main__":
    main()
