"""Parity of the released autoencoders: streamed decoding and encoding."""
from __future__ import annotations

from collections.abc import Iterator

import torch

from engine.causal_conv import State
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.vae_wan import WanVae, WanVaeConfig
from tests.parity.fixture import Fixture, Outcome, largest_error


def build(fixture: Fixture) -> HunyuanVae | WanVae:
    """The autoencoder of a fixture with its weights."""
    config = fixture.header["config"]
    if "block_out_channels" in config:
        vae: HunyuanVae | WanVae = HunyuanVae(HunyuanVaeConfig(
            widths=tuple(config["block_out_channels"]), blocks=config["layers_per_block"],
            latent_channels=config["latent_channels"], scale=config["scaling_factor"]))
    else:
        vae = WanVae(WanVaeConfig(
            encoder_width=config["base_dim"], decoder_width=config["decoder_base_dim"],
            latent_channels=config["z_dim"], multiples=tuple(config["dim_mult"]), blocks=config["num_res_blocks"]))
    vae.load_state_dict(fixture.weights())
    return vae.eval().requires_grad_(False)


def check_autoencoder(fixture: Fixture) -> Iterator[Outcome]:
    """Frames decoded one latent at a time, and moments of an encoded clip."""
    vae, tensors = build(fixture), fixture.tensors(fixture.header["file"])
    scale = vae.config.scale if isinstance(vae, HunyuanVae) else 1.0
    state: State = ()
    frames = []
    for latent in tensors["in.latent"].unbind(2):
        shown, state = vae.decode(latent * scale, state)
        frames.append(shown)
    decoded = torch.cat(frames, 1).transpose(1, 2)
    yield Outcome("decoder", largest_error(iter([(decoded, tensors["out.frames"])])), fixture.tolerance())
    if "in.video" in tensors:
        moments = vae.moments(tensors["in.video"].transpose(1, 2)).transpose(1, 2)
        yield Outcome("encoder", largest_error(iter([(moments, tensors["out.moments"])])), fixture.tolerance())
