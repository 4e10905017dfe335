"""What became of a data set: which samples were kept, dropped or unreadable, and statistics of the kept ones."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...model.poses import STEP
from .filters import FilterConfig, first_fault
from .sample import Sample


@dataclass(kw_only=True, slots=True)
class Report:
    """Grows while samples pass; `to_json` is the report file."""

    filters: FilterConfig = field(default_factory=FilterConfig)
    unreadable: list[tuple[str, str]] = field(default_factory=list)
    """(file, reason)."""
    dropped: list[tuple[str, str, str]] = field(default_factory=list)
    """(sample, filter, reason)."""
    kept: int = 0
    frames: int = 0
    sources: Counter[str] = field(default_factory=Counter)
    keys: Counter[str] = field(default_factory=Counter)
    sums: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))

    def bad_file(self, name: str, reason: str) -> None:
        """Notes a file that could not be read."""
        self.unreadable.append((name, reason))

    def passing(self, samples: Iterable[Sample]) -> Iterator[Sample]:
        """The samples that every filter lets through; the others are noted."""
        for sample in samples:
            fault = first_fault(sample, self.filters)
            if fault is not None:
                self.dropped.append((sample.key, *fault))
                continue
            self._count(sample)
            yield sample

    def _count(self, sample: Sample) -> None:
        count = len(sample.frames)
        self.kept += 1
        self.frames += count
        self.sources[sample.source] += 1
        for column, key in enumerate("WSAD"):
            self.keys[key] += int((sample.keyboard[:, column] > 0.5).sum())
        walked = np.linalg.norm(np.diff(sample.extrinsics[:, :3, 3].astype(np.float64), axis=0), axis=1)
        self.sums["metres"] += float(walked.sum())
        self.sums["moving_frames"] += int((walked * 100 > 0.2 * STEP).sum())
        self.sums["turning_frames"] += int((np.abs(sample.mouse).max(1) >= 0.02).sum())
        self.sums["brightness"] += float(sample.frames.mean()) * count
        self.sums["prompts"] += len(sample.prompts)

    def statistics(self) -> dict[str, Any]:
        """Shares and means over all kept frames."""
        frames = max(self.frames, 1)
        return {
            "samples": self.kept,
            "frames": self.frames,
            "sources": dict(sorted(self.sources.items())),
            "metres_walked": round(self.sums["metres"], 2),
            "share_moving": round(self.sums["moving_frames"] / frames, 4),
            "share_turning": round(self.sums["turning_frames"] / frames, 4),
            "share_of_keys": {key: round(self.keys[key] / frames, 4) for key in "WSAD"},
            "mean_brightness": round(self.sums["brightness"] / frames, 2),
            "prompts_a_sample": round(self.sums["prompts"] / max(self.kept, 1), 2),
        }

    def to_json(self) -> dict[str, Any]:
        return {
            "statistics": self.statistics(),
            "dropped": [{"sample": key, "filter": name, "reason": why} for key, name, why in self.dropped],
            "unreadable": [{"file": name, "reason": why} for name, why in self.unreadable],
        }

    def write(self, path: Path) -> None:
        """Writes the report file."""
        path.write_text(json.dumps(self.to_json(), indent=1) + "\n")

    def lines(self) -> list[str]:
        """A summary to print: every bad file by name, then counts."""
        named = [f"skipped {name}: {why}" for name, why in self.unreadable]
        named += [f"dropped {key} ({name}): {why}" for key, name, why in self.dropped]
        numbers = self.statistics()
        return [
            *named,
            f"{self.kept} samples kept, {len(self.dropped)} dropped, {len(self.unreadable)} unreadable",
            f"{self.frames} frames, {numbers['metres_walked']} m walked, moving in {numbers['share_moving']:.0%}, "
            f"turning in {numbers['share_turning']:.0%}",
        ]
