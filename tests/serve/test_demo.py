"""`worldloom demo` on a service on Ray."""

from __future__ import annotations

from pathlib import Path

import av
import pytest
from click.testing import CliRunner
from PIL import Image
from worldloom.errors import InputError, PresetUnknown, ScriptError
from worldloom.serve.commands import demo as demo_module
from worldloom.serve.commands.demo import LOOPBACK, default_port, demo, play_demo
from worldloom.serve.ports import choose_port
from worldloom.serve.scripts import load_script
from worldloom.serve.service import ServiceHandle


def test_the_demo_writes_clip_and_contact_sheet_of_at_least_four_chunks(
    mock_service: ServiceHandle, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    actions = load_script(demo_module.DEMO_SCRIPT)
    seen = play_demo(mock_service.url, actions, sample="garden", seed=7, out=tmp_path / "out")
    assert len(seen.chunk_starts) >= 4 and seen.frames == len(actions)
    with av.open(str(tmp_path / "out" / "demo.mp4")) as container:
        assert sum(1 for _ in container.decode(video=0)) == len(actions)
    assert Image.open(tmp_path / "out" / "demo.png").width > 1000
    printed = capsys.readouterr().out
    for words in ("frames a second", "time to first frame", "retrieve", "step 3", "decode", "UNTRAINED", "demo.mp4"):
        assert words in printed


@pytest.mark.parametrize(
    ("options", "error"),
    [
        (["--preset", "huge"], PresetUnknown),
        (["--script", "nowhere"], ScriptError),
        (["--sample", "moon"], InputError),
    ],
)
def test_wrong_options_are_found_before_anything_starts(options: list[str], error: type[Exception]) -> None:
    assert isinstance(CliRunner().invoke(demo, options).exception, error)


def test_a_busy_port_is_avoided(monkeypatch: pytest.MonkeyPatch, mock_service: ServiceHandle) -> None:
    busy = int(mock_service.url.rpartition(":")[2])
    monkeypatch.setattr(demo_module, "DEFAULT_PORT", busy)
    free = default_port()
    assert free != busy
    assert choose_port(LOOPBACK, free) == free
