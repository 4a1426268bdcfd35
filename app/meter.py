"""What a viewer feels, on the viewer's own clock: frame rates, intervals, the time from action to photon."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

_WINDOW_S = 3.0
_RECENT = 32
AFTER_WORDS_S = 2.0
"""Seconds after a prompt whose intervals are counted apart: its words are read, and the context made anew, in them."""


def percentile(samples: Sequence[float], q: float) -> float | None:
    """The q-th percentile (0..100) by linear interpolation; None for no samples."""
    if not samples:
        return None
    ordered = sorted(samples)
    place = (len(ordered) - 1) * q / 100
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


@dataclass(slots=True)
class Rate:
    """Events per second: over the last seconds, and over all time from the first event to the last."""

    window_s: float = _WINDOW_S
    total: int = 0
    _recent: deque[tuple[float, int]] = field(default_factory=deque)
    _first: tuple[float, int] | None = None
    _last: float = 0.0

    def add(self, now: float, count: int = 1) -> None:
        """`count` events happened at `now`."""
        self.total += count
        self._first = self._first or (now, count)
        self._last = now
        self._recent.append((now, count))
        while now - self._recent[0][0] > self.window_s:
            self._recent.popleft()

    def recent(self, now: float) -> float:
        """Events per second lately: those after the oldest remembered moment, over the time since it."""
        while self._recent and now - self._recent[0][0] > self.window_s:
            self._recent.popleft()
        if len(self._recent) < 2:
            return 0.0
        start, burst = self._recent[0]
        events = sum(count for _, count in self._recent) - burst
        return events / max(self._recent[-1][0] - start, 1e-9)

    def overall(self) -> float:
        """Events per second between the first moment and the last."""
        if self._first is None or self._last <= self._first[0]:
            return 0.0
        return (self.total - self._first[1]) / (self._last - self._first[0])


class Meter:
    """Collects the figures of one session. All times are seconds of one monotonic clock."""

    def __init__(self) -> None:
        self.generated = Rate()
        """Distinct frames that the model made and that arrived."""
        self.left_out = Rate()
        """Frames that the worker left out because the network could not carry them."""
        self.shown = Rate()
        """Distinct frames that reached the eye."""
        self.latencies_ms: list[float] = []
        """From each action (key or mouse) to the first frame that was shaped by it."""
        self.intervals_ms: list[float] = []
        """Between two new frames shown, pauses left out."""
        self.prompts = 0
        self.prompted_ms: list[float] = []
        """Those of the intervals that ended soon after a prompt."""
        self.rtf: list[float] = []
        """Real-time factor of each chunk: time to make it / time it lasts on the screen; below 1 keeps up."""
        self._actions: deque[tuple[int, float]] = deque()
        self._last_shown: float | None = None
        self._said_at = -1e9

    def said(self, now: float) -> None:
        """The person prompted an event at `now`."""
        self.prompts += 1
        self._said_at = now

    def action(self, seq: int, at: float) -> None:
        """The control `seq` carried something new that the person did at `at`."""
        self._actions.append((seq, at))

    def chunk(self, frames: int, seconds: float, fps: float) -> None:
        """A chunk of `frames` frames, to be shown at `fps`, took `seconds` to make."""
        self.rtf.append(seconds * fps / frames)

    def photon(self, seq: int, now: float) -> None:
        """A new frame reached the screen at `now`; `seq` is the newest control that shaped it."""
        self.shown.add(now)
        if self._last_shown is not None:
            self.intervals_ms.append((now - self._last_shown) * 1e3)
            if now - self._said_at <= AFTER_WORDS_S:
                self.prompted_ms.append(self.intervals_ms[-1])
        self._last_shown = now
        while self._actions and self._actions[0][0] <= seq:
            self.latencies_ms.append((now - self._actions.popleft()[1]) * 1e3)

    def interrupt(self) -> None:
        """The stream was cut on purpose (pause, reset): the next interval and pending actions do not count."""
        self._last_shown = None
        self._actions.clear()

    @property
    def recent_latency_ms(self) -> float | None:
        """Median of the last few latencies; None before the first."""
        return percentile(self.latencies_ms[-_RECENT:], 50)

    def report(self) -> dict[str, float | int | None]:
        """The figures of the whole session; None where nothing was measured."""
        return {
            "fps_generated": round(self.generated.overall(), 2),
            "fps_shown": round(self.shown.overall(), 2),
            "rtf_p50": _rounded(percentile(self.rtf, 50), 3),
            "rtf_p95": _rounded(percentile(self.rtf, 95), 3),
            "interval_p50_ms": _rounded(percentile(self.intervals_ms, 50), 1),
            "interval_p99_ms": _rounded(percentile(self.intervals_ms, 99), 1),
            "prompts": self.prompts,
            "prompted_p50_ms": _rounded(percentile(self.prompted_ms, 50), 1),
            "prompted_p99_ms": _rounded(percentile(self.prompted_ms, 99), 1),
            "latency_p50_ms": _rounded(percentile(self.latencies_ms, 50), 1),
            "latency_p95_ms": _rounded(percentile(self.latencies_ms, 95), 1),
            "frames": self.shown.total,
            "left_out": self.left_out.total,
        }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
