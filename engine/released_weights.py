"""Loading a user's own download of released weights: safetensors under the released names, whole or sharded, strictly.

Every name and shape is compared before the first byte of a tensor is read, so a wrong folder costs no time and no
memory; networks are built without memory and take the files' tensors as their own.
"""
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from engine.errors import WanderError
from engine.vae_hunyuan import HunyuanVae, HunyuanVaeConfig
from engine.vae_wan import WanVae, WanVaeConfig
from engine.worldplay_5b import Config5B, WorldPlay5B
from engine.worldplay_8b import Config8B, WorldPlay8B, released_name

Network = TypeVar("Network", bound=nn.Module)
Shapes = dict[str, tuple[int, ...]]
Progress = Callable[[float], object]


def weight_files(path: Path) -> list[Path]:
    """The safetensors files of a download: the file itself, the shards of the folder's index, or all in the folder.

    Raises `WanderError` if there are none, or if a shard that the index names is missing.
    """
    if path.is_file():
        return [path]
    indexes = sorted(path.glob("*.safetensors.index.json"))
    if indexes:
        try:
            names = sorted(set(json.loads(indexes[0].read_text())["weight_map"].values()))
        except (ValueError, KeyError, AttributeError):
            raise WanderError(f"the index {indexes[0]} is damaged; download it again") from None
        files = [path / Path(name).name for name in names]
    else:
        files = sorted(path.glob("*.safetensors"))
    missing = [file.name for file in files if not file.is_file()]
    if missing or not files:
        what = f"{missing[0]} is missing, 1 of {len(files)} shards" if missing else "there is no safetensors file"
        raise WanderError(f"{what} in {path}; point to the folder that holds the whole download")
    return files


def read_shapes(files: list[Path]) -> dict[Path, Shapes]:
    """Names and shapes of each file, from its header alone."""
    found: dict[Path, Shapes] = {}
    for path in files:
        try:
            with safe_open(path, framework="pt") as file:
                found[path] = {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise WanderError(f"{path.name} can't be read ({error}); download it again") from None
    return found


def check_names(expected: Shapes, found: Shapes, where: str) -> None:
    """Raises `WanderError` naming the first tensor that is missing, unknown or misshaped, and how many there are."""
    wrong = [f"{name} is missing" for name in sorted(expected.keys() - found.keys())]
    wrong += [f"{name} is unknown" for name in sorted(found.keys() - expected.keys())]
    wrong += [f"{name} is {list(found[name])}, not {list(expected[name])}"
              for name in sorted(expected.keys() & found.keys()) if expected[name] != found[name]]
    if wrong:
        raise WanderError(f"{where} is not this model: {wrong[0]}, {len(wrong)} of {len(expected)} tensors differ; "
                          "choose the preset that the weights were made for")


def blank(build: Callable[[], Network], released: Callable[[str], str] = str) -> tuple[Network, dict[str, str], Shapes]:
    """The network without memory, its own name of each of the checkpoint's tensors, and their shapes."""
    with torch.device("meta"):
        network = build()
    own = {released(name): name for name in network.state_dict()}
    return network, own, {name: tuple(network.state_dict()[own[name]].shape) for name in own}


def load_released(build: Callable[[], Network], path: Path, *, dtype: torch.dtype, device: torch.device,
                  released: Callable[[str], str] = str, progress: Progress = lambda _share: None,
                  passed_over: str = "") -> Network:
    """The network that `build` makes with the weights at `path`, in evaluation mode.

    `released` gives the checkpoint's name of a tensor of the network; `progress` hears the share (0..1) of tensors that
    are read, after each. Tensors whose names begin with `passed_over` belong to another network. Raises `WanderError`
    if anything doesn't fit.
    """
    network, own, expected = blank(build, released)
    files = {file: {name: shape for name, shape in shapes.items() if not (passed_over and name.startswith(passed_over))}
             for file, shapes in read_shapes(weight_files(path)).items()}
    found = {name: shape for part in files.values() for name, shape in part.items()}
    stored = sum(map(len, files.values()))
    if stored > len(found):
        raise WanderError(f"the {len(files)} files in {path} hold {stored} tensors under {len(found)} names; "
                          "keep one model in a folder, or point to its file")
    check_names(expected, found, str(path))
    state: dict[str, Tensor] = {}
    for file_path in files:
        with safe_open(file_path, framework="pt", device=str(device)) as file:
            for name in files[file_path]:
                state[own[name]] = file.get_tensor(name).to(dtype)
                progress(len(state) / stored)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)


def load_5b(path: Path, dtype: torch.dtype = torch.bfloat16, device: torch.device | None = None,
            config: Config5B | None = None, progress: Progress = lambda _share: None) -> WorldPlay5B:
    """The released 5B transformer."""
    return load_released(lambda: WorldPlay5B(config or Config5B()), path, dtype=dtype,
                         device=device or torch.device("cpu"), progress=progress)


def load_8b(path: Path, dtype: torch.dtype = torch.bfloat16, device: torch.device | None = None,
            config: Config8B | None = None, progress: Progress = lambda _share: None) -> WorldPlay8B:
    """A released 8B transformer: autoregressive, distilled or bidirectional."""
    return load_released(lambda: WorldPlay8B(config or Config8B()), path, dtype=dtype,
                         device=device or torch.device("cpu"), released=released_name,
                         progress=progress)


def load_hunyuan_vae(path: Path, dtype: torch.dtype = torch.float16, device: torch.device | None = None,
                     config: HunyuanVaeConfig | None = None, progress: Progress = lambda _share: None) -> HunyuanVae:
    """The 8B's autoencoder."""
    return load_released(lambda: HunyuanVae(config or HunyuanVaeConfig()), path, dtype=dtype,
                         device=device or torch.device("cpu"), progress=progress)


def load_wan_vae(path: Path, dtype: torch.dtype = torch.bfloat16, device: torch.device | None = None,
                 config: WanVaeConfig | None = None, progress: Progress = lambda _share: None) -> WanVae:
    """The 5B's autoencoder; the statistics of its latents come from `config.json` beside the weights."""
    target = device or torch.device("cpu")
    vae = load_released(lambda: WanVae(config or WanVaeConfig()), path, dtype=dtype, device=target,
                        progress=progress)
    vae.mean, vae.std = (_statistics(path, key, vae.config.latent_channels).to(target)
                         for key in ("latents_mean", "latents_std"))
    return vae


def _statistics(path: Path, key: str, channels: int) -> Tensor:
    """One of the two lists of numbers in the autoencoder's `config.json`, `[C]` float32."""
    config = (path.parent if path.is_file() else path) / "config.json"
    try:
        header: dict[str, Any] = json.loads(config.read_text())
        values = torch.tensor([float(value) for value in header[key]])
    except (OSError, ValueError, KeyError, TypeError):
        raise WanderError(f"{config} doesn't give {key}; download it beside the weights") from None
    if len(values) != channels:
        raise WanderError(f"{config} gives {len(values)} numbers for {key}, the model has {channels} channels; "
                          "download the file again")
    return values
