"""Records to test with."""

from __future__ import annotations

from typing import Any

from worldloom.serve.bench.records import EngineRecord, GatewayRecord, ServedRecord

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
TIMES = ("action_to_frame", "create_to_frame_text", "create_to_frame_image", "create_to_clip")
SERVED: dict[str, Any] = {
    **COMMON,
    "codec": "jpeg",
    "seconds": 60,
    "frames": 2490,
    "late_frames": 3,
    "frame_rate": 40,
    "steps_s": 0.8,
    **{f"{what}_{share}_s": 1.2 for what in TIMES for share in ("p50", "p95")},
}

GATEWAY: dict[str, Any] = {
    **{name: COMMON[name] for name in ("device", "versions", "commit", "source")},
    "frame_rate": 40,
    "frame_bytes": 60_000,
    "seconds": 10,
    "limit_sessions": 32,
    "loads": [
        {"sessions": 32, "overhead_p50_s": 0.01, "overhead_p95_s": 0.03, "overhead_p99_s": 0.05, "loss": 0},
        {"sessions": 64, "overhead_p50_s": 0.2, "overhead_p95_s": 0.3, "overhead_p99_s": 0.4, "loss": 0.005},
    ],
}


def engine_record(**changes: Any) -> EngineRecord:
    return EngineRecord.model_validate({**ENGINE, **changes})


def served_record(**changes: Any) -> ServedRecord:
    return ServedRecord.model_validate({**SERVED, **changes})


def gateway_record(**changes: Any) -> GatewayRecord:
    return GatewayRecord.model_validate({**GATEWAY, **changes})
