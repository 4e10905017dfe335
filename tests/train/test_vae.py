"""The VAE stage: it learns what it is shown, its fast path computes the same, its figures mean what they say."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import torch
from worldloom.model.preset import load_preset
from worldloom.train.autoencoder import Autoencoder
from worldloom.train.compiling import channels_last
from worldloom.train.evaluation.metrics import psnr
from worldloom.train.frames import CropConfig, FramePool, draw_pixels, to_signed
from worldloom.train.fused import fuse_norms
from worldloom.train.muon import OptimizerConfig
from worldloom.train.picture_loss import PictureLossConfig, picture_loss
from worldloom.train.stage import Learner
from worldloom.train.vae import latent_stats

from .tiny_worlds import workplace

CROP = CropConfig(until=1.0, clips=2, frames=5, height=32, width=32)


def gradients() -> FramePool:
    """Two clips of smooth colours that drift."""
    t, y, x = torch.meshgrid(torch.arange(9), torch.arange(48), torch.arange(64), indexing="ij")
    red, green, blue = 2 * y + 3 * t, 3 * x, 255 - 2 * x - y
    clip = torch.stack([red, green, blue], dim=-1).clamp(0, 255).to(torch.uint8)
    return FramePool(torch.stack([clip, 255 - clip]))


def test_autoencoder_learns_a_small_pool(tmp_path: Path) -> None:
    place = workplace(tmp_path)
    torch.manual_seed(0)
    network = Autoencoder(place.preset.vae)
    learner = Learner(network, OptimizerConfig(muon_lr=0.02, adam_lr=0.01), 0.9, place)
    pool, generator = gradients(), torch.Generator().manual_seed(0)
    qualities = []
    for step in range(40):
        video = pool.draw(CROP, generator, torch.float32)
        made, divergence = network(video, torch.zeros(network.latent_shape(video)))
        loss = picture_loss(PictureLossConfig(), draw_pixels(made), draw_pixels(video))
        learner.pace(1.0 - step / 40)
        learner.learn(loss + 1e-5 * divergence)
        qualities.append(float(psnr(draw_pixels(made.detach()), draw_pixels(video)).mean()))
    assert sum(qualities[-5:]) / 5 > sum(qualities[:5]) / 5 + 5.0


def test_fused_and_reordered_network_computes_the_same_under_the_same_names() -> None:
    torch.manual_seed(0)
    plain = Autoencoder(load_preset("tiny").vae)
    quick = copy.deepcopy(plain)
    assert fuse_norms(quick, compiled=False) > 10
    channels_last(quick)
    video = torch.randn(1, 3, 9, 32, 48)
    noise = torch.randn(plain.latent_shape(video))
    (one, kl_one), (other, kl_other) = plain(video, noise), quick(video, noise)
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(kl_one, kl_other)
    assert list(plain.state_dict()) == list(quick.state_dict())


def test_whole_clip_training_pass_equals_the_stream_that_serves() -> None:
    torch.manual_seed(0)
    network = Autoencoder(load_preset("tiny").vae)
    video = torch.randn(1, 3, 13, 32, 32).clamp(-1, 1)
    with torch.no_grad():
        mean, _ = network.coder(video, piece_latents=99)
        whole, _ = network.decoder.decode(mean, piece_latents=99)
        torch.testing.assert_close(whole, network.reconstruct(video, piece_latents=1), atol=1e-4, rtol=1e-4)


def test_latent_statistics_normalise_the_latents() -> None:
    torch.manual_seed(0)
    network, pool = Autoencoder(load_preset("tiny").vae), gradients()
    mean, std = latent_stats(network, pool, 2)
    network.coder.set_latent_stats(mean, std)
    videos = [to_signed(clip[None], torch.float32) for clip in pool.clips]
    with torch.no_grad():
        latents = torch.cat([network.coder.encode(video, piece_latents=4) for video in videos])
    channels = latents.transpose(0, 1).flatten(1)
    torch.testing.assert_close(channels.mean(dim=1), torch.zeros(4), atol=1e-3, rtol=0)
    torch.testing.assert_close(channels.std(dim=1), torch.ones(4), atol=1e-2, rtol=0)


def test_crops_are_cut_from_the_pool_and_differ() -> None:
    pool, generator = gradients(), torch.Generator().manual_seed(0)
    crops = [pool.draw(CROP, generator, torch.float32) for _ in range(4)]
    assert all(crop.shape == (2, 3, 5, 32, 32) and crop.abs().max() <= 1 for crop in crops)
    assert not torch.equal(crops[0], crops[1])


def test_every_term_of_the_picture_loss_sees_lost_texture() -> None:
    sharp = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 2 - 1
    blurred = torch.nn.functional.avg_pool2d(sharp, 3, stride=1, padding=1)
    off = PictureLossConfig(pixel=0.0, square=0.0, edge=0.0)
    for config in (
        replace(off, pixel=1.0),
        replace(off, square=1.0),
        replace(off, edge=1.0),
    ):
        assert float(picture_loss(config, blurred, sharp)) > 0.01
        assert float(picture_loss(config, sharp, sharp)) == 0.0
