"""When to show which frame: an honest pacer over the bursts that a streaming model produces.

Frames arrive four at a time; a viewer wants them evenly spaced. The pacer shows them at the rate the worker really
makes them (never faster than the world's own frame rate), skips pictures when the display cannot keep up, and counts
both what it skipped and the moments when nothing new was there. Pure: time is an argument, in seconds of any
monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

Frame = TypeVar("Frame")


@dataclass(frozen=True, kw_only=True, slots=True)
class PacerConfig:
    """Constants of the pacer."""

    max_fps: float = 24.0
    """The world's own frame rate: nothing is shown faster."""
    min_fps: float = 1.0
    """Slowest pace that is kept even; below it every frame is shown as it comes."""
    smoothing: float = 0.3
    """Weight of the newest chunk in the average of the production rate."""
    catch_up: float = 0.25
    """How strongly a queue longer than `target` quickens the pace (share of the rate per `target` frames of excess)."""
    target: int = 4
    """Frames in hand that the pacer aims at: one latent."""
    braced: int = 8
    """Frames more that it wants to have in hand when something slow is coming."""
    ease: float = 0.2
    """How much slower it shows frames until it has them: nobody sees that, but everybody sees a picture that stops."""
    gap_s: float = 0.5
    """A pause between two ticks longer than this (suspend, clock jump, stall) re-anchors instead of skipping."""

    def __post_init__(self) -> None:
        if not 0 < self.min_fps <= self.max_fps:
            raise ValueError(f"min_fps must be in (0, max_fps], got {self.min_fps} and {self.max_fps}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Tick(Generic[Frame]):
    """Outcome of one `Pacer.tick`: the frame to show now (None: keep the last one), and what passed unseen."""

    frame: Frame | None
    dropped: tuple[Frame, ...] = ()


class Pacer(Generic[Frame]):
    """A queue of frames with a clock. `produced` reports work, `push` adds frames, `tick` takes the one due."""

    def __init__(self, config: PacerConfig | None = None) -> None:
        self.config = config or PacerConfig()
        self.drops = 0
        """Frames skipped because the display was late."""
        self.repeats = 0
        """Frame intervals in which nothing new could be shown although the world was running."""
        self.resets = 0
        """Times that the pacer re-anchored after a gap."""
        self.bracing = False
        """Something is coming that will take longer to make."""
        self._queue: deque[Frame] = deque()
        self._fps: float | None = None
        self._due: float | None = None
        self._famine: int | None = None
        """Whole intervals that passed since a frame was due and none was there; None while frames come."""
        self._last_tick: float | None = None

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def production_fps(self) -> float | None:
        """Average rate at which the worker can make frames; None before the first report."""
        return self._fps

    @property
    def fps(self) -> float:
        """The pace of the next frame: production rate, quickened by a queue above target, capped by the world's; a
        little slower while it braces itself and has too few in hand."""
        cfg, short = self.config, self.bracing and len(self._queue) < self.config.target + self.config.braced
        if self._fps is None:
            return cfg.max_fps
        excess = (len(self._queue) - cfg.target) / cfg.target
        quickened = self._fps * (1.0 + cfg.catch_up * max(0.0, excess))
        return max(cfg.min_fps, min(cfg.max_fps, quickened) * (1.0 - cfg.ease * short))

    def produced(self, frames: int, seconds: float) -> None:
        """The worker spent `seconds` of work on `frames` frames (not counting the time that it waited for us)."""
        if frames <= 0 or seconds <= 0:
            return
        rate = frames / seconds
        if self._fps is None:
            self._fps = rate
        else:
            # averaged as seconds a frame, so that one slow chunk counts for the time it really took
            pace = (1 - self.config.smoothing) / self._fps + self.config.smoothing / rate
            self._fps = 1.0 / pace

    def push(self, frame: Frame) -> None:
        """Append a frame that arrived."""
        self._queue.append(frame)

    def clear(self) -> None:
        """Forget every waiting frame (the world was reset): none of them counts as dropped."""
        self._queue.clear()
        self._due = self._famine = None

    def tick(self, now: float, *, running: bool = True) -> Tick[Frame]:
        """The frame due at `now`. With `running` False (paused), waiting for frames is no repeat."""
        self._reanchor_after_gap(now)
        if self._due is not None and now < self._due:
            return Tick(frame=None)
        interval = 1.0 / self.fps
        if not self._queue:
            self._starve(now, interval, running)
            return Tick(frame=None)
        # after a famine the rhythm begins anew with the frame that came: it is late through no fault of the display
        due = now if self._due is None or self._famine is not None else self._due
        self._famine = None
        late = min(int((now - due) / interval), len(self._queue) - 1)
        dropped = tuple(self._queue.popleft() for _ in range(late))
        self.drops += late
        self._due = max(due + (late + 1) * interval, now)
        return Tick(frame=self._queue.popleft(), dropped=dropped)

    def next_due(self, now: float) -> float:
        """When the next frame is due, at the earliest `now`; how long the loop may sleep."""
        return now if self._due is None else max(now, self._due)

    def _reanchor_after_gap(self, now: float) -> None:
        last, self._last_tick = self._last_tick, now
        if last is not None and not 0 <= now - last <= self.config.gap_s:
            self._due = self._famine = None
            self.resets += 1

    def _starve(self, now: float, interval: float, running: bool) -> None:
        """A frame is due and none is there: every whole interval that passes repeats the last one."""
        if self._due is None or not running:
            self._due = self._famine = None
            return
        missed = int((now - self._due) / interval)
        self.repeats += max(0, missed - (self._famine or 0))
        self._famine = missed
