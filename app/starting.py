"""From a wish to a world: seeds and words, pictures that are dropped, pasted or chosen, clips that take a while."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import numpy as np

from app.clip import ClipReader, is_video
from app.clipboard import copied_file
from app.copied_picture import CopiedPicture
from app.dialog import FileDialog
from app.errors import AppError
from app.view import StartWorld
from app.world_spec import spec_for
from render.vocabulary import MOODS, PLACES
from worker.protocol import WorldSpec


class Starting:
    """Turns wishes into worlds. `opened` is given each world to open, `notify` each sentence for the person."""

    def __init__(self, preset: str, opened: Callable[[WorldSpec], object], notify: Callable[[str], object]) -> None:
        self.preset = preset
        """Of the worlds that are opened."""
        self._open, self._notify = opened, notify
        self._dialog, self._clips = FileDialog(), ClipReader()
        self._copied = CopiedPicture()
        self._wish = StartWorld()
        """What was asked for when the clip that is being read was chosen."""

    @property
    def can_browse(self) -> bool:
        """Whether this system has a file dialog."""
        return self._dialog.available

    def browse(self) -> None:
        """Let the person choose a file."""
        self._dialog.open()

    def paste(self, wish: StartWorld) -> None:
        """Start from the picture, or the picture's file, that was copied last."""
        file = copied_file()
        if file is None:
            self._copied.ask()
        else:
            self._show(file, wish)

    def start(self, wish: StartWorld, clip: bytes = b"") -> None:
        """Open the world that is wished for; one that goes on from a video when that has been read."""
        if wish.session:
            self._open(WorldSpec(preset=self.preset, chunk=wish.chunk, session=wish.session))
            return
        image = None if clip else wish.image
        if isinstance(image, Path) and is_video(image):
            self._wish = wish
            self._clips.begin(image)
            self._notify(f"Reading the end of {image.name} \u2026")
            return
        seed = random.randrange(1 << 31) if wish.seed is None else wish.seed
        surprising = wish.seed is None and not (wish.prompt or image or clip)
        prompt = surprise(seed) if surprising else wish.prompt
        try:
            self._open(spec_for(self.preset, seed=seed, prompt=prompt, image=image, video=clip, chunk=wish.chunk))
        except AppError as error:
            self._notify(str(error))

    def poll(self, wish: StartWorld) -> None:
        """To be called at every beat: go on with a file that was chosen, a picture that was copied, a clip."""
        chosen = self._dialog.poll()
        if chosen:
            self._show(Path(chosen), wish)
        copied = self._copied.poll()
        if copied:
            self._show(copied, wish)
        elif copied is not None:
            self._notify("There is no picture to paste; copy one, or its file, first.")
        try:
            clip = self._clips.poll()
        except AppError as error:
            self._notify(str(error))
            return
        if clip is not None:
            self.start(self._wish, clip)

    def close(self) -> None:
        """Take the dialog away."""
        self._dialog.close()
        self._copied.close()

    def _show(self, image: Path | bytes, wish: StartWorld) -> None:
        """Start from a picture or a file of the person's."""
        self.start(StartWorld(seed=wish.seed, prompt=wish.prompt, image=image, chunk=wish.chunk))


def surprise(seed: int) -> str:
    """Words for a random world: a place and a mood of those that the model has learned."""
    rng = np.random.default_rng(seed)
    place, mood = (list(words.values())[rng.integers(len(words))]["en"] for words in (PLACES, MOODS))
    return f"{place[rng.integers(len(place))]} {mood[rng.integers(len(mood))]}."
