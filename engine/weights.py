"""The `pocket` weights that the repository carries: one frozen autoencoder and one transformer, verified before use."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch

from engine.checkpoint import Json, load_weights, manifest_path, read_manifest, sha256_of
from engine.errors import WanderError
from engine.transformer import Pocket, PocketConfig
from engine.vae import SPATIAL_FACTOR, Vae, VaeConfig

ConfigT = TypeVar("ConfigT")
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


def _config(config_type: Callable[..., ConfigT], manifest: Json, path: Path) -> ConfigT:
    """The network's configuration as its manifest gives it."""
    try:
        given = {name: tuple(value) if isinstance(value, list) else value for name, value in manifest["config"].items()}
        return config_type(**given)
    except (KeyError, AttributeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise WanderError(
            f"the config in {manifest_path(path)} does not fit this program ({error}); restore it with 'git checkout'"
        ) from None


def load_vae(path: Path = POCKET_FOLDER / "vae.safetensors") -> Vae:
    """The frozen autoencoder. Raises `WanderError` if the files are missing, damaged or of other sizes."""
    vae = Vae(_config(VaeConfig, read_manifest(path, "pocket-vae"), path))
    load_weights(path, vae)
    return vae.eval().requires_grad_(False)


def load_transformer(path: Path = POCKET_FOLDER / "transformer.safetensors") -> tuple[Pocket, Json]:
    """The transformer and its manifest. Raises `WanderError` as `load_vae`."""
    manifest = read_manifest(path, "pocket-transformer")
    missing = [name for name in ("vae_sha256", "width", "height") if name not in manifest]
    if missing:
        raise WanderError(f"the manifest {manifest_path(path)} has no {missing[0]}; restore it with 'git checkout'")
    model = Pocket(_config(PocketConfig, manifest, path))
    load_weights(path, model)
    return model.eval().requires_grad_(False), manifest


def load_pocket(folder: Path = POCKET_FOLDER, device: torch.device | None = None) -> PocketWeights:
    """Everything `pocket` needs, checked to belong together."""
    vae, (model, manifest) = load_vae(folder / "vae.safetensors"), load_transformer(folder / "transformer.safetensors")
    found, expected = sha256_of(folder / "vae.safetensors"), str(manifest["vae_sha256"])
    if expected != found:
        raise WanderError(
            f"the transformer was trained on another autoencoder ({expected[:12]}..., found {found[:12]}...); "
            f"restore both files with 'git checkout -- {folder}'"
        )
    target = device or torch.device("cpu")
    return PocketWeights(vae.to(target), model.to(target), manifest["width"], manifest["height"], manifest["sha256"])
