"""The `pocket` weights that the repository carries: one frozen autoencoder and one transformer, verified before use."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from engine.air import FIRE, AirConfig, AirPainter
from engine.album import Album
from engine.checkpoint import Json, load_weights, manifest_path, read_manifest
from engine.compositor import Compositor, CompositorConfig
from engine.depth import DepthConfig, DepthHead
from engine.errors import WanderError
from engine.hero import HeroConfig, HeroPainter
from engine.memory import MemoryConfig
from engine.memory import pocket as pocket_memory
from engine.phrases import Phrasebook, load_phrases
from engine.precision import cast_once, peak_gflops
from engine.repaint import Repainter, RepainterConfig
from engine.sharpening import Sharpener, SharpenerConfig
from engine.sweep import Sweep, SweepConfig
from engine.transformer import Pocket, PocketConfig
from engine.vae import SPATIAL_FACTOR, Vae, VaeConfig
from engine.visitors import VisitorConfig, VisitorPainter

ConfigT = TypeVar("ConfigT")
Size = tuple[int, int]
"""Width and height of pictures."""
SHARPENER, REPAINTER = "sharpener.safetensors", "repainter.safetensors"
AIR, VISITOR, HERO = "air.safetensors", "visitor.safetensors", "hero.safetensors"
ALBUM = "album.safetensors"
LARGE_GFLOPS = 280.0
"""Rate of matrix products from which a CPU makes the largest pictures in real time (LOG.md)."""
POCKET_FOLDER = Path(os.environ.get("WANDER_POCKET") or Path(__file__).resolve().parent.parent / "models" / "pocket")
"""The weights in use: the repository's, or those in the folder that WANDER_POCKET names."""


@dataclass(frozen=True, slots=True)
class PocketWeights:
    """The networks in evaluation mode, the size of the pictures they make, and what the files say of themselves."""

    vae: Vae
    depth: DepthHead | None
    """Lifts frames for the guide; None for a transformer that sees none."""
    compositor: Compositor | None
    """Joins decoded frames and the guide's; None where it isn't trained."""
    model: Pocket
    width: int
    height: int
    checksum: str
    memory: MemoryConfig = field(default_factory=pocket_memory)
    """What the transformer was trained to remember with."""
    sweep: Sweep | None = None
    """Corrects depth by other views in a scan; None to take that of one view. Play can't afford it."""
    sharpener: Sharpener | None = None
    """Sharpens what is decoded; None to leave it as soft as the autoencoder makes it."""
    repainter: Repainter | None = None
    """Paints known pictures under new words; None to show the guide as it was."""
    air: AirPainter | None = None
    """Adds what is in the air under words; None to leave the air empty."""
    visitor: VisitorPainter | None = None
    """Adds who comes along under words; None to leave that to the transformer."""
    hero: HeroPainter | None = None
    """Paints who walks ahead; None to leave that to the transformer."""
    album: Album | None = None
    """Places that it learnt from, of which it imagines what nothing shows; None to mirror what a world began with."""
    phrases: Phrasebook | None = None
    """The words that the transformer has learnt; None to read what is typed as it is."""

    @property
    def grid(self) -> tuple[int, int]:
        """Latent rows and columns."""
        return self.height // SPATIAL_FACTOR, self.width // SPATIAL_FACTOR

    def paints(self, event: str) -> bool:
        """Whether known pictures can be painted under an event."""
        return self.repainter is not None and self._means(event, self.repainter.config.families)

    def airs(self, event: str) -> bool:
        """Whether something is in the air under an event."""
        return self.air is not None and self._means(event, self.air.config.families)

    def burns(self, event: str) -> bool:
        """Whether something burns under an event."""
        return self.airs(event) and self._means(event, (FIRE,))

    def comes(self, event: str) -> bool:
        """Whether somebody comes along under an event."""
        return self.visitor is not None and self._means(event, self.visitor.config.families)

    def spares(self, event: str) -> bool:
        """Whether an event leaves the place as it is, and so its pictures."""
        return self.burns(event) or self.comes(event)

    def read(self, lines: tuple[str, ...]) -> tuple[str, ...]:
        """What the transformer reads of a text: who comes along is not its to invent."""
        return (*lines[:1], *(event for event in lines[1:] if not self.comes(event)))

    def _means(self, event: str, families: tuple[str, ...]) -> bool:
        return self.phrases is not None and self.phrases.family(event) in families


def _config(config_type: Callable[..., ConfigT], manifest: Json, path: Path, name: str = "config") -> ConfigT:
    """A configuration as the network's manifest gives it."""
    try:
        given = {key: tuple(value) if isinstance(value, list) else value for key, value in manifest[name].items()}
        return config_type(**given)
    except (KeyError, AttributeError, TypeError, ValueError, ZeroDivisionError) as error:
        raise WanderError(
            f"the {name} in {manifest_path(path)} does not fit this program ({error}); restore it with 'git checkout'"
        ) from None


def load_vae(path: Path = POCKET_FOLDER / "vae.safetensors") -> Vae:
    """The frozen autoencoder. Raises `WanderError` if the files are missing, damaged or of other sizes."""
    vae = Vae(_config(VaeConfig, read_manifest(path, "pocket-vae"), path))
    load_weights(path, vae)
    return vae.eval().requires_grad_(False)


def latents_of(path: Path = POCKET_FOLDER / "vae.safetensors") -> str:
    """Whose latents these are: the checksum of the autoencoder with which the encoder was frozen.

    A decoder trained since keeps it; depth network, compositor, transformer and latents on disk name it.
    """
    manifest = read_manifest(path, "pocket-vae")
    return str(manifest.get("latents_of", manifest["sha256"]))


def load_depth(path: Path = POCKET_FOLDER / "depth.safetensors") -> tuple[DepthHead, Json]:
    """The depth network and its manifest. Raises `WanderError` as `load_vae`."""
    manifest = read_manifest(path, "pocket-depth")
    head = DepthHead(_config(DepthConfig, manifest, path))
    load_weights(path, head)
    return head.eval().requires_grad_(False), manifest


def load_sweep(path: Path = POCKET_FOLDER / "sweep.safetensors") -> tuple[Sweep, Json]:
    """The network that corrects depth by other views, and its manifest. Raises `WanderError` as `load_vae`."""
    manifest = read_manifest(path, "pocket-sweep")
    sweep = Sweep(_config(SweepConfig, manifest, path))
    load_weights(path, sweep)
    return sweep.eval().requires_grad_(False), manifest


def load_depth_of_views(folder: Path = POCKET_FOLDER) -> tuple[DepthHead, Sweep, Json]:
    """The depth network, the one that corrects it by other views, and the former's manifest.

    Raises `WanderError` as `load_vae`, and if the latter was trained on another depth network.
    """
    head, manifest = load_depth(folder / "depth.safetensors")
    sweep, about = load_sweep(folder / "sweep.safetensors")
    expected, found = str(about.get("depth_sha256", "?")), str(manifest["sha256"])
    if expected != found:
        raise WanderError(
            f"the sweep corrects another depth network ({expected[:12]}..., found {found[:12]}...); "
            f"restore the files with 'git checkout -- {folder}'"
        )
    return head, sweep, manifest


def load_sharpener(path: Path = POCKET_FOLDER / SHARPENER) -> tuple[Sharpener, Json]:
    """The network that sharpens decoded frames, and its manifest. Raises `WanderError` as `load_vae`."""
    manifest = read_manifest(path, "pocket-sharpener")
    sharpener = Sharpener(_config(SharpenerConfig, manifest, path))
    load_weights(path, sharpener)
    return sharpener.eval().requires_grad_(False), manifest


def load_repainter(path: Path = POCKET_FOLDER / REPAINTER) -> Repainter:
    """The network that repaints known pictures under new words. Raises `WanderError` as `load_vae`."""
    repainter = Repainter(_config(RepainterConfig, read_manifest(path, "pocket-repainter"), path))
    load_weights(path, repainter)
    return repainter.eval().requires_grad_(False)


def load_air(path: Path = POCKET_FOLDER / AIR) -> AirPainter:
    """The network that paints what is in the air under words. Raises `WanderError` as `load_vae`."""
    air = AirPainter(_config(AirConfig.read, read_manifest(path, "pocket-air"), path))
    load_weights(path, air)
    return air.eval().requires_grad_(False)


def load_visitor(path: Path = POCKET_FOLDER / VISITOR) -> VisitorPainter:
    """The network that paints who comes along under words. Raises `WanderError` as `load_vae`."""
    visitor = VisitorPainter(_config(VisitorConfig, read_manifest(path, "pocket-visitor"), path))
    load_weights(path, visitor)
    return visitor.eval().requires_grad_(False)


def load_hero(path: Path = POCKET_FOLDER / HERO) -> HeroPainter:
    """The network that paints who walks ahead. Raises `WanderError` as `load_vae`."""
    hero = HeroPainter(_config(HeroConfig, read_manifest(path, "pocket-hero"), path))
    load_weights(path, hero)
    return hero.eval().requires_grad_(False)


def load_compositor(path: Path = POCKET_FOLDER / "compositor.safetensors") -> tuple[Compositor, Json]:
    """The compositor and its manifest. Raises `WanderError` as `load_vae`."""
    manifest = read_manifest(path, "pocket-compositor")
    compositor = Compositor(_config(CompositorConfig, manifest, path))
    load_weights(path, compositor)
    return compositor.eval().requires_grad_(False), manifest


def load_transformer(path: Path = POCKET_FOLDER / "transformer.safetensors") -> tuple[Pocket, Json]:
    """The transformer and its manifest. Raises `WanderError` as `load_vae`."""
    manifest = read_manifest(path, "pocket-transformer")
    missing = [name for name in ("vae_sha256", "sizes") if not manifest.get(name)]
    if missing:
        raise WanderError(f"the manifest {manifest_path(path)} has no {missing[0]}; restore it with 'git checkout'")
    model = Pocket(_config(PocketConfig, manifest, path))
    load_weights(path, model)
    return model.eval().requires_grad_(False), manifest


def chosen_size(sizes: list[Size], wanted: Size | None, device: torch.device) -> Size:
    """The wanted one of the sizes (width, height) that a transformer was trained for, or, where none is wanted, the
    largest that this machine makes in real time, at least the smallest.

    Raises `WanderError` if it was not trained for the wanted one.
    """
    if wanted is None:
        fast = device.type == "cuda" or peak_gflops() >= LARGE_GFLOPS
        return max(sizes) if fast else min(sizes)
    if wanted not in sizes:
        known = ", ".join(f"{width}x{height}" for width, height in sizes)
        raise WanderError(
            f"pictures of {wanted[0]}x{wanted[1]} were asked for, the model makes {known}; choose one of these"
        )
    return wanted


def load_pocket(
    folder: Path = POCKET_FOLDER, device: torch.device | None = None, size: Size | None = None
) -> PocketWeights:
    """Everything `pocket` needs, checked to belong together, for pictures of `size` (see `chosen_size`)."""
    transformer = folder / "transformer.safetensors"
    vae, (model, manifest) = load_vae(folder / "vae.safetensors"), load_transformer(transformer)
    depth = compositor = sweep = sharpener = repainter = air = visitor = hero = album = None
    parts = {"transformer": manifest}
    if (folder / SHARPENER).exists():
        sharpener, parts["sharpener"] = load_sharpener(folder / SHARPENER)
    if model.config.guided:
        depth, sweep, parts["depth network"] = load_depth_of_views(folder)
        compositor, parts["compositor"] = load_compositor(folder / "compositor.safetensors")
        if (folder / REPAINTER).exists():
            repainter = load_repainter(folder / REPAINTER)
        if (folder / AIR).exists():
            air = load_air(folder / AIR)
        if (folder / VISITOR).exists():
            visitor = load_visitor(folder / VISITOR)
        if (folder / HERO).exists():
            hero = load_hero(folder / HERO)
        if (folder / ALBUM).exists():
            album = Album.load(folder / ALBUM)
    found = latents_of(folder / "vae.safetensors")
    for name, about in parts.items():
        expected = str(about.get("vae_sha256", "?"))
        if expected != found:
            raise WanderError(
                f"the {name} was trained on another autoencoder ({expected[:12]}..., found {found[:12]}...); "
                f"restore the files with 'git checkout -- {folder}'"
            )
    target = device or torch.device("cpu")
    for network in (vae, sharpener, depth, sweep, compositor, repainter, air, visitor, hero, model):
        if network is not None:
            cast_once(network.to(target))
    sizes = [(int(width), int(height)) for width, height in manifest["sizes"]]
    width, height = chosen_size(sizes, size, target)
    memory = _config(MemoryConfig, manifest, transformer, "memory") if "memory" in manifest else pocket_memory()
    phrases = pocket_phrases(folder)
    checksum = fingerprint(folder, phrases, guided=model.config.guided)
    return PocketWeights(
        vae,
        depth,
        compositor,
        model,
        width,
        height,
        checksum,
        memory,
        sweep,
        sharpener,
        repainter,
        air,
        visitor,
        hero,
        album,
        phrases,
    )


def pocket_phrases(folder: Path = POCKET_FOLDER) -> Phrasebook | None:
    """The phrasebook beside the weights, None if there is none. Raises `WanderError` if it is damaged."""
    return load_phrases(folder / "phrases.json")


def fingerprint(folder: Path, phrases: Phrasebook | None = None, *, guided: bool) -> str:
    """One checksum of all networks that a world's pictures follow from, and of how words are read."""
    names = ("vae", "transformer", "depth", "compositor") if guided else ("vae", "transformer")
    extra = (SHARPENER, *((REPAINTER, AIR, VISITOR, HERO, ALBUM) if guided else ()))
    names += tuple(Path(name).stem for name in extra if (folder / name).exists())
    sums = (str(read_manifest(folder / f"{name}.safetensors", f"pocket-{name}")["sha256"]) for name in names)
    return hashlib.sha256("\n".join([*sums, *([phrases.checksum] if phrases else [])]).encode()).hexdigest()
