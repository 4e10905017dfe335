"""Fetching a preset's weights from the Hugging Face hub.

A fetched directory has the layout of the repository. A file has its own name in it only once it is whole and verified;
the record `.worldloom.json` says which files those are.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import WeakFileLock  # type: ignore[attr-defined]

from ..errors import ConfigError, DownloadError
from .download import RemoteFile, describing_failures, download, matches
from .locations import default_directory, needed_parts, not_released
from .preset import Preset

RECORD = ".worldloom.json"


def fetch(preset: Preset, directory: Path | None = None) -> Path:
    """Downloads what a preset needs and verifies it; what is there already is only verified.

    `directory` is `default_directory` unless given. It can be stopped at any time and goes on where it stopped. Returns
    the directory. Raises NotReleased, ConfigError if the preset's weights do not come from the hub, or DownloadError.
    """
    weights = preset.weights
    if weights.source == "unreleased":
        raise not_released(preset)
    if weights.source != "hub":
        raise ConfigError(
            f"preset {preset.name!r} has its weights from {weights.source!r}: there is nothing to fetch",
            hint="Use the preset as it is.",
        )
    directory = directory or default_directory(weights)
    files = _list_files(preset)
    directory.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(directory / ".worldloom.lock"):
        _check_space(files, directory)
        for file in files:
            _fetch_file(file, directory)
    return directory


def _list_files(preset: Preset) -> list[RemoteFile]:
    repo = preset.weights.repo
    with describing_failures(f"repository {repo} at {preset.weights.revision}"):
        api = HfApi()
        commit = api.repo_info(repo, revision=preset.weights.revision).sha
        assert commit is not None, "the hub names the commit of every revision"
        entries = [
            item for item in api.list_repo_tree(repo, recursive=True, revision=commit) if isinstance(item, RepoFile)
        ]
    parts = needed_parts(preset)
    lacking = [part for part in parts if not any(_belongs(entry.path, part) for entry in entries)]
    if lacking:
        raise DownloadError(
            f"repository {repo} at {commit} has no {', '.join(lacking)}, which preset {preset.name!r} needs",
            hint="Check the preset's repository and revision.",
        )
    return [
        RemoteFile.from_listing(repo, commit, entry)
        for entry in entries
        if any(_belongs(entry.path, part) for part in parts)
    ]


def _belongs(path: str, part: str) -> bool:
    return path.startswith(part) if part.endswith("/") else path == part


def _fetch_file(file: RemoteFile, directory: Path) -> None:
    record = _read_record(directory)
    path = directory / file.path
    if record.get(file.path) == file.digest and path.is_file() and path.stat().st_size == file.size:
        return
    if not matches(file, path):
        path.unlink(missing_ok=True)
        download(file, directory)
    _write_record(directory, {**record, file.path: file.digest})


def _check_space(files: list[RemoteFile], directory: Path) -> None:
    needed = sum(file.size for file in files if not (directory / file.path).is_file())
    free = shutil.disk_usage(directory).free
    if needed > free:
        raise DownloadError(
            f"{needed / 1e9:.1f} GB are to be downloaded to {directory}, where {free / 1e9:.1f} GB are free",
            hint="Make room, or choose another place with --dir or WORLDLOOM_CACHE.",
        )


def _read_record(directory: Path) -> dict[str, str]:
    """Digest of each verified file; nothing if the record is lost or damaged, as it only saves work."""
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


def _write_record(directory: Path, record: dict[str, str]) -> None:
    part = directory / f"{RECORD}.part"
    part.write_text(json.dumps(record, indent=1, sort_keys=True), encoding="utf-8")
    part.replace(directory / RECORD)
