"""From what a person wrote (`--world`, a path, a seed) to the world that the worker is asked for."""

from __future__ import annotations

import io
import random
from pathlib import Path

from PIL import Image

from app.clip import MAX_PIXELS, read_clip
from app.errors import AppError
from worker.protocol import MAX_IMAGE, MAX_PROMPT, WorldSpec

MAX_SEED = 1 << 53
KINDS = ("seed:N", 'text:"..."', "image:PATH", "video:PATH", "session:PATH")


def spec_for(
    preset: str, *, seed: int, prompt: str = "", image: Path | bytes | None = None, video: bytes = b"", chunk: int = 4
) -> WorldSpec:
    """A new world: from nothing but seed and words, or from a picture (a file or its bytes), or from a clip.

    Raises `AppError` if the picture cannot be used or the words are too long.
    """
    if len(prompt) > MAX_PROMPT:
        raise AppError(f"The description has {len(prompt)} characters and {MAX_PROMPT} are allowed; shorten it.")
    picture = read_picture(image) if isinstance(image, Path) else checked(image, "that was pasted") if image else b""
    return WorldSpec(preset=preset, seed=seed, prompt=prompt, image=picture, video=video, chunk=chunk)


def parse_world(words: str | None, preset: str, chunk: int, *, elsewhere: bool = False) -> WorldSpec:
    """The world of `--world`; None is a random seed. Raises `AppError` with the valid forms.

    Where the worker is `elsewhere`, its session files are too: they go by name.
    """
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
        case "video" if value:
            return spec_for(preset, seed=seed, video=read_clip(Path(value).expanduser()), chunk=chunk)
        case "session" if value and elsewhere:
            return WorldSpec(preset=preset, chunk=chunk, session=value)
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
    except FileNotFoundError as error:
        raise AppError(f"There is no picture {path}; check the path.") from error
    except OSError as error:
        raise AppError(f"The picture {path.name} cannot be read: {error.strerror}; choose another file.") from error
    return checked(data, path.name)


def checked(data: bytes, name: str) -> bytes:
    """The bytes of a picture, which is called `name`. Raises `AppError` if it is none or too large."""
    if len(data) > MAX_IMAGE:
        raise AppError(f"The picture {name} has {len(data)} bytes and {MAX_IMAGE} are allowed; save it smaller.")
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                millions = picture.width * picture.height / 1e6
                raise AppError(
                    f"The picture {name} has {millions:.0f} megapixels, at most 32 are read; make it smaller."
                )
            picture.verify()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise AppError(
            f"The picture {name} cannot be read: it is damaged or of another type; choose a PNG or JPEG file."
        ) from error
    return data
