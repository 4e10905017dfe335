"""Makes the virtual environment that `make` uses: `setup_env.py DIR TORCH_PIP_ARGUMENT…`.

Runs on the system's Python with the standard library alone. Refuses to download PyTorch's CUDA packages, several
gigabytes of them, onto a machine that has no NVIDIA GPU.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import venv
from pathlib import Path

MINIMUM = (3, 11)


def fail(message: str, hint: str) -> None:
    sys.exit(f"error: {message}\nhint: {hint}")


def pip(env: Path, *arguments: str) -> None:
    command = [str(env / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", *arguments]
    if subprocess.run(command, check=False).returncode:
        fail(
            f"pip {' '.join(arguments)} failed", "see pip's own message above; run the same make command again to retry"
        )


def cuda_packages(env: Path, torch: list[str]) -> list[str]:
    """Names of the CUDA packages that installing `torch` would bring along."""
    command = [str(env / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    report = subprocess.run(
        [*command, "--dry-run", "--report", "-", *torch], check=False, capture_output=True, text=True
    )
    if report.returncode:
        fail(f"pip cannot find {' '.join(torch)}", f"pip says: {report.stderr.strip()[-500:]}")
    names = [item["metadata"]["name"] for item in json.loads(report.stdout)["install"]]
    return [name for name in names if name.startswith("nvidia-") or name == "cuda-toolkit"]


def main() -> None:
    if sys.version_info < MINIMUM:
        fail(
            f"Python {sys.version.split()[0]} is too old, worldloom needs {MINIMUM[0]}.{MINIMUM[1]} or newer",
            "name a newer one: make demo PYTHON=python3.12",
        )
    env, torch = Path(sys.argv[1]), sys.argv[2:]
    # An environment that another Python made, or that a stopped run left half-made, is not worth repairing.
    venv.create(env, with_pip=True, clear=True)
    has_gpu = shutil.which("nvidia-smi") is not None
    if not has_gpu and (found := cuda_packages(env, torch)):
        fail(
            f"{' '.join(torch)} would bring {len(found)} CUDA packages (gigabytes) and this machine has no NVIDIA GPU",
            "pass pip arguments for a CPU build, as pytorch.org/get-started/locally shows under 'CPU':"
            " make demo TORCH='torch --index-url …'; or TORCH='torch==2.13.0 --no-cache-dir' on a machine with a GPU",
        )
    print(f"Setting up {env} (a few minutes the first time)", flush=True)
    pip(env, "install", "--quiet", *torch)
    pip(env, "install", "--quiet", "--editable", ".[dev]")
    (env / ".ready").touch()


if __name__ == "__main__":
    main()
