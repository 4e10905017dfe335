"""What a benchmark ran on: device, versions, commit."""

from __future__ import annotations

import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from ...errors import DoesNotFit

CPU_INFO = Path("/proc/cpuinfo")
UNKNOWN_COMMIT = "unknown"
_PACKAGES = ("torch", "triton", "fa3-fwd", "numpy", "ray")


def where_it_ran(device: str, *, commit: str | None = None) -> dict[str, Any]:
    """The fields of a record that say on what it was measured: device, versions, commit.

    The model is on torch device `device`; 'cpu' imports no torch. `commit` is for where this is no git checkout.
    """
    name, versions = cpu_name(), {"python": platform.python_version(), **_installed()}
    if device != "cpu":
        import torch

        name = torch.cuda.get_device_name(device)
        # With the build's suffix, which the installed package's version may lack.
        versions |= {"torch": str(torch.__version__), "cuda": str(torch.version.cuda)}
    return {"device": name, "versions": versions, "commit": commit or checkout_commit()}


def checkout_commit() -> str:
    """Abbreviated hash of the checkout that this package lies in, with '-dirty' where tracked files differ from it."""
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty", "--match="]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return UNKNOWN_COMMIT


def cpu_name() -> str:
    """As the system calls it."""
    lines = CPU_INFO.read_text(encoding="utf-8").splitlines() if CPU_INFO.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{models[0]}, {len(models)} cores" if models else platform.processor() or platform.machine()


def _installed() -> dict[str, str]:
    versions = {}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return versions


def peak_memory_gb() -> float | None:
    """10⁹ bytes that PyTorch has held at once on this process's fullest GPU; None if it has used none."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    peak: float = max(torch.cuda.max_memory_reserved(index) for index in range(torch.cuda.device_count())) / 1e9
    return peak


def limit_memory(device: str, limit_gb: float) -> None:
    """Let PyTorch hold at most so many 10⁹ bytes of a GPU, as if it had no more. Raises DoesNotFit on the CPU, or where
    the GPU has less."""
    import torch

    total_gb = 0.0 if device == "cpu" else torch.cuda.get_device_properties(device).total_memory / 1e9
    if limit_gb > total_gb:
        raise DoesNotFit(
            f"a limit of {limit_gb:g} GB is asked for, {device} has {total_gb:.1f} GB of GPU memory",
            hint="Lower the limit, or take it away on the CPU.",
        )
    torch.cuda.set_per_process_memory_fraction(limit_gb / total_gb, device)
