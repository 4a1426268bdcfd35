"""The user's own pictures and clips, decoded: only ever in the model process, with limits, and whatever they hold."""

import io
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from worker.errors import WanderError

MAX_PIXELS = 32_000_000
MAX_CLIP_PIXELS = 1_000_000
"""Of one frame of a clip: the window sends it shrunk."""
MAX_CLIP_FRAMES = 61
_PAPER = (255, 255, 255, 255)
"""What shows through where a picture is transparent."""


def decode_image(data: bytes) -> NDArray[np.uint8]:
    """The picture in a file's bytes, uint8 RGB [H, W, 3]: upright, transparent parts white, of an animation the first.

    Raises `WanderError` if it is none or has over 32 megapixels.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.width * image.height > MAX_PIXELS:
                raise WanderError(
                    f"The picture has {image.width * image.height / 1e6:.0f} megapixels, at most "
                    f"{MAX_PIXELS / 1e6:.0f} are read; make it smaller."
                )
            return np.asarray(opaque(ImageOps.exif_transpose(image)))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise WanderError(
            f"The picture of {len(data)} bytes cannot be read ({error}); choose a PNG or JPEG file."
        ) from error


def opaque(image: Image.Image) -> Image.Image:
    """A picture of any mode as RGB: 16-bit greys scaled, transparency on white paper."""
    if image.mode.startswith(("I", "F")):
        grey = np.asarray(image, dtype=np.float64)
        most = 65_535.0 if grey.max(initial=0.0) > 255 else 255.0
        return Image.fromarray((255 * np.clip(grey / most, 0, 1)).astype(np.uint8)).convert("RGB")
    if "A" in image.getbands() or "transparency" in image.info:
        paper = Image.new("RGBA", image.size, _PAPER)
        return Image.alpha_composite(paper, image.convert("RGBA")).convert("RGB")
    return image.convert("RGB")


def decode_clip(data: bytes) -> NDArray[np.uint8]:
    """The frames of a clip as the window sends it, uint8 RGB [F, H, W, 3]. Raises `WanderError` if it is none."""
    frames: list[NDArray[Any]] = []
    try:
        with av.open(io.BytesIO(data), "r") as container:
            for frame in container.decode(video=0):
                if frame.width * frame.height > MAX_CLIP_PIXELS or len(frames) >= MAX_CLIP_FRAMES:
                    raise WanderError(
                        f"The clip has {frame.width}x{frame.height} pixels or over {MAX_CLIP_FRAMES} frames; "
                        "start from the video file itself."
                    )
                frames.append(frame.to_ndarray(format="rgb24"))
    except (FFmpegError, IndexError, ValueError) as error:
        raise WanderError(f"The clip of {len(data)} bytes cannot be read ({error}); choose another video.") from error
    if not frames:
        raise WanderError(f"The clip of {len(data)} bytes holds no picture; choose another video.")
    return np.stack(frames)
