"""What our code computes for each kind of golden case: tensors of an inputs file to those of the expected file.

Every size comes from the case's files. All is float32 on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor

from ..errors import CheckpointError, ConfigError, InputError
from ..memory.retrieval import select_frames
from ..model.arrays import to_tensor
from ..model.camera import PATCH, ray_map
from ..model.checkpoint import (
    TRANSFORMER_STEM,
    load_text,
    load_transformer,
    load_vae_decoder,
    load_vae_encoder,
    read_json,
)
from ..model.clip import FIRST_CLIP_LATENTS
from ..model.poses import clip_motion, extrinsics_of, integrate_poses
from ..model.quantization import Int8Linear, quantize_activation, quantize_weight
from ..model.sampler import unipc_schedule
from ..model.text_config import TextConfig
from ..model.vae_config import TIME_FACTOR, VAEConfig
from .parity_rollout import run_rollout

Tensors = Mapping[str, Tensor]
"""Inputs by name; floating ones are float32. A name that is not there raises InputError."""
Compute = Callable[[Tensors, Path], dict[str, Tensor]]
"""Inputs and the case's folder to outputs."""

CPU = torch.device("cpu")
SHIFT = 5.0
FIRST_PIECE_LATENTS = 3
"""A stream is decoded as its first three latents and then the rest."""
STILL_LATENTS = (0, 7, 14)
"""Latent frames of a first clip whose camera map is written for a camera that never moves."""


def compute_for(tensors: Tensors) -> Compute:
    """The computation of a case with these inputs. Raises InputError where it is of no known kind."""
    for names, compute in _KINDS:
        if names <= tensors.keys():
            return compute
    raise InputError(
        f"these inputs are no known case: {', '.join(sorted(tensors)) or 'no tensors'}",
        hint="See the README of the golden vectors for the names that each case has.",
    )


@torch.inference_mode()
def _transformer(tensors: Tensors, folder: Path) -> dict[str, Tensor]:
    model = load_transformer(folder, device=CPU, dtype=torch.float32)
    memory = tensors.get("x_memory")
    _, rows, columns = model.config.patch_size
    times = [_token_times(tensors, "t", tensors["x"], (rows, columns))]
    if memory is not None:
        times.insert(0, _token_times(tensors, "timestep_memory", memory, (rows, columns)))
    timesteps, segments = runs(torch.cat(times, dim=1))
    conditioning = model.prepare(
        context=tensors["context"],
        plucker=tensors["plucker_emb"],
        predict_range=tensors["predict_latent_idx"],
        keyboard=tensors.get("keyboard_cond"),
        mouse=tensors.get("mouse_cond"),
        memory_keyboard=tensors.get("keyboard_cond_memory"),
        memory_mouse=tensors.get("mouse_cond_memory"),
        memory_latent_idx=tensors.get("memory_latent_idx"),
    )
    velocity = model(tensors["x"], timesteps=timesteps, segments=segments, conditioning=conditioning, memory=memory)
    return {"velocity": velocity}


def _token_times(tensors: Tensors, name: str, latents: Tensor, patch: tuple[int, int]) -> Tensor:
    """(B, N) timesteps of the latents' tokens; a case may give one for all, and none for memory, which is clean."""
    batch, _, frames, height, width = latents.shape
    tokens = frames * (height // patch[0]) * (width // patch[1])
    if name not in tensors and name == "timestep_memory":
        return torch.zeros(batch, tokens)
    times = tensors[name].float().reshape(batch, -1)
    if times.shape[1] not in (1, tokens):
        raise InputError(f"{name} has {times.shape[1]} timesteps for {tokens} tokens", hint="Give one a token.")
    return times.expand(batch, tokens)


def runs(times: Tensor) -> tuple[Tensor, tuple[int, ...]]:
    """Timesteps (B, N) as runs of equal ones: values (B, S) and their S lengths, the same for the whole batch."""
    changes = (times[:, 1:] != times[:, :-1]).any(dim=0).nonzero().flatten() + 1
    starts = torch.cat([changes.new_zeros(1), changes])
    stops = torch.cat([changes, changes.new_full((1,), times.shape[1])])
    return times[:, starts], tuple((stops - starts).tolist())


@torch.inference_mode()
def _autoencoder(tensors: Tensors, folder: Path) -> dict[str, Tensor]:
    config = VAEConfig.from_dict(read_json(folder / "config.json"))
    weights = _only_weights(folder)
    outputs = {}
    if "video" in tensors:
        encoder, video = load_vae_encoder(weights, config, device=CPU, dtype=torch.float32), tensors["video"]
        for frames in {1, video.shape[2]}:
            # Frames that do not fill a group of four are not coded.
            whole = frames - (frames - 1) % TIME_FACTOR
            outputs[f"encode_{frames}"] = encoder.encode(video[:, :, :whole])
    if "latents" in tensors:
        decoder, latents = load_vae_decoder(weights, config, device=CPU, dtype=torch.float32), tensors["latents"]
        outputs["decode_all"], _ = decoder.decode(latents)
        outputs["stream_decode_0"], state = decoder.decode(latents[:, :, :FIRST_PIECE_LATENTS])
        if latents.shape[2] > FIRST_PIECE_LATENTS:
            outputs["stream_decode_1"], _ = decoder.decode(latents[:, :, FIRST_PIECE_LATENTS:], state)
    return outputs


@torch.inference_mode()
def _text(tensors: Tensors, folder: Path) -> dict[str, Tensor]:
    raw = read_json(folder / "config.json")
    if raw.get("shared_pos"):
        raise ConfigError("this text encoder shares one relative bias among its layers", hint="umT5 has one a layer.")
    known = {field.name for field in fields(TextConfig)}
    config = TextConfig(**{name: value for name, value in raw.items() if name in known})  # type: ignore[arg-type]
    network = load_text(_only_weights(folder), config, device=CPU, dtype=torch.float32)
    return {"hidden": network(tensors["ids"], tensors["mask"])}


def _scheduler(tensors: Tensors, _: Path) -> dict[str, Tensor]:
    velocities = tensors["velocities"]
    schedule = unipc_schedule(len(velocities), SHIFT)
    state, samples = schedule.start(tensors["sample"]), []
    for velocity in velocities:
        state = schedule.advance(state, velocity)
        samples.append(state.sample)
    return {
        "timesteps": torch.tensor([weights.timestep for weights in schedule.steps]),
        "sigmas": to_tensor(schedule.sigmas).float(),
        "samples": torch.stack(samples),
    }


def _rollout(tensors: Tensors, folder: Path) -> dict[str, Tensor]:
    return run_rollout(tensors, load_transformer(_transformer_folder(folder), device=CPU, dtype=torch.float32))


def _camera(tensors: Tensors, _: Path) -> dict[str, Tensor]:
    poses = integrate_poses(tensors["keyboard"].numpy(), tensors["mouse"].numpy())
    outputs = {"poses": to_tensor(poses), "extrinsics": to_tensor(extrinsics_of(poses))}
    if "query_frames" in tensors:
        wide = poses.astype("float64")
        chosen = select_frames(wide[tensors["query_frames"].numpy()], wide, int(tensors["first_candidate_past"]))
        outputs["memory_frame_idx_raw"] = to_tensor(chosen.frame_idx_raw)
        outputs["memory_overlap"] = to_tensor(chosen.overlap)
    if "image_size" in tensors:
        height, width = (int(size) // PATCH for size in tensors["image_size"])
        still = torch.eye(4, dtype=torch.float64).repeat(FIRST_CLIP_LATENTS, 1, 1)
        cameras = to_tensor(clip_motion(still.numpy())).float()
        plucker = ray_map(cameras, grid=(height, width), dtype=torch.float32)
        outputs["still_plucker"] = plucker[:, :, list(STILL_LATENTS)]
    return outputs


def _int8(tensors: Tensors, _: Path) -> dict[str, Tensor]:
    weight, weight_scales = quantize_weight(tensors["weight"])
    x_int8, x_scales = quantize_activation(tensors["x"])
    layer = Int8Linear(weight, weight_scales, tensors.get("bias"))
    return {
        "weight_int8": weight,
        "weight_scales": weight_scales,
        "x_int8": x_int8,
        "x_scales": x_scales,
        "y": layer(tensors["x"]).detach(),
    }


_KINDS: tuple[tuple[set[str], Compute], ...] = (
    ({"x", "plucker_emb"}, _transformer),
    ({"x", "weight"}, _int8),
    ({"keyboard", "mouse", "image_latent"}, _rollout),
    ({"keyboard", "mouse"}, _camera),
    ({"sample", "velocities"}, _scheduler),
    ({"ids", "mask"}, _text),
    ({"video"}, _autoencoder),
    ({"latents"}, _autoencoder),
)
"""The first whose names a case has is its kind."""


def _transformer_folder(folder: Path) -> Path:
    """The case's own weights or those of the transformer case beside it: `rollout_x` uses `dit_x`, or `dit`, or what
    else is there."""
    beside = [path.parent for path in sorted(folder.parent.glob(f"*/{TRANSFORMER_STEM}*.safetensors"))]
    preferred = [folder, folder.with_name(folder.name.replace("rollout", "dit")), folder.with_name("dit")]
    for candidate in [*preferred, *beside]:
        if candidate in beside:
            return candidate
    raise CheckpointError(
        f"there is no transformer for {folder}", hint=f"Put config.json and weights into {preferred[-1]}."
    )


def _only_weights(folder: Path) -> Path:
    """The one weights file of a folder, besides inputs and expected outputs."""
    found = [
        path
        for path in sorted(folder.iterdir())
        if path.suffix in (".pth", ".safetensors") and not path.stem.endswith(("inputs", "expected"))
    ]
    if len(found) != 1:
        names = ", ".join(path.name for path in found) or "none"
        raise CheckpointError(f"{folder} must hold one weights file, it has {names}", hint="Leave one .pth file there.")
    return found[0]
