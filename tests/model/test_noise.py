import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from worldloom.model.noise import chunk_noise

SHAPE = (16, 10, 8, 14)


def test_the_same_place_of_a_history_has_the_same_noise_whatever_the_global_generator_does() -> None:
    torch.manual_seed(1)
    first = chunk_noise(SHAPE, seed=3, branch=1, chunk=2)
    torch.manual_seed(2)
    second = chunk_noise(SHAPE, seed=3, branch=1, chunk=2)
    assert torch.equal(first, second)
    assert first.dtype == torch.float32
    assert first.device.type == "cpu"


def test_drawing_noise_leaves_the_global_generator_alone() -> None:
    state = torch.get_rng_state()
    chunk_noise(SHAPE, seed=0, branch=0, chunk=0)
    assert torch.equal(torch.get_rng_state(), state)


@settings(max_examples=30, deadline=None)
@given(
    key=st.tuples(st.integers(-(2**63), 2**64), st.integers(0, 2**31), st.integers(0, 2**31)),
    field=st.integers(0, 2),
)
def test_neighbouring_keys_give_independent_standard_normal_noise(key: tuple[int, int, int], field: int) -> None:
    other = tuple(value + (index == field) for index, value in enumerate(key))
    here, there = (chunk_noise(SHAPE, seed=s, branch=b, chunk=c) for s, b, c in (key, other))
    bound = 6 / here.numel() ** 0.5
    assert abs(here.mean()) < bound
    assert abs(here.var() - 1) < 2 * bound
    assert abs((here * there).mean()) < bound


def test_numbers_of_a_key_do_not_run_together() -> None:
    assert not torch.equal(
        chunk_noise(SHAPE, seed=1, branch=11, chunk=1), chunk_noise(SHAPE, seed=11, branch=1, chunk=1)
    )
