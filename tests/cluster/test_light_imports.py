"""Processes that touch no tensor load no torch."""

from __future__ import annotations

import subprocess
import sys

LIGHT = (
    "worldloom.cluster.directory",
    "worldloom.cluster.group",
    "worldloom.cluster.store",
    "worldloom.cluster.decoders",
    "worldloom.serve.app",
    "worldloom.serve.gateway",
    "worldloom.serve.service",
    "worldloom.serve.commands.serve",
)


def test_leader_store_directory_gateway_and_http_import_no_torch() -> None:
    lines = [f"import {module}" for module in LIGHT]
    lines += ["from worldloom.cluster.engines import make_engine", "from worldloom.model.preset import load_preset"]
    lines += ["make_engine(load_preset('mock'))", "import sys", "assert 'torch' not in sys.modules"]
    subprocess.run([sys.executable, "-c", "; ".join(lines)], check=True)
