"""`evaluate --protocol autoencoder`: held-out clips of every biome and event through the autoencoder alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.evaluation.claims import Json, at_least
from engine.evaluation.clips import TrueClip
from engine.evaluation.metrics import gradient_energy, nanmean, plain, psnr
from engine.evaluation.protocol import AutoencoderProtocol
from engine.evaluation.rollout import Frames
from engine.training.latents import events_at

CALM = "none"
"""What happens in a frame in which nothing does."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Reconstruction:
    """One clip, scored: PSNR of each frame `[F]` and which families of events are to be seen in it."""

    name: str
    biome: str
    psnr: NDArray[np.float64]
    happens: list[set[str]]
    gradient_energy_ratio: float


def happening(about: dict[str, Any], frame: int) -> set[str]:
    """Families of the events that have begun by a frame and not ended, or `CALM` alone."""
    return {event["family"] for event in events_at(about, frame)} or {CALM}


def run_autoencoder(
    reconstruct: Callable[[TrueClip], Frames],
    clips: Iterable[TrueClip],
    protocol: AutoencoderProtocol,
    *,
    seed: int,
    preset: str,
    done: Callable[[], None] = lambda: None,
) -> Json:
    """The machine-readable report; `done` is called after each clip."""
    results = []
    for clip in clips:
        made = reconstruct(clip)
        results.append(
            Reconstruction(
                name=clip.name,
                biome=str(clip.about["biome"]),
                psnr=psnr(made, clip.frames),
                happens=[happening(clip.about, frame) for frame in range(len(clip.frames))],
                gradient_energy_ratio=float(
                    gradient_energy(made).mean() / max(gradient_energy(clip.frames).mean(), 1e-9)
                ),
            )
        )
        done()
    return summarise(results, protocol, seed=seed, preset=preset)


def summarise(results: list[Reconstruction], protocol: AutoencoderProtocol, *, seed: int, preset: str) -> Json:
    """Means over frames: of all, of each biome, of each family of events while it is to be seen."""
    biomes = sorted({r.biome for r in results})
    families = sorted({family for r in results for families in r.happens for family in families})
    every = np.concatenate([r.psnr for r in results])
    by_clip = {r.name: float(r.psnr.mean()) for r in results}
    scores = {
        "psnr": nanmean(every),
        "gradient_energy_ratio": nanmean([r.gradient_energy_ratio for r in results]),
        "worst_clip": min(by_clip.values()),
        "by_biome": {biome: _table([r.psnr for r in results if r.biome == biome]) for biome in biomes},
        "by_event": {
            family: _table([r.psnr[[family in found for found in r.happens]] for r in results]) for family in families
        },
        "per_clip": by_clip,
    }
    claims = [
        at_least("clips", len(results), protocol.bounds.clips),
        at_least("psnr", scores["psnr"], protocol.bounds.psnr),
    ]
    return plain(
        {
            "protocol": "autoencoder",
            "preset": preset,
            "clips": len(results),
            "seed": seed,
            "scores": scores,
            "claims": claims,
        }
    )


def _table(parts: list[NDArray[np.float64]]) -> Json:
    """Clips and frames, their mean and the mean of the worst clip."""
    shown = [part for part in parts if len(part)]
    return {
        "clips": len(shown),
        "frames": sum(len(part) for part in shown),
        "psnr": nanmean(np.concatenate(shown)),
        "worst_clip": min(float(part.mean()) for part in shown),
    }


def lines(report: Json) -> str:
    """The tables as lines of text."""
    scores, text = report["scores"], []
    for title, rows in (("biome", scores["by_biome"]), ("event", scores["by_event"])):
        text.append(f"  {title:<12}{'clips':>6}{'frames':>8}{'PSNR':>8}{'worst clip':>12}")
        text += [
            f"  {name:<12}{row['clips']:>6}{row['frames']:>8}{row['psnr']:>8.2f}{row['worst_clip']:>12.2f}"
            for name, row in rows.items()
        ]
    return "\n".join(text)
