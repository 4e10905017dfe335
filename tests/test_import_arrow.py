"""The import arrow of the design: what each folder may import."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# Every folder may import itself and these.
ALLOWED = {
    "errors": set[str](),
    "model": {"errors"},
    "memory": {"errors"},
    "parallel": {"errors", "model", "memory"},
    "cluster": {"errors", "model", "memory", "parallel"},
    "serve": {"errors", "model", "memory", "parallel", "cluster"},
    "train": {"errors", "model", "memory", "parallel"},
}
FORBIDDEN_PACKAGES = {
    "errors": {"ray", "torch", "numpy"},
    "model": {"ray", "torch.distributed"},
    "memory": {"ray", "torch"},
    "cluster": {"fastapi", "starlette", "grpc", "websockets"},
}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, as the full dotted name that a reader would write."""
    package = ["worldloom", *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*base, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_folder_imports_only_what_lies_left_of_it(folder: str) -> None:
    allowed = ALLOWED[folder] | {folder}
    for path in files(folder):
        for name in imports(path):
            if name.startswith("worldloom."):
                assert name.split(".")[1] in allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("folder", sorted(FORBIDDEN_PACKAGES))
def test_folder_stays_free_of_packages_that_do_not_belong_there(folder: str) -> None:
    for path in files(folder):
        for name in imports(path):
            for package in FORBIDDEN_PACKAGES[folder]:
                assert name != package and not name.startswith(package + "."), f"{path.relative_to(ROOT)}: {name}"


@pytest.mark.parametrize("folder", sorted(ALLOWED))
def test_imports_inside_the_package_are_relative(folder: str) -> None:
    for path in files(folder):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and not node.level and node.module:
                assert node.module.split(".")[0] != "worldloom", f"{path.relative_to(ROOT)}:{node.lineno}"
