"""Recording to MP4: every frame at the time when it was shown; a crash or a full disk costs at most the last second."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Self

import av
import numpy as np
from av.video.stream import VideoStream

from app.errors import AppError

_TICKS = 90_000
_FRAGMENT_FRAMES = 24
_RATE = 24


class Recorder:
    """Writes frames to one file until `close`. A failing disk ends the recording, never the walk."""

    def __init__(self, path: Path, size: tuple[int, int]) -> None:
        """`size` is (width, height) of the video. Raises `AppError` if the file cannot be made."""
        self.path = path
        self.problem = ""
        """A sentence once writing has failed; then nothing more is written."""
        self.frames = 0
        self._start: float | None = None
        self._last = -1
        self._closed = False
        # fragments of one second, flushed: the file can be played up to the last complete one, whatever happens
        options = {"movflags": "frag_keyframe+empty_moov+default_base_moof", "flush_packets": "1"}
        try:
            self._container = av.open(str(path), "w", format="mp4", options=options)
            self._stream = self._container.add_stream("libx264", rate=_RATE)
            assert isinstance(self._stream, VideoStream)
            self._stream.width, self._stream.height = (side - side % 2 for side in size)
            self._stream.pix_fmt = "yuv420p"
            self._stream.codec_context.time_base = Fraction(1, _TICKS)
            self._stream.codec_context.gop_size = _FRAGMENT_FRAMES
            self._stream.codec_context.thread_count = 1
            self._stream.options = {"preset": "veryfast", "crf": "17", "tune": "zerolatency"}
            self._container.start_encoding()
        except OSError as error:
            raise AppError(f"The recording {path} cannot be written: {error.strerror or error}.") from error

    def write(self, frame: np.ndarray, now: float) -> None:
        """Add a frame, uint8 RGB [H, W, 3], shown at `now` seconds of a monotonic clock."""
        if self.problem:
            return
        self._start = now if self._start is None else self._start
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        # an encoder needs strictly increasing times
        self._last = max(self._last + 1, round((now - self._start) * _TICKS))
        picture.pts, picture.time_base = self._last, Fraction(1, _TICKS)
        try:
            self._container.mux(self._stream.encode(picture))
            self.frames += 1
        except OSError as error:
            self._fail(error)

    def close(self) -> None:
        """Finish the file."""
        if self._closed:
            return
        self._closed = True
        try:
            if not self.problem:
                self._container.mux(self._stream.encode(None))
            self._container.close()
        except OSError as error:
            self._fail(error)

    def _fail(self, error: OSError) -> None:
        minutes, seconds = divmod(self._last // _TICKS, 60)
        self.problem = f"The recording stopped ({error.strerror or error}): saved {minutes:02d}:{seconds:02d}."


class Recording:
    """A video of pictures that come as fast as they can be made, each shown for 1/24 s; without a path, nothing.

    Use it as a context manager: the file is made at the first pictures and finished at the end.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._recorder: Recorder | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._recorder is not None:
            self._recorder.close()

    def write(self, latents: list[np.ndarray]) -> None:
        """Add pictures, uint8 RGB [F, H, W, 3] of each latent. Raises `AppError` if the file cannot be written."""
        for picture in [picture for frames in latents for picture in frames] if self._path else ():
            assert self._path is not None
            self._recorder = self._recorder or Recorder(self._path, (picture.shape[1], picture.shape[0]))
            self._recorder.write(picture, self._recorder.frames / _RATE)
            if self._recorder.problem:
                raise AppError(self._recorder.problem)
