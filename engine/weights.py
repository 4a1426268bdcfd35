"""The `pocket` weights that the repository carries: one frozen autoencoder and one transformer, verified before use."""
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from engine.checkpoint import Json, load_weights, read_manifest
from engine.errors import WanderError
from engine.transformer import Pocket, PocketConfig
from engine.vae import SPATIAL_FACTOR, Vae, VaeConfig

POCKET_FOLDER = Path(__file__).resolve().parent.parent / "models" / "pocket"


@dataclass(frozen=True, slots=True)
class PocketWeights:
    """Both networks in evaluation mode, the size that they were trained for, and what the files say of themselves."""

    vae: Vae
    model: Pocket
    width: int
    height: int
    checksum: str

    @property
    def grid(self) -> tuple[int, int]:
        """Latent rows and columns."""
        return self.height // SPATIAL_FACTOR, self.width // SPATIAL_FACTOR


def _config(manifest: Json, path: Path) -> Json:
    config = manifest.get("config")
    if not isinstance(config, dict):
        raise WanderError(f"the manifest of {path.name} has no config; restore it with 'git checkout -- {path}'")
    return {name: tuple(value) if isinstance(value, list) else value for name, value in config.items()}


def load_vae(path: Path = POCKET_FOLDER / "vae.safetensors") -> Vae:
    """The frozen autoencoder. Raises `WanderError` if the files are missing, damaged or of other sizes."""
    vae = Vae(VaeConfig(**_config(read_manifest(path, "pocket-vae"), path)))
    load_weights(path, vae)
    return vae.eval().requires_grad_(False)


def load_transformer(path: Path = POCKET_FOLDER / "transformer.safetensors") -> tuple[Pocket, Json]:
    """The transformer and its manifest. Raises `WanderError` as `load_vae`."""
    manifest = read_manifest(path, "pocket-transformer")
    model = Pocket(PocketConfig(**_config(manifest, path)))
    load_weights(path, model)
    return model.eval().requires_grad_(False), manifest


def load_pocket(folder: Path = POCKET_FOLDER, device: torch.device | None = None) -> PocketWeights:
    """Everything `pocket` needs, checked to belong together."""
    vae, (model, manifest) = load_vae(folder / "vae.safetensors"), load_transformer(folder / "transformer.safetensors")
    vae_sum = read_manifest(folder / "vae.safetensors", "pocket-vae")["sha256"]
    if manifest["vae_sha256"] != vae_sum:
        raise WanderError(f"the transformer was trained on another autoencoder ({manifest['vae_sha256'][:12]}..., found {vae_sum[:12]}...); "
                          "restore both files with 'git checkout -- models/pocket'")
    target = device or torch.device("cpu")
    return PocketWeights(vae.to(target), model.to(target), manifest["width"], manifest["height"], manifest["sha256"])
