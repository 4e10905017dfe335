"""A short attack on a real service; `worldloom fuzz` makes long ones."""

from __future__ import annotations

from click.testing import CliRunner
from worldloom.serve.commands.fuzz import fuzz as fuzz_command
from worldloom.serve.fuzz.run import FuzzConfig, fuzz
from worldloom.serve.service import ServiceHandle


def test_an_attack_harms_nobody_and_every_wrong_message_is_answered(mock_service: ServiceHandle) -> None:
    sent: list[int] = []
    report = fuzz(mock_service.url, FuzzConfig(messages=4000, seed=2, attackers=1), sent.append)
    assert report.violations == []
    assert report.tally.messages == sum(sent) >= 4000
    assert {"action_invalid", "message_invalid"} <= set(report.tally.codes)
    assert report.canary.frames > 0


def test_the_command_tells_what_happened(mock_service: ServiceHandle) -> None:
    options = ["--url", mock_service.url, "--messages", "300", "--attackers", "1"]
    result = CliRunner().invoke(fuzz_command, options)
    assert result.exit_code == 0, result.output
    assert "no promise was broken" in result.output
