"""Records to test with."""

from __future__ import annotations

from typing import Any

from worldloom.serve.bench.records import EngineRecord, ServedRecord

COMMON: dict[str, Any] = {
    "preset": "mg3-5b",
    "gpus": 1,
    "sessions": 1,
    "height": 704,
    "width": 1280,
    "steps": 3,
    "precision": "fp8",
    "decoder": "p75",
    "placement": "single",
    "fps": 41.5,
    "fps_total": 41.5,
    "device": "NVIDIA H200",
    "versions": {"python": "3.12.3", "torch": "2.11.0+cu130"},
    "commit": "abc1234",
    "source": "measured",
}
ENGINE: dict[str, Any] = {
    **COMMON,
    "stages": {"plan": 0.001, "steps": 0.8, "decode": 0.1, "chunk": 0.96, "chunk_p95": 0.97},
    "first_frame_s": 1.5,
    "peak_memory_gb": 21.2,
}
SERVED: dict[str, Any] = {
    **COMMON,
    "codec": "jpeg",
    "seconds": 60,
    "frames": 2490,
    "late_frames": 3,
    "action_to_frame_p50_s": 1.2,
    "action_to_frame_p95_s": 1.9,
    "create_to_frame_text_s": 1.7,
    "create_to_frame_image_s": 1.8,
}


def engine_record(**changes: Any) -> EngineRecord:
    return EngineRecord.model_validate({**ENGINE, **changes})


def served_record(**changes: Any) -> ServedRecord:
    return ServedRecord.model_validate({**SERVED, **changes})
