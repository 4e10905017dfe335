"""A run's results as a few flat files, to carry between machines that keep nothing.

Weights of stage S go as `S--weights-0.safetensors` and so on, everything small (figures, logs, pictures) into one
`report.zip`. Optimizer states stay behind: a stage goes on from weights alone.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

SEPARATOR = "--"
REPORT = "report.zip"
SMALL = (".json", ".jsonl", ".png")


def pack_weights(folder: Path, target: Path) -> list[Path]:
    """Copies the weights in a stage's folder into `target`; nothing where there are none. Every file appears whole."""
    target.mkdir(parents=True, exist_ok=True)
    written = []
    for path in sorted(folder.glob("weights-*.safetensors")):
        copy = target / f"{folder.name}{SEPARATOR}{path.name}"
        temporary = copy.with_name(copy.name + ".tmp")
        shutil.copyfile(path, temporary)
        written.append(temporary.replace(copy))
    return written


def pack(out: Path, target: Path, stages: Sequence[str]) -> list[Path]:
    """Copies the weights of these stages' folders and zips all small files of a run into `target`."""
    target.mkdir(parents=True, exist_ok=True)
    written = [path for stage in stages for path in pack_weights(out / stage, target)]
    return [*written, pack_report(out, target)]


def pack_report(out: Path, target: Path) -> Path:
    """Zips all figures, logs and pictures of a run so far into `target`. The file appears whole."""
    target.mkdir(parents=True, exist_ok=True)
    archive = target / REPORT
    temporary = archive.with_name(archive.name + ".tmp")
    with zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        for path in sorted(out.rglob("*")):
            if path.is_file() and path.suffix in SMALL:
                file.write(path, path.relative_to(out))
    return temporary.replace(archive)


def unpack(source: Path, out: Path) -> None:
    """Puts packed weights back where a run expects them; files that are there already stay."""
    for path in sorted(source.glob(f"*{SEPARATOR}*.safetensors")):
        stage, name = path.name.split(SEPARATOR)
        target = out / stage / name
        if not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)
