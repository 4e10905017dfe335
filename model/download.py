"""One file from the Hugging Face hub: continued where an earlier attempt stopped, and refused if it arrives damaged.

The hub's own downloader starts a file anew when its process was killed, so partial files are kept here: as `NAME.part`
beside the place where the verified file will stand.
"""

from __future__ import annotations

import hashlib
import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import get_hf_file_metadata, get_session, hf_hub_url
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get
from huggingface_hub.hf_api import RepoFile
from huggingface_hub.utils import build_hf_headers  # type: ignore[attr-defined]
from tqdm import tqdm

from ..errors import DownloadError

_BLOCK_BYTES = 2**24


@dataclass(frozen=True, kw_only=True, slots=True)
class RemoteFile:
    """A file of a repository at one commit, and what its content must be."""

    repo: str
    commit: str
    path: str
    size: int
    digest: str
    """'sha256:…' of the content; or 'git:…', git's name of a small file's content."""

    def __post_init__(self) -> None:
        if Path(self.path).is_absolute() or ".." in Path(self.path).parts:
            raise DownloadError(
                f"repository {self.repo} lists a file outside of itself: {self.path}",
                hint="Do not use this repository.",
            )

    @classmethod
    def from_listing(cls, repo: str, commit: str, entry: RepoFile) -> RemoteFile:
        """From the hub's listing of a repository."""
        digest = f"git:{entry.blob_id}" if entry.lfs is None else f"sha256:{entry.lfs.sha256}"
        return cls(repo=repo, commit=commit, path=entry.path, size=entry.size, digest=digest)


def download(file: RemoteFile, directory: Path) -> None:
    """Puts a file into its place below `directory`, going on from what an earlier attempt left.

    Raises DownloadError if the connection fails, after which what has arrived is kept, or if the content is not what
    the hub has listed, after which it is removed.
    """
    target = directory / file.path
    part = target.with_name(f"{target.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    if part.is_file() and part.stat().st_size > file.size:
        part.unlink()
    with describing_failures(f"{file.path} of {file.repo}"):
        _receive(file, part)
    if not matches(file, part):
        part.unlink()
        raise DownloadError(
            f"{file.path} of {file.repo} arrived damaged: its content is not {file.digest}",
            hint="Run the same command again; if it happens again, the connection or a proxy changes data.",
        )
    part.replace(target)


def matches(file: RemoteFile, path: Path) -> bool:
    """Whether the content of `path` is what the hub has listed."""
    if not path.is_file() or path.stat().st_size != file.size:
        return False
    kind, _, expected = file.digest.partition(":")
    digest = hashlib.sha256() if kind == "sha256" else hashlib.sha1(f"blob {file.size}\0".encode())
    bar = tqdm(desc=f"Verify {file.path}", total=file.size, unit="B", unit_scale=True, leave=False, disable=None)
    with path.open("rb") as content, bar:
        while block := content.read(_BLOCK_BYTES):
            digest.update(block)
            bar.update(len(block))
    return digest.hexdigest() == expected


@contextmanager
def describing_failures(what: str) -> Iterator[None]:
    """Turns the hub's and the connection's errors into DownloadError."""
    try:
        yield
    except GatedRepoError as error:
        raise DownloadError(
            f"{what}: the publisher asks who downloads it",
            hint="Accept the terms on the repository's page, then log in with `hf auth login`.",
        ) from error
    except (RepositoryNotFoundError, RevisionNotFoundError, EntryNotFoundError) as error:
        raise DownloadError(
            f"{what} was not found on the hub", hint="Check the name and the revision, or log in with `hf auth login`."
        ) from error
    except _connection_errors() as error:
        raise DownloadError(
            f"{what} could not be downloaded: {error}", hint="Run the same command again: it goes on where it stopped."
        ) from error


def _receive(file: RemoteFile, part: Path) -> None:
    done = part.stat().st_size if part.is_file() else 0
    if done == file.size and part.is_file():
        return
    url = hf_hub_url(file.repo, file.path, revision=file.commit)
    headers = build_hf_headers(library_name="worldloom")
    location = get_hf_file_metadata(url, headers=headers).location
    if urlsplit(location).netloc != urlsplit(url).netloc:
        headers.pop("authorization", None)  # A store behind the hub has its own signature in the address.
    with part.open("ab") as sink:
        http_get(
            location, sink, resume_size=done, headers=headers, expected_size=file.size, displayed_filename=file.path
        )


def _connection_errors() -> tuple[type[Exception], ...]:
    """What the hub's HTTP client raises; which library that is depends on huggingface_hub's version."""
    client = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    error: type[Exception] = client.HTTPError
    return (OSError, error)
