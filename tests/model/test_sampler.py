import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.errors import ConfigError
from worldloom.model.sampler import unipc_schedule

from .golden import load_golden, relative_error


@pytest.mark.parametrize("num_steps", [3, 4, 50])
def test_levels_timesteps_and_every_sample_match_the_reference(num_steps: int) -> None:
    case = load_golden(f"scheduler/steps{num_steps}.inputs")
    expected = load_golden(f"scheduler/steps{num_steps}.expected")
    schedule = unipc_schedule(num_steps)
    assert [weights.timestep for weights in schedule.steps] == expected["timesteps"].tolist()
    assert np.array_equal(schedule.sigmas.astype(np.float32), expected["sigmas"].numpy())
    state = schedule.start(case["sample"])
    for velocity, sample in zip(case["velocities"], expected["samples"], strict=True):
        state = schedule.advance(state, velocity)
        assert relative_error(state.sample, sample) < 5e-6


@given(num_steps=st.integers(1, 60), shift=st.floats(1, 12))
@settings(deadline=None)
def test_a_network_that_knows_the_clean_sample_is_followed_to_it(num_steps: int, shift: float) -> None:
    clean = torch.linspace(-2, 2, 7)
    schedule = unipc_schedule(num_steps, shift)
    state = schedule.start(torch.linspace(1, -1, 7))
    for weights in schedule.steps:
        state = schedule.advance(state, (state.sample - clean) / weights.sigma)
    torch.testing.assert_close(state.sample, clean, rtol=0, atol=1e-4)


def test_a_step_can_be_repeated_from_the_same_state() -> None:
    schedule = unipc_schedule(4)
    state = schedule.advance(schedule.start(torch.ones(3)), torch.zeros(3))
    velocity = torch.tensor([0.5, -1.0, 2.0])
    once, again = schedule.advance(state, velocity), schedule.advance(state, velocity)
    assert torch.equal(once.sample, again.sample)


@pytest.mark.parametrize(("num_steps", "shift"), [(0, 5.0), (-1, 5.0), (3, 0.0)])
def test_impossible_schedules_are_refused(num_steps: int, shift: float) -> None:
    with pytest.raises(ConfigError, match=str(num_steps)):
        unipc_schedule(num_steps, shift)
