"""The package as users get it: editable from a checkout and as a wheel, seen by a type checker both ways."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
MAPPED = PYPROJECT["tool"]["setuptools"]["package-dir"]
CLIENT = "serve/client"
"""Imports as worldloom_client, and is a distribution of its own."""
FOLDERS = {name: folder for name, folder in MAPPED.items() if name.startswith("worldloom.")}

WRONG_TYPE = "from worldloom.model.clip import NEW_FRAMES\nname: str = NEW_FRAMES\n"
RIGHT_TYPE = "from worldloom.model.clip import NEW_FRAMES\ncount: int = NEW_FRAMES\n"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel of the tracked files, built outside the checkout."""
    source = tmp_path_factory.mktemp("source")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in filter(None, tracked.split("\0")):
        if (ROOT / name).is_file():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, source / name)
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    subprocess.run(command, cwd=source, check=True)
    return next(out.glob("worldloom-*.whl"))


def type_check(code: str, path: Path, python_path: str) -> subprocess.CompletedProcess[str]:
    snippet = path / "snippet.py"
    snippet.write_text(code)
    environment = {**os.environ, "MYPYPATH": python_path}
    command = [
        sys.executable,
        "-m",
        "mypy",
        "--config-file",
        os.devnull,
        "--cache-dir",
        str(path / "cache"),
        str(snippet),
    ]
    return subprocess.run(command, cwd=path, env=environment, capture_output=True, text=True, check=False)


def test_every_source_folder_is_listed_as_a_package() -> None:
    found = {
        ".".join(["worldloom", *path.parent.relative_to(ROOT).parts])
        for folder in FOLDERS.values()
        for path in (ROOT / folder).rglob("__init__.py")
        if not path.is_relative_to(ROOT / CLIENT)
    }
    client = {"worldloom_client", "worldloom_client.protocol"}
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == found | client
    assert set(MAPPED) - set(FOLDERS) == client


def test_type_checkers_are_pointed_at_every_folder() -> None:
    links = {path.name: path.resolve() for path in (ROOT / "typings" / "worldloom").iterdir()}
    assert links == {folder: ROOT / folder for folder in FOLDERS.values()}
    assert (ROOT / "typings" / "worldloom_client").resolve() == ROOT / CLIENT
    assert (ROOT / CLIENT / "protocol").resolve() == ROOT / MAPPED["worldloom_client.protocol"]


def test_editable_install_imports_the_checkout() -> None:
    code = "import worldloom.model.clip, worldloom.serve; print(worldloom.model.clip.__file__)"
    run = subprocess.run([sys.executable, "-P", "-c", code], cwd="/", capture_output=True, text=True, check=True)
    assert Path(run.stdout.strip()) == ROOT / "model" / "clip.py"


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    tracked = subprocess.run(
        ["git", "ls-files", *FOLDERS.values()], cwd=ROOT, check=True, capture_output=True, text=True
    )
    client = {name for name in tracked.stdout.split() if name.startswith(f"{CLIENT}/")}
    missing = [
        name
        for name in tracked.stdout.split()
        if name not in client and f"worldloom/{name}" not in names and not name.endswith(".md")
    ]
    assert missing == []
    modules = {name for name in client if name.count("/") == 2 and name.endswith((".py", "py.typed"))}
    assert {name.replace(CLIENT, "worldloom_client") for name in modules} <= names
    assert not any(name.startswith("worldloom/tests") for name in names)


def test_wheel_imports_and_is_typed_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    code = "import worldloom.memory, worldloom.model.clip; print(worldloom.model.clip.__file__)"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    command = [sys.executable, "-P", "-c", code]
    run = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert Path(run.stdout.strip()) == site / "worldloom" / "model" / "clip.py"
    assert type_check(RIGHT_TYPE, tmp_path, str(site)).returncode == 0
    wrong = type_check(WRONG_TYPE, tmp_path, str(site))
    assert wrong.returncode == 1 and "Incompatible types in assignment" in wrong.stdout


def test_type_checker_sees_the_checkout(tmp_path: Path) -> None:
    assert type_check(RIGHT_TYPE, tmp_path, str(ROOT / "typings")).returncode == 0
    wrong = type_check(WRONG_TYPE, tmp_path, str(ROOT / "typings"))
    assert wrong.returncode == 1 and "Incompatible types in assignment" in wrong.stdout


def test_entry_points_name_commands_that_load() -> None:
    declared = PYPROJECT["project"]["entry-points"]["worldloom.commands"]
    installed = {point.name: point for point in importlib.metadata.entry_points(group="worldloom.commands")}
    assert set(installed) == set(declared)
    for point in installed.values():
        assert callable(point.load())


def test_tracked_files_stay_small_enough_to_carry() -> None:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    total = sum((ROOT / name).stat().st_size for name in filter(None, tracked.split("\0")) if (ROOT / name).is_file())
    assert total < 40_000_000
