"""The client as a distribution of its own: a wheel that needs four small libraries and nothing else of worldloom."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import pytest

from ..fake_service import FakeService

SERVE = Path(__file__).parents[3] / "serve"
SOURCES = ("client", "protocol/generated")
LIBRARIES = ("numpy", "numpy.libs", "google", "grpc", "websockets", "typing_extensions")
"""What its dependencies install, and one that grpcio needs."""

PLAY = """
import importlib.util, sys
from worldloom_client import CodecMissing, Held, open_world_blocking

assert [name for name in ("worldloom", "torch", "ray", "av") if importlib.util.find_spec(name)] == []
with open_world_blocking(sys.argv[1]) as world:
    event = world.play([Held(forward=True)] * 57)
    assert world.settled(event) == 0
    frame = next(world.frames())
    print(frame.codec, frame.image.shape)
with open_world_blocking(sys.argv[1], codecs=["h264"]) as world:
    world.play([Held(forward=True)] * 57)
    try:
        next(world.frames())
    except CodecMissing as missing:
        print(missing.hint)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel and what it depends on."""
    out = tmp_path_factory.mktemp("client-wheel")
    # Elsewhere: a build leaves its traces beside the sources.
    for folder in SOURCES:
        shutil.copytree(SERVE / folder, out / folder, ignore=shutil.ignore_patterns("protocol", "build", "*.egg-info"))
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    build = ["wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), str(out / "client")]
    subprocess.run([*pip, *build], check=True, capture_output=True)
    environment = tmp_path_factory.mktemp("client-venv")
    venv.create(environment, with_pip=False, symlinks=True)
    python = environment / "bin" / "python"
    install = ["--python", str(python), "install", "-q", "--no-deps", "--no-index", *map(str, out.glob("*.whl"))]
    subprocess.run([*pip, *install], check=True, capture_output=True)
    site = next((environment / "lib").glob("python*/site-packages"))
    for name in LIBRARIES:
        (site / installed(name).name).symlink_to(installed(name))
    return python


def installed(name: str) -> Path:
    """Where a library lies here: a folder, or a single file."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        numpy = importlib.util.find_spec("numpy")
        assert numpy is not None and numpy.origin is not None
        return Path(numpy.origin).parents[1] / name
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    assert spec.origin is not None
    return Path(spec.origin)


def test_the_wheel_plays_where_nothing_else_is_installed(python: Path) -> None:
    with FakeService().running() as service:
        run = subprocess.run([python, "-I", "-c", PLAY, service.url], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "raw (128, 224, 3)" in run.stdout and "worldloom-client[video]" in run.stdout
    assert service.deleted == ["s0", "s1"]


def test_the_dependencies_are_what_its_files_import() -> None:
    project = tomllib.loads((SERVE / "client" / "pyproject.toml").read_text())["project"]
    names = {requirement.partition(">=")[0] for requirement in project["dependencies"]}
    assert names == {"numpy", "grpcio", "protobuf", "websockets"}
