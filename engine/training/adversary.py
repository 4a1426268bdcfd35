"""What asks a picture to be sharp: the loss of pixels and edges, and an adversary (a hinge loss on patches).

The error of pixels alone answers doubt with blur. An edge beside its place costs pixels twice, a missing one only once;
so how strong edges are is compared as well, and a discriminator that only ever sees true and made frames asks for
those that look true.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.checkpoint import load_state, save_state
from engine.precision import autocast
from engine.vae import FRAMES_PER_LATENT


@dataclass(frozen=True, kw_only=True, slots=True)
class Sharpness:
    """How much is asked for."""

    push: float = 0.5
    """Gradient of the adversary at the made frames, as a share of that of the error of pixels."""
    strength: float = 2.0
    """Weight of how strong edges are."""
    warmup: int = 150
    """Steps in which only the critic learns from the adversary's game."""
    critic_lr: float = 8e-4


class Discriminator(nn.Module):
    """Are four frames `[B, 4, 3, h, w]` true? A logit for every patch of about 40 pixels.

    It reads what differs from the mean of 3x3 pixels as well, six times as strong, and its layers keep the strength of
    what goes through them: what blur takes away is faint, and a critic that doesn't see it learns nothing (LOG.md).
    """

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(24 * FRAMES_PER_LATENT, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )
        for layer in self.layers:
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, 0.2, nonlinearity="leaky_relu")
                nn.init.zeros_(layer.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.layers[-1].weight, std=0.01)  # type: ignore[arg-type]
        self.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, frames: Tensor) -> Tensor:
        """Logits `[B, 1, h / 8, w / 8]`."""
        pictures = frames.flatten(1, 2)
        fine = 6 * (pictures - F.avg_pool2d(pictures, 3, 1, 1, count_include_pad=False))
        folded = F.pixel_unshuffle(torch.cat([pictures, fine], 1), 2).contiguous(memory_format=torch.channels_last)
        return self.layers(folded).float()


class Critic:
    """The adversary: a discriminator with its own optimiser, and its state on disk beside the run's."""

    def __init__(self, config: Sharpness, out: Path) -> None:
        self.config, self.path, self.steps = config, out / "critic.safetensors", 0
        self.network = Discriminator()
        if self.path.is_file():
            tensors, facts = load_state(self.path)
            self.network.load_state_dict(tensors)
            self.steps = facts["steps"]
        self.optimiser = torch.optim.Adam(self.network.parameters(), config.critic_lr, betas=(0.5, 0.9))

    def save(self) -> None:
        """Writes the discriminator."""
        save_state(self.path, dict(self.network.state_dict()), {"steps": self.steps})

    def learn(self, truth: Tensor, made: Tensor) -> float:
        """One step of the hinge loss; returns how well true and made frames are told apart (0.5 is chance)."""
        self.steps += 1
        with autocast(truth.device):
            real, fake = self.network(torch.cat([truth, made.detach()])).chunk(2)
        self.optimiser.zero_grad(set_to_none=True)
        (F.relu(1 - real).mean() + F.relu(1 + fake).mean()).backward()
        self.optimiser.step()
        return float(((real > 0).float().mean() + (fake < 0).float().mean()) / 2)

    def push(self, made: Tensor, error: Tensor) -> Tensor:
        """A loss whose gradient at the frames is `config.push` times that of `error`, towards what looks true."""
        if self.steps <= self.config.warmup:
            return torch.zeros(())
        with autocast(made.device):
            doubt = -self.network(made).mean()
        pixel, adversary = (torch.autograd.grad(x, made, retain_graph=True)[0].norm() for x in (error, doubt))
        return doubt * (self.config.push * pixel / adversary.clamp_min(1e-12)).detach()


def picture_loss(made: Tensor, truth: Tensor, strength: float) -> Tensor:
    """Mean absolute error of pixels `[B, 4, 3, h, w]`, of their differences and of how strong edges are around each
    place."""
    error = made - truth
    loss = error.abs().mean() + sum(step.abs().mean() for step in _steps(error))
    return loss + strength * (_edge_strength(made) - _edge_strength(truth)).abs().mean()


def gradient_energy(frames: Tensor) -> float:
    """Mean square of the differences between neighbouring pixels."""
    return sum(float(step.square().mean()) for step in _steps(frames))


def psnr(made: Tensor, truth: Tensor) -> float:
    """In dB, of pictures in [-1, 1]."""
    return float(10 * torch.log10(4 / (made - truth).detach().float().square().mean()))


def _steps(x: Tensor) -> tuple[Tensor, Tensor]:
    return x.diff(dim=-1), x.diff(dim=-2)


def _edge_strength(frames: Tensor) -> Tensor:
    """Root mean square of the differences between neighbouring pixels in every window of 8x8 pixels."""
    across, down = (step.square().mean(2) for step in _steps(frames))
    return (F.avg_pool2d(across[..., :-1, :], 8, 4) + F.avg_pool2d(down[..., :-1], 8, 4) + 1e-6).sqrt()
