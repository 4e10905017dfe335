"""The transformer against the reference's vectors, and what must hold for any weights."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor
from worldloom.model.action_config import ActionConfig
from worldloom.model.init import init_weights
from worldloom.model.quantization import quantize_module
from worldloom.model.transformer import PLUCKER_CHANNELS, TransformerConfig, WorldTransformer

from .golden import load_golden, load_transformer, relative_error

ACTIONS = ActionConfig(
    blocks=(0,),
    heads_num=2,
    hidden_size=8,
    img_hidden_size=32,
    keyboard_dim_in=6,
    keyboard_hidden_dim=32,
    mouse_dim_in=2,
    mouse_hidden_dim=32,
    mouse_qk_dim_list=(4, 6, 6),
    rope_dim_list=(4, 6, 6),
    rope_theta=256,
)
CONFIG = TransformerConfig(
    in_dim=4,
    out_dim=4,
    dim=32,
    ffn_dim=64,
    num_heads=2,
    num_layers=2,
    text_dim=12,
    text_len=6,
    freq_dim=16,
    use_memory=True,
    sigma_theta=0.8,
    action_config=ACTIONS,
)
MEMORY, FRAMES, GRID = 2, 3, (4, 6)
TOKENS = GRID[0] * GRID[1] // 4


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Random inputs of a small clip, for `prepare` and for `forward`."""

    prepare: dict[str, Any]
    forward: dict[str, Any]

    def velocity(self, model: WorldTransformer, *, camera_cache: bool = True) -> Tensor:
        conditioning = model.prepare(**self.prepare, camera_cache=camera_cache)
        out: Tensor = model(**self.forward, conditioning=conditioning)
        return out

    def but(self, **changes: Any) -> Clip:
        """The same clip with other inputs, by the names of either call."""
        prepare = {name: changes.get(name, value) for name, value in self.prepare.items()}
        return Clip(prepare=prepare, forward={name: changes.get(name, value) for name, value in self.forward.items()})


def random_clip(seed: int = 0, *, batch: int = 1) -> Clip:
    generator = torch.Generator().manual_seed(seed)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    return Clip(
        prepare={
            "context": randn(batch, 4, CONFIG.text_dim),
            "plucker": randn(batch, PLUCKER_CHANNELS, MEMORY + FRAMES, *GRID),
            "keyboard": randn(batch, 4 * FRAMES, 6),
            "mouse": randn(batch, 4 * FRAMES, 2),
            "memory_keyboard": randn(batch, MEMORY, 6),
            "memory_mouse": randn(batch, MEMORY, 2),
            "memory_latent_idx": torch.tensor([9, 4]),
            "predict_range": (20, 20 + FRAMES),
        },
        forward={
            "x": randn(batch, 4, FRAMES, *GRID),
            "timesteps": torch.tensor([0.0, 900.0]),
            "segments": ((MEMORY + 1) * TOKENS, (FRAMES - 1) * TOKENS),
            "memory": randn(batch, 4, MEMORY, *GRID),
        },
    )


def seeded_model(config: TransformerConfig = CONFIG) -> WorldTransformer:
    model = WorldTransformer(config)
    init_weights(model, seed=1)
    return model.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def small() -> WorldTransformer:
    return seeded_model()


@pytest.fixture(scope="module")
def reference() -> WorldTransformer:
    return load_transformer()


@torch.no_grad()
def golden_velocity(model: WorldTransformer, case: str) -> Tensor:
    inputs = load_golden(f"dit/{case}.inputs")
    start, stop = inputs["predict_latent_idx"].tolist()
    conditioning = model.prepare(
        context=inputs["context"],
        plucker=inputs["plucker_emb"],
        keyboard=inputs["keyboard_cond"],
        mouse=inputs["mouse_cond"],
        memory_keyboard=inputs.get("keyboard_cond_memory"),
        memory_mouse=inputs.get("mouse_cond_memory"),
        memory_latent_idx=inputs.get("memory_latent_idx"),
        predict_range=(start, stop),
    )
    timesteps = torch.cat([inputs.get("timestep_memory", torch.zeros(1, 0)), inputs["t"]], dim=1)[0]
    values, counts = torch.unique_consecutive(timesteps, return_counts=True)
    velocity: Tensor = model(
        inputs["x"],
        timesteps=values,
        segments=tuple(counts.tolist()),
        conditioning=conditioning,
        memory=inputs.get("x_memory"),
    )
    return velocity


@pytest.mark.parametrize("case", ["first_clip", "memory_clip"])
def test_velocity_matches_the_reference(reference: WorldTransformer, case: str) -> None:
    expected = load_golden(f"dit/{case}.expected")["velocity"]
    assert relative_error(golden_velocity(reference, case), expected) < 5e-6


def test_bfloat16_weights_stay_close_to_the_reference() -> None:
    expected = load_golden("dit/memory_clip.expected")["velocity"]
    velocity = golden_velocity(load_transformer().to(torch.bfloat16), "memory_clip")
    assert velocity.dtype == torch.float32
    assert relative_error(velocity, expected) < 2e-2


def test_int8_attention_stays_close_to_the_reference() -> None:
    model = load_transformer()
    quantize_module(model)
    expected = load_golden("dit/memory_clip.expected")["velocity"]
    assert 1e-6 < relative_error(golden_velocity(model, "memory_clip"), expected) < 2e-2


def test_camera_terms_computed_in_every_step_give_the_same_velocity(small: WorldTransformer) -> None:
    clip = random_clip()
    assert torch.equal(clip.velocity(small), clip.velocity(small, camera_cache=False))


def test_only_differences_of_latent_indices_matter(small: WorldTransformer) -> None:
    clip = random_clip()
    moved = clip.but(memory_latent_idx=torch.tensor([109, 104]), predict_range=(120, 120 + FRAMES))
    assert relative_error(moved.velocity(small), clip.velocity(small)) < 1e-5
    torn = clip.but(predict_range=(120, 120 + FRAMES))
    assert relative_error(torn.velocity(small), clip.velocity(small)) > 1e-4


def test_without_actions_the_order_of_memory_frames_does_not_matter() -> None:
    model = seeded_model(replace(CONFIG, action_config=None))
    clip = random_clip()
    swapped = [1, 0, *range(MEMORY, MEMORY + FRAMES)]
    other = clip.but(
        memory=clip.forward["memory"].flip(2),
        plucker=clip.prepare["plucker"][:, :, swapped],
        memory_latent_idx=clip.prepare["memory_latent_idx"].flip(0),
    )
    assert relative_error(other.velocity(model), clip.velocity(model)) < 1e-6
    indices_only = clip.but(memory_latent_idx=clip.prepare["memory_latent_idx"].flip(0))
    assert relative_error(indices_only.velocity(model), clip.velocity(model)) > 1e-4


def test_a_batch_gives_each_sample_what_it_gets_alone(small: WorldTransformer) -> None:
    clips = [
        random_clip(0),
        random_clip(1).but(
            memory_latent_idx=torch.tensor([2, 30]),
            predict_range=(40, 40 + FRAMES),
            timesteps=torch.tensor([0.0, 300.0]),
        ),
    ]
    both = random_clip(batch=2).but(
        **{
            name: torch.cat([getattr(clip, call)[name] for clip in clips])
            for call, names in {
                "prepare": ("context", "plucker", "keyboard", "mouse", "memory_keyboard", "memory_mouse"),
                "forward": ("x", "memory"),
            }.items()
            for name in names
        },
        memory_latent_idx=torch.stack([clip.prepare["memory_latent_idx"] for clip in clips]),
        predict_range=torch.tensor([clip.prepare["predict_range"] for clip in clips]),
        timesteps=torch.stack([clip.forward["timesteps"] for clip in clips]),
    )
    velocity = both.velocity(small)
    for index, clip in enumerate(clips):
        assert relative_error(velocity[index], clip.velocity(small)[0]) < 1e-5


def test_a_run_of_tokens_may_be_cut_anywhere(small: WorldTransformer) -> None:
    clip = random_clip()
    clean, noisy = clip.forward["segments"]
    cut = clip.but(timesteps=torch.tensor([0.0, 0.0, 900.0, 900.0]), segments=(5, clean - 5, noisy - 7, 7))
    assert relative_error(cut.velocity(small), clip.velocity(small)) < 1e-6


def test_timesteps_of_memory_and_clip_act_on_their_own_frames(small: WorldTransformer) -> None:
    clip = random_clip()
    other = clip.but(timesteps=torch.tensor([900.0, 900.0]))
    assert relative_error(other.velocity(small), clip.velocity(small)) > 1e-3


def test_short_texts_are_padded_with_zeros(small: WorldTransformer) -> None:
    clip = random_clip()
    context = clip.prepare["context"]
    padded = torch.cat([context, torch.zeros(1, 2, CONFIG.text_dim)], dim=1)
    assert torch.equal(clip.but(context=padded).velocity(small), clip.velocity(small))
    assert torch.equal(clip.but(context=context[0]).velocity(small), clip.velocity(small))


def test_a_model_without_memory_ignores_it() -> None:
    model = seeded_model(replace(CONFIG, use_memory=False))
    clip = random_clip()
    blind = clip.but(
        plucker=clip.prepare["plucker"][:, :, MEMORY:],
        memory_keyboard=None,
        memory_mouse=None,
        memory_latent_idx=None,
        memory=None,
        segments=(TOKENS, (FRAMES - 1) * TOKENS),
    )
    assert torch.equal(clip.velocity(model), blind.velocity(model))


def test_memory_changes_what_a_model_with_memory_says(small: WorldTransformer) -> None:
    clip = random_clip()
    other = clip.but(memory=clip.forward["memory"] + 1)
    assert relative_error(other.velocity(small), clip.velocity(small)) > 1e-4


def test_a_model_without_actions_ignores_them() -> None:
    model = seeded_model(replace(CONFIG, action_config=None))
    clip = random_clip()
    assert torch.equal(clip.but(keyboard=None, mouse=None).velocity(model), clip.velocity(model))


@pytest.mark.parametrize("camera_cache", [True, False])
def test_gradients_reach_every_parameter_that_is_used(camera_cache: bool) -> None:
    model = WorldTransformer(CONFIG)
    init_weights(model, seed=1)
    torch.autograd.backward(random_clip().velocity(model, camera_cache=camera_cache).square().sum())
    without = {name for name, parameter in model.named_parameters() if parameter.grad is None}
    assert without == {name for name, parameter in model.named_parameters() if not parameter.requires_grad}
    assert all(name.endswith(("attn_q_norm.weight", "attn_k_norm.weight")) for name in without)


def test_a_bfloat16_model_has_gradients_in_its_own_dtype() -> None:
    model = WorldTransformer(CONFIG)
    init_weights(model, seed=1)
    torch.autograd.backward(random_clip().velocity(model).square().sum())
    exact = {name: parameter.grad for name, parameter in model.named_parameters()}
    model = model.to(torch.bfloat16)
    model.zero_grad()
    torch.autograd.backward(random_clip().velocity(model).square().sum())
    for name in ("blocks.0.self_attn.q.weight", "blocks.1.cam_scale_layer.weight", "blocks.0.modulation"):
        grad, expected = model.get_parameter(name).grad, exact[name]
        assert grad is not None and expected is not None
        assert grad.dtype == torch.bfloat16
        assert relative_error(grad, expected) < 0.1


def test_autocast_keeps_timesteps_in_float32(small: WorldTransformer) -> None:
    timesteps = torch.tensor([[1.0, 899.0]])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        automatic = small.embed_times(timesteps)
        velocity = random_clip().velocity(small)
    assert all(torch.equal(a, b) for a, b in zip(automatic, small.embed_times(timesteps), strict=True))
    assert relative_error(velocity, random_clip().velocity(small)) < 2e-2


def test_a_forward_compiles_into_one_graph(small: WorldTransformer) -> None:
    clip = random_clip()
    conditioning = small.prepare(**clip.prepare)
    compiled = torch.compile(small, backend="eager", fullgraph=True)
    assert torch.equal(compiled(**clip.forward, conditioning=conditioning), clip.velocity(small))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"plucker": torch.zeros(1, 6, MEMORY + FRAMES, *GRID)}, "1536 channels"),
        ({"predict_range": (20, 24)}, "not the 3 of the camera map"),
        ({"context": torch.zeros(7, CONFIG.text_dim)}, "at most 6 rows of 12"),
        ({"keyboard": torch.zeros(1, 16, 6)}, "16 action rows for 3 latent frames"),
        ({"keyboard": None}, "needs keyboard and mouse"),
        ({"segments": (5, 5)}, "there are 30 tokens"),
        ({"memory": None}, "3 latent frames, memory included; 5 were prepared"),
    ],
)
def test_inputs_that_disagree_are_refused_with_their_numbers(
    small: WorldTransformer, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        random_clip().but(**changes).velocity(small)
