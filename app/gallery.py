"""Ready starts: pictures that a world can begin with, each a PNG with a JSON file of the same name beside it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import msgspec
import numpy as np
from msgspec import Meta
from PIL import Image

STARTS = Path(__file__).resolve().parent.parent / "assets" / "starts"
THUMBNAIL = (320, 192)
MAX_PIXELS = 32_000_000
"""Largest picture that is opened."""


class StartCard(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The JSON file beside a picture."""

    title: Annotated[str, Meta(min_length=1, max_length=80)]
    prompt: Annotated[str, Meta(max_length=2000)] = ""
    """The world's caption."""
    seed: Annotated[int, Meta(ge=0, lt=1 << 53)] = 0
    order: int = 0
    """Smaller comes first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Start:
    """One ready start."""

    card: StartCard
    image: Path
    thumbnail: np.ndarray
    """uint8 RGB [192, 320, 3]."""
    session: str = ""
    """A session file to go on with, for a start that is none of the gallery's."""


def load_gallery(folder: Path = STARTS) -> tuple[list[Start], list[str]]:
    """The starts in `folder` in their order, and a sentence for each that could not be read. No folder, no starts."""
    starts: list[Start] = []
    problems: list[str] = []
    for card_path in sorted(folder.glob("*.json")):
        image = card_path.with_suffix(".png")
        try:
            card = msgspec.json.decode(card_path.read_bytes(), type=StartCard)
            starts.append(Start(card=card, image=image, thumbnail=thumbnail(image)))
        except (OSError, ValueError, msgspec.DecodeError, Image.DecompressionBombError) as error:
            problems.append(f"The start {card_path.stem} was left out of the gallery: {error}.")
    return sorted(starts, key=lambda start: (start.card.order, start.card.title)), problems


def thumbnail(path: Path) -> np.ndarray:
    """A picture file cut to 5:3 and shrunk, uint8 RGB [192, 320, 3]. Raises `OSError` or `ValueError` if it is none."""
    with Image.open(path) as opened:
        if opened.width * opened.height > MAX_PIXELS:
            raise ValueError(f"it has {opened.width * opened.height} pixels and {MAX_PIXELS} are allowed")
        picture = opened.convert("RGB")
    scale = min(picture.width / THUMBNAIL[0], picture.height / THUMBNAIL[1])
    width, height = THUMBNAIL[0] * scale, THUMBNAIL[1] * scale
    left, top = (picture.width - width) / 2, (picture.height - height) / 2
    box = (left, top, left + width, top + height)
    return np.asarray(picture.resize(THUMBNAIL, Image.Resampling.LANCZOS, box=box))
