"""Which expert runs when."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from worldloom.errors import ConfigError
from worldloom.model.mixture import ExpertMixture, MixtureConfig


@given(boundary=st.floats(0, 1), timestep=st.floats(0, 999))
def test_the_boundary_parts_high_from_low_noise(boundary: float, timestep: float) -> None:
    expert = MixtureConfig(boundary=boundary).expert_for(timestep, "third_person")
    assert expert == ("high_noise_third_person" if timestep >= 1000 * boundary else "low_noise")


def test_viewpoints_have_their_own_high_noise_expert_and_share_the_low_noise_one() -> None:
    mixture = ExpertMixture(MixtureConfig(), {name: name.upper() for name in MixtureConfig().experts})
    assert mixture.expert_for(999, "first_person") == "HIGH_NOISE_FIRST_PERSON"
    assert mixture.expert_for(900, "third_person") == "HIGH_NOISE_THIRD_PERSON"
    assert mixture.expert_for(899, "first_person") == mixture.expert_for(0, "third_person") == "LOW_NOISE"


def test_a_mixture_may_serve_a_single_viewpoint() -> None:
    config = MixtureConfig.from_dict({"boundary": 0.5, "viewpoints": ["first_person"]})
    assert config.experts == ("high_noise_first_person", "low_noise")
    with pytest.raises(ConfigError, match="no expert for viewpoint 'third_person'"):
        config.expert_for(100, "third_person")


def test_a_missing_expert_is_named() -> None:
    with pytest.raises(ConfigError, match="lacks high_noise_third_person"):
        ExpertMixture(MixtureConfig(), {"high_noise_first_person": 1, "low_noise": 2})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ({"boundary": 1.5}, "boundary is 1.5"),
        ({"boundary": "high"}, "boundary is 'high'"),
        ({"viewpoints": []}, r"viewpoints is \(\)"),
        ({"viewpoints": ["above"]}, "viewpoints is .*above"),
        ({"viewpoints": [1]}, r"viewpoints is \[1\]"),
    ],
)
def test_a_config_that_cannot_work_is_refused(raw: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        MixtureConfig.from_dict(raw)
