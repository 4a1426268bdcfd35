"""From what a person wrote (`--world`, a path, a seed) to the world that the worker is asked for."""

from __future__ import annotations

import random
from pathlib import Path

from PIL import Image

from app.errors import AppError
from worker.protocol import MAX_IMAGE, MAX_PROMPT, WorldSpec

MAX_SEED = 1 << 53
KINDS = ("seed:N", 'text:"..."', "image:PATH", "session:PATH")


def spec_for(preset: str, *, seed: int, prompt: str = "", image: Path | None = None, chunk: int = 4) -> WorldSpec:
    """A new world. Raises `AppError` if the picture cannot be used or the words are too long."""
    if len(prompt) > MAX_PROMPT:
        raise AppError(f"The description has {len(prompt)} characters and {MAX_PROMPT} are allowed; shorten it.")
    return WorldSpec(preset=preset, seed=seed, prompt=prompt, image=read_picture(image) if image else b"", chunk=chunk)


def parse_world(words: str | None, preset: str, chunk: int) -> WorldSpec:
    """The world of `--world`; None is a random seed. Raises `AppError` with the valid forms."""
    seed = random.randrange(1 << 31)
    if words is None:
        return spec_for(preset, seed=seed, chunk=chunk)
    kind, _, value = words.partition(":")
    match kind:
        case "seed" if value.isdecimal() and int(value) < MAX_SEED:
            return spec_for(preset, seed=int(value), chunk=chunk)
        case "text" if value.strip():
            return spec_for(preset, seed=seed, prompt=value.strip().strip('"'), chunk=chunk)
        case "image" if value:
            return spec_for(preset, seed=seed, image=Path(value).expanduser(), chunk=chunk)
        case "session" if value:
            path = Path(value).expanduser()
            if not path.is_file():
                raise AppError(f"There is no session file {path}; check the path.")
            return WorldSpec(preset=preset, chunk=chunk, session=str(path.resolve()))
    raise AppError(f"--world {words} is none of {', '.join(KINDS)} (a seed is a whole number below {MAX_SEED}).")


def read_picture(path: Path) -> bytes:
    """The bytes of a picture file that a world can start from. Raises `AppError` if it is none or too large."""
    try:
        size = path.stat().st_size
        if size > MAX_IMAGE:
            raise AppError(f"The picture {path.name} has {size} bytes and {MAX_IMAGE} are allowed; save it smaller.")
        data = path.read_bytes()
        with Image.open(path) as picture:
            picture.verify()
    except FileNotFoundError as error:
        raise AppError(f"There is no picture {path}; check the path.") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or "its contents are damaged or of another type"
        raise AppError(f"The picture {path.name} cannot be read: {reason}; choose a PNG or JPEG file.") from error
    return data
