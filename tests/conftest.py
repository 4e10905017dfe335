"""One Ray cluster for the whole test run, and one mock service on it; tests that share something stay together."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import ray
from worldloom.cluster.config import ClusterConfig
from worldloom.model.preset import load_preset
from worldloom.serve.ports import free_port
from worldloom.serve.ray_start import start_ray
from worldloom.serve.service import ServiceConfig, ServiceHandle, start_service

SHARED = ("http_port", "browser", "processes")
"""Fixtures with processes of their own, of which a test run has one each."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """`pytest -n` runs tests of one group one after another in the same process: those that share a fixture of
    `SHARED`, or else those of one file, whose fixtures may be dear."""
    for item in items:
        used = getattr(item, "fixturenames", ())
        shared = next((name for name in SHARED if name in used), None)
        group = shared or f"{item.path.parent.name}/{item.path.stem}"
        item.add_marker(pytest.mark.xdist_group(name=group))


@pytest.fixture(scope="session")
def http_port() -> Iterator[int]:
    """Starts Ray. Returns the port on which Serve answers HTTP, which every service on the cluster shares."""
    start_ray("local", verbose=False)
    logging.getLogger("ray").setLevel(logging.ERROR)
    yield free_port("127.0.0.1")
    ray.shutdown()


@pytest.fixture(scope="session")
def mock_service(http_port: int) -> Iterator[ServiceHandle]:
    """A service without a model. Tests may kill its processes, and leave it as soon as it works again."""
    cluster = ClusterConfig(preset=load_preset("mock"), sessions_per_group=3, lease_s=3.0, health_check_s=1.0)
    with start_service(ServiceConfig(cluster=cluster, port=http_port)) as handle:
        yield handle
