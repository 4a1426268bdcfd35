"""What reads words and pictures for the released presets: encoders of `transformers`, in a process that ends.

The largest is as big as the model that it reads for, so it must be gone before a chunk is made. What was encoded once
is remembered: going back to earlier words starts no process.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from engine.encoder_process import FEATURES, PICTURE, REFUSED, REQUEST
from engine.errors import WanderError

NEEDED = ("transformers", "tokenizers", "ftfy")
REMEMBERED = 64
"""Texts whose features are kept, about 10 MB each."""
_BEAT = 1.0
"""Seconds between signs of life while the process works."""
ROOT = Path(__file__).resolve().parent.parent

Features = dict[str, Tensor]
Picture = NDArray[np.uint8]
Tell = Callable[[float, str], object]


class Encoders:
    """The encoders of one preset, in the user's folder `home` (`.../worldplay-8b`)."""

    def __init__(self, preset: str, home: Path, tell: Tell, python: str = sys.executable) -> None:
        self.preset, self.home = preset, home
        self._tell, self._python = tell, python
        self._known: dict[str, Features] = {}
        self._picture: Picture | None = None

    def __call__(self, text: str, picture: Picture | None = None) -> Features:
        """States `[S, E]` by name of one text and of the picture that the world starts from."""
        if picture is not self._picture:
            self._known, self._picture = {}, picture
        if text not in self._known:
            self._known[text] = self.encode([text], picture)[0]
        while len(self._known) > REMEMBERED:
            del self._known[next(iter(self._known))]
        return self._known[text]

    def encode(self, texts: Sequence[str], picture: Picture | None = None) -> list[Features]:
        """States of each text, by a process that has ended when this returns.

        Raises `WanderError` if a package or a part of the download is missing, or if the process dies.
        """
        absent = [name for name in NEEDED if importlib.util.find_spec(name) is None]
        if absent and self._python == sys.executable:
            raise WanderError(f"{self.preset} reads words with {len(NEEDED)} more packages, {absent[0]} is missing; "
                              f"start Wander with --preset {self.preset}, which installs them")  # fmt: skip
        with tempfile.TemporaryDirectory(prefix="wander-words-") as place:
            folder = Path(place)
            request = {"preset": self.preset, "home": str(self.home.resolve()), "texts": list(texts)}
            (folder / REQUEST).write_text(json.dumps(request))
            if picture is not None:
                Image.fromarray(picture).save(folder / PICTURE, compress_level=1)
            self._run(folder)
            return _read(folder / FEATURES, len(texts))

    def _run(self, folder: Path) -> None:
        """The process from its start to its end, with a sign of life every second."""
        command = [self._python, "-m", "engine.encoder_process", str(folder)]
        with open(folder / "log", "wb") as log, subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=log
        ) as child:  # fmt: skip
            assert child.stdin is not None and child.stdout is not None
            try:
                while True:
                    self._tell(0.0, "Reading the words")
                    try:
                        child.wait(_BEAT)
                        break
                    except subprocess.TimeoutExpired:
                        continue
                said = child.stdout.read().decode(errors="replace").strip().splitlines()
            finally:
                child.kill()
        if child.returncode == REFUSED and said:
            raise WanderError(json.loads(said[-1]))
        if child.returncode != 0:
            words = (folder / "log").read_bytes()[-2000:].decode(errors="replace").strip().splitlines()
            raise WanderError(f"the process that reads words ended with status {child.returncode}"
                              f"{': ' + words[-1][:200] if words else ''}; is there memory for it?")  # fmt: skip


def _read(path: Path, count: int) -> list[Features]:
    from safetensors.torch import load_file

    found: list[Features] = [{} for _ in range(count)]
    for name, states in load_file(path).items():
        number, _, kind = name.partition(".")
        found[int(number)][kind] = states
    return found
