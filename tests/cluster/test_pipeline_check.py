"""The pipeline's promises, as they are checked before a GPU is measured."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from worldloom.cluster.local_pipeline import LocalPipeline
from worldloom.cluster.pipeline_check import digest, plays_without_waiting, same_bits, stage_seconds
from worldloom.model.precision import Precision
from worldloom.model.preset import load_preset

TINY = load_preset("tiny")
GPU_PRESET = """
extends = "pocket"
name = "pocket-gpu"
description = "The pocket model as GPUs compute it"
dtype = "bfloat16"
num_gpus = 1

[weights]
source = "random"
"""

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_a_digest_depends_on_the_precision_and_on_nothing_else() -> None:
    exact, again, rounded = (
        digest(LocalPipeline(TINY.with_precision(precision), device="cpu"))
        for precision in (Precision.BF16, Precision.BF16, Precision.FP8)
    )
    assert exact == again != rounded


def test_a_chunks_time_is_told_by_stages() -> None:
    pipeline = LocalPipeline(TINY, device="cpu")
    figures = stage_seconds(pipeline, chunks=2)
    assert {"plan", "retrieve", "launch", "prepare", "step0", "commit", "decode", "chunk"} <= set(figures)
    assert float(figures["fps"]) * float(figures["chunk"]) == pytest.approx(40)
    assert plays_without_waiting(pipeline) == {"chunks": 4}


@pytest.fixture
def gpu_preset(tmp_path: Path) -> Path:
    path = tmp_path / "pocket-gpu.toml"
    path.write_text(GPU_PRESET)
    return path


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", ["bf16", "int8", "fp8"])
def test_two_fresh_processes_make_the_same_bits(gpu_preset: Path, precision: str) -> None:
    assert same_bits(["--preset", str(gpu_preset), "--precision", precision])["same"]


@pytest.mark.gpu
@needs_gpu
@pytest.mark.parametrize("precision", [Precision.BF16, Precision.INT8, Precision.FP8])
def test_nothing_waits_for_the_gpu_inside_a_chunk(gpu_preset: Path, precision: Precision) -> None:
    pipeline = LocalPipeline(load_preset(gpu_preset).with_precision(precision), device="cuda")
    pipeline.warm_up()
    assert plays_without_waiting(pipeline) == {"chunks": 4}
