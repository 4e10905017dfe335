"""`python -m worldloom.serve.bench`: `worldloom bench` without an installed package."""

from __future__ import annotations

from ..commands.bench import bench

bench()
