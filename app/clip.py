"""The end of a video file as a short clip that a world can go on from, read in a thread: the window lives on."""

from __future__ import annotations

import io
import threading
import time
from collections import deque
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame

from app.errors import AppError
from worker.protocol import MAX_IMAGE

SUFFIXES = frozenset({".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ogv", ".ts"})
FRAMES, RATE = 61, 24
"""What a world remembers: the last two and a half seconds."""
MAX_PIXELS = 32_000_000
_COVERS = (640, 384)
"""Frames are shrunk until they just cover this."""
_PATIENCE_S = 60.0

Timed = tuple[float, np.ndarray]


def is_video(path: Path) -> bool:
    """Whether a file calls itself a video."""
    return path.suffix.lower() in SUFFIXES


def read_clip(path: Path) -> bytes:
    """The last frames of a video, at 24 a second and upright, as a small MP4. Raises `AppError` with what to do."""
    if not path.is_file():
        raise AppError(f"There is no video {path}; check the path.")
    try:
        with av.open(str(path), "r") as container:
            timed = _last_frames(container, path)
    except (FFmpegError, OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise AppError(f"The video {path.name} cannot be read ({reason}); choose an MP4, MOV, MKV or WebM.") from error
    if not timed:
        raise AppError(f"The video {path.name} holds no picture; choose another one.")
    clip = encode(evenly(timed))
    if len(clip) > MAX_IMAGE:
        raise AppError(f"The end of {path.name} takes {len(clip)} bytes and {MAX_IMAGE} are allowed; save it smaller.")
    return clip


def _last_frames(container: InputContainer, path: Path) -> list[Timed]:
    """(seconds, uint8 RGB [H, W, 3]) of the frames of the last seconds, shrunk and upright."""
    if not container.streams.video:
        raise AppError(f"The file {path.name} has sound but no picture; choose a video.")
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    if stream.width * stream.height > MAX_PIXELS:
        millions = stream.width * stream.height / 1e6
        raise AppError(f"The video {path.name} has {millions:.0f} megapixels, at most 32 are read; make it smaller.")
    lasts = (FRAMES + 1) / RATE
    if container.duration:  # in microseconds
        container.seek(max(0, container.duration - round((lasts + 1) * 1e6)), backward=True)
    kept: deque[Timed] = deque()
    deadline = time.monotonic() + _PATIENCE_S
    for number, frame in enumerate(container.decode(stream)):
        at = number / RATE if frame.time is None else frame.time
        kept.append((at, _shrunk(frame)))
        while kept[-1][0] - kept[0][0] > lasts or len(kept) > 8 * FRAMES:
            kept.popleft()
        if time.monotonic() > deadline:
            raise AppError(f"The video {path.name} takes over {_PATIENCE_S:.0f} s to read; cut out its end first.")
    return list(kept)


def _shrunk(frame: VideoFrame) -> np.ndarray:
    """uint8 RGB [H, W, 3], upright, as small as still covers a picture of a world, sides even."""
    turns = round(frame.rotation / 90) % 4
    across, down = (_COVERS[1], _COVERS[0]) if turns % 2 else _COVERS
    scale = min(1.0, max(across / frame.width, down / frame.height))
    width, height = (max(2, round(side * scale / 2) * 2) for side in (frame.width, frame.height))
    return np.rot90(frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA"), turns)


def evenly(timed: list[Timed]) -> list[np.ndarray]:
    """At most 61 frames at 24 a second, the last one the last; of any rate, also a changing one."""
    times = np.array([at for at, _ in timed])
    wanted = times[-1] - np.arange(FRAMES)[::-1] / RATE
    wanted = wanted[wanted >= times[0] - 0.5 / RATE]
    nearest = np.searchsorted(times, wanted + 0.5 / RATE, side="right") - 1
    return [timed[max(0, int(place))][1] for place in nearest]


def encode(frames: list[np.ndarray]) -> bytes:
    """Frames, uint8 RGB [H, W, 3], as an MP4 of high quality."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "10", "preset": "veryfast"})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv444p"
        for number, pixels in enumerate(frames):
            picture = VideoFrame.from_ndarray(np.ascontiguousarray(pixels), format="rgb24")
            picture.pts, picture.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return file.getvalue()


class ClipReader:
    """Reads at most one clip at a time; `poll` tells when it is there."""

    def __init__(self, read: Callable[[Path], bytes] = read_clip) -> None:
        self._read = read
        self._thread: threading.Thread | None = None
        self._result: bytes | AppError | None = None

    @property
    def busy(self) -> bool:
        """Whether a clip is being read."""
        return self._thread is not None

    def begin(self, path: Path) -> None:
        """Read a video, unless another one is being read."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, args=(path,), daemon=True, name="clip")
            self._thread.start()

    def poll(self) -> bytes | None:
        """The clip, once; None while it is being read. Raises `AppError` if it could not be read."""
        if self._thread is None or self._thread.is_alive():
            return None
        self._thread, result = None, self._result
        if isinstance(result, AppError):
            raise result
        return result

    def _run(self, path: Path) -> None:
        try:
            self._result = self._read(path)
        except AppError as error:
            self._result = error
