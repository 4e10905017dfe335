"""What README and the protocol's page tell a stranger to run, run as it stands there."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image
from worldloom.serve.commands.replay import replay
from worldloom.serve.service import ServiceHandle

ROOT = Path(__file__).parents[2]
README, CLIENT, PROTOCOL = (ROOT / path for path in ("README.md", "serve/client/README.md", "serve/protocol/README.md"))
ADDRESS = "http://127.0.0.1:8000"
"""Where the documents say that the service is."""


def program(page: Path, containing: str) -> str:
    """The page's only Python program that has this in it."""
    found = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    (chosen,) = [code for code in found if containing in code]
    return str(chosen)


def run(code: str, service: ServiceHandle, folder: Path) -> str:
    """What the program prints; the service is where the documents say."""
    command = [sys.executable, "-c", code.replace(ADDRESS, service.url), service.url]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_smallest_client_plays(mock_service: ServiceHandle, tmp_path: Path) -> None:
    code = program(PROTOCOL, "LAST_FRAME")
    assert "worldloom" not in code
    told = run(code.replace("sleep(pace)", "sleep(0)"), mock_service, tmp_path)
    assert "'event_id': '1'" in told
    pictures = sorted(tmp_path.glob("frame*.jpg"))
    assert [path.stem for path in pictures] == [f"frame{number:04}" for number in range(97)]
    assert Image.open(pictures[-1]).size == (224, 128)


@pytest.mark.parametrize("page", [README, CLIENT])
def test_the_clients_first_program_plays(mock_service: ServiceHandle, tmp_path: Path, page: Path) -> None:
    code = program(page, "open_world_blocking")
    told = run(code.replace("        ...\n", "        print(frame.frame_id); break\n"), mock_service, tmp_path)
    assert told.splitlines()[-1].startswith("0" if page == README else "96 (128, 224, 3)")


def test_a_world_is_kept_and_played_again(mock_service: ServiceHandle, tmp_path: Path) -> None:
    run(program(CLIENT, "export_world"), mock_service, tmp_path)
    checked = CliRunner().invoke(replay, [str(tmp_path / "again.world"), "--check"])
    assert "chunks made again: 2; all chunks have the same bits" in checked.output
