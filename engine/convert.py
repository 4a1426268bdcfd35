"""The released 5B's pickled checkpoint as safetensors, once, in a process that can reach no network.

The only file of the program that may call `torch.load`, and it asks for tensors alone: what a pickle could execute is
refused by torch's restricted unpickler. On top of that the process has an empty environment, a network namespace of its
own where the system grants one, and refuses by audit hook to open a socket or to start a program.

    python -m engine.convert SOURCE TARGET
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import subprocess
import sys
from pathlib import Path

from engine.errors import WanderError

ENTRY = "generator"
"""The pickle's entry that holds the state dict."""
PREFIXES = re.compile(r"(?:model\.|_fsdp_wrapped_module\.)")
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
FORBIDDEN = ("socket.", "subprocess.", "os.exec", "os.fork", "os.posix_spawn", "os.spawn", "os.system", "ftplib.",
             "http.", "urllib.", "smtplib.")  # fmt: skip
_REFUSED = 3


def released_names(name: str) -> str:
    """A stored name without the wrappings of the training framework, wherever they occur."""
    return PREFIXES.sub("", name)


def convert(source: Path, target: Path) -> str:
    """Convert `source` to the file `target` in a process of its own; returns how that process was cut off.

    Raises `WanderError` if the file cannot be read, holds more than tensors, or is not the 5B.
    """
    if not source.is_file():
        raise WanderError(f"there is no file {source}; point to the model.pt of wan_distilled_model")
    if target.exists():
        raise WanderError(f"{target} exists already; delete it to convert again")
    target.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "engine.convert", str(source.resolve()), str(target.resolve())]
    root = Path(__file__).resolve().parent.parent
    child = subprocess.run(command, cwd=root, env={"PYTHONPATH": str(root)}, capture_output=True, text=True)
    lines = child.stdout.strip().splitlines()
    if child.returncode == 0 and lines:
        return json.loads(lines[-1])
    if child.returncode == _REFUSED and lines:
        raise WanderError(json.loads(lines[-1]))
    raise WanderError(f"the conversion ended with status {child.returncode}; is there memory for {source.name}?")


def cut_off() -> str:
    """Take the network from this process, for good; returns in words what the system granted."""
    libc = ctypes.CDLL(None, use_errno=True)
    alone = sys.platform == "linux" and (
        libc.unshare(CLONE_NEWNET) == 0 or libc.unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0
    )

    def refuse(event: str, _arguments: tuple[object, ...]) -> None:
        if event.startswith(FORBIDDEN):
            raise PermissionError(f"the converter may not do {event}")

    sys.addaudithook(refuse)
    return "in a network namespace without a network" if alone else "without sockets, refused by Python's audit hook"


def convert_here(source: Path, target: Path) -> None:
    """Read the pickle and write safetensors. Raises `WanderError` as `convert`."""
    import torch
    from safetensors.torch import save_file

    from engine.checkpoint import write_atomically
    from engine.released_weights import check_names
    from engine.worldplay_5b import Config5B, WorldPlay5B

    try:
        loaded = torch.load(source, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # torch raises several kinds for one thing: this file is not what it should be
        words = str(error).strip().splitlines() or [type(error).__name__]
        why = words[0][:200]
        raise WanderError(f"{source.name} cannot be read as tensors alone ({why}); download it again") from None
    state = loaded.get(ENTRY, loaded) if isinstance(loaded, dict) else None
    if not isinstance(state, dict) or not all(isinstance(tensor, torch.Tensor) for tensor in state.values()):
        raise WanderError(f"{source.name} has no tensors under '{ENTRY}'; it is not the released 5B")
    tensors = {released_names(name): tensor for name, tensor in state.items()}
    if len(tensors) != len(state):
        raise WanderError(f"{len(state)} names of {source.name} become {len(tensors)}; it is not the released 5B")
    with torch.device("meta"):
        network = WorldPlay5B(Config5B())
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    check_names(expected, {name: tuple(tensor.shape) for name, tensor in tensors.items()}, str(source))
    write_atomically(target, lambda part: save_file({n: t.contiguous() for n, t in tensors.items()}, part))


def main(source: str, target: str) -> int:
    """The child's part: one JSON string on its output, what was granted or what was wrong."""
    granted = cut_off()
    try:
        convert_here(Path(source), Path(target))
    except WanderError as error:
        os.write(1, json.dumps(str(error)).encode() + b"\n")
        return _REFUSED
    os.write(1, json.dumps(granted).encode() + b"\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
