"""Which GPU can run which precision."""

from __future__ import annotations

import pytest
from worldloom.errors import DoesNotFit
from worldloom.model.precision import Precision, require_precision


@pytest.mark.parametrize("precision", Precision)
def test_a_cpu_and_a_hopper_gpu_run_everything(precision: Precision) -> None:
    require_precision(precision, None)
    require_precision(precision, (9, 0))


@pytest.mark.parametrize(
    ("precision", "capability"),
    [
        (Precision.FP8, (8, 6)),
        (Precision.FP8_ATTENTION, (8, 9)),
        (Precision.INT8, (7, 5)),
    ],
)
def test_an_older_gpu_is_refused_with_its_number_and_what_it_needs(
    precision: Precision, capability: tuple[int, int]
) -> None:
    with pytest.raises(DoesNotFit, match=rf"{precision} needs .* has {capability[0]}\.{capability[1]}"):
        require_precision(precision, capability)


def test_an_older_gpu_computes_in_its_own_way() -> None:
    require_precision(Precision.BF16, (7, 0))
    require_precision(Precision.INT8, (8, 0))
    require_precision(Precision.FP8, (8, 9))
