"""Weights and training states on disk: safetensors beside a JSON manifest, never half-written, never half-loaded.

`NAME.safetensors` holds tensors; `NAME.json` says what they are: `kind`, `config`, `sha256` of the tensor file,
`recipe` (how it was trained) and `evaluation` (what it scored). A file whose checksum, names, shapes or config don't
fit is refused with a sentence. The checksum is computed once per file and size and time of change.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from engine.errors import WanderError

Json = dict[str, Any]


def manifest_path(path: Path) -> Path:
    """The manifest that stands beside a tensor file."""
    return path.with_suffix(".json")


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Calls `write` with a temporary name in the same folder, then puts the file in place in one step."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def sha256_of(path: Path) -> str:
    """Checksum of a file, remembered while its size and modification time stay the same."""
    stat = path.stat()
    return _sha256(path, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=64)
def _sha256(path: Path, _size: int, _mtime_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def save_weights(
    path: Path, tensors: Mapping[str, Tensor], manifest: Json, dtype: torch.dtype = torch.bfloat16
) -> None:
    """Writes floating-point tensors as `dtype` (what a user downloads) and the manifest with the file's checksum."""
    stored = {
        name: (t.detach().to(dtype) if t.is_floating_point() else t.detach()).contiguous().clone()
        for name, t in tensors.items()
    }
    write_atomically(path, lambda part: save_file(stored, part))
    text = json.dumps(manifest | {"sha256": sha256_of(path)}, indent=1, sort_keys=True)
    write_atomically(manifest_path(path), lambda part: part.write_text(text + "\n"))


def read_manifest(path: Path, kind: str) -> Json:
    """The manifest of a weight file, its checksum verified.

    Raises `WanderError` if anything is missing, damaged or of another kind.
    """
    restore = f"restore it with 'git checkout -- {path.name} {manifest_path(path).name}' in {path.parent}"
    for part in (path, manifest_path(path)):
        if not part.is_file():
            raise WanderError(f"the weight file {part} is missing; {restore}")
    try:
        manifest = json.loads(manifest_path(path).read_text())
        expected, found_kind = manifest["sha256"], manifest["kind"]
    except (ValueError, KeyError, TypeError):
        raise WanderError(f"the manifest {manifest_path(path)} is damaged; {restore}") from None
    if found_kind != kind:
        raise WanderError(f"{path} holds a {found_kind}, a {kind} was asked for; choose the right file")
    if (found := sha256_of(path)) != expected:
        raise WanderError(
            f"the weight file {path.name} is damaged: sha256 {found[:12]} expected {str(expected)[:12]}; {restore}"
        )
    return manifest


def load_weights(path: Path, module: nn.Module) -> None:
    """Loads a verified weight file into `module`, every tensor or none.

    Raises `WanderError` naming the first that does not fit.
    """
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError) as error:
        raise WanderError(f"the weight file {path} can't be read ({error}); restore it and try again") from None
    own = module.state_dict()
    for name in sorted(own.keys() | tensors.keys()):
        if name not in tensors or name not in own:
            which = "unknown" if name in tensors else "missing"
            raise WanderError(
                f"{path.name} and this program differ: tensor {name!r} is {which}; the file has "
                f"{len(tensors)} tensors, the model {len(own)}; restore both from one version"
            )
        if own[name].shape != tensors[name].shape:
            raise WanderError(
                f"tensor {name!r} of {path.name} has shape {list(tensors[name].shape)}, the model needs "
                f"{list(own[name].shape)}; restore both from one version"
            )
    module.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in tensors.items()})


def save_state(path: Path, tensors: Mapping[str, Tensor], facts: Json) -> None:
    """Writes a training state: exact tensors and facts in one file.

    It is replaced in one step, so that a kill at any moment costs nothing older.
    """
    metadata = {"facts": json.dumps(facts)}
    stored = {name: t.detach().contiguous().clone() for name, t in tensors.items()}
    write_atomically(path, lambda part: save_file(stored, part, metadata))


def load_state(path: Path) -> tuple[dict[str, Tensor], Json]:
    """What `save_state` wrote. Raises `WanderError` if the file is missing or damaged."""
    from safetensors import safe_open

    try:
        with safe_open(path, framework="pt") as file:
            facts = json.loads((file.metadata() or {})["facts"])
            return {name: file.get_tensor(name) for name in file.keys()}, facts  # noqa: SIM118
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise WanderError(
            f"the training state {path} can't be read ({error}); delete it to start from the committed weights"
        ) from None
