"""The explorer's loop without a person and without a window: how tests and measurements play."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import psutil

from app.errors import AppError
from app.explorer import POLL_S
from app.input import Controls, MouseLook
from app.recorder import Recorder
from app.script import Cue, ScriptReader
from app.walk import Phase, Walk

_RSS_EVERY_S = 0.5

Report = dict[str, float | int | str | None]


@dataclass(kw_only=True, slots=True)
class Clockwork:
    """Time and sleep, so that tests can bring their own."""

    now: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


class HeadlessPlayer:
    """Plays a script on a walk whose world was asked for already."""

    def __init__(
        self, walk: Walk, cues: tuple[Cue, ...], *, recorder: Callable[[tuple[int, int]], Recorder] | None = None,
        clockwork: Clockwork | None = None, look: MouseLook | None = None,
    ) -> None:  # fmt: skip
        """`recorder` makes a recorder for (width, height), once the size of the world is known."""
        self.walk = walk
        self._reader = ScriptReader(cues)
        self._new_recorder = recorder
        self._recorder: Recorder | None = None
        self._clock = clockwork or Clockwork()
        self._look = look or MouseLook()
        self._begun = self._clock.now()
        self._first: float | None = None
        self._last: float = self._begun
        self._keys = 0
        self._rss_mb = 0.0
        self._rss_at = -1e9

    def play(self, seconds: float) -> Report:
        """Play for `seconds` from the first picture on; returns the figures. Raises `AppError` if no world opens."""
        try:
            while self._first is None or self._clock.now() - self._first < seconds:
                self._beat()
                now = self._clock.now()
                self._clock.sleep(min(POLL_S, max(0.0, self.walk.pacer.next_due(now) - now) or POLL_S))
        finally:
            if self._recorder is not None:
                self._recorder.close()
        return self._report()

    def _beat(self) -> None:
        now = self._clock.now()
        picture = self.walk.tick(now, self._controls(now))
        if picture is not None:
            if self._first is None:
                self._first = self._last = now
            self._record(picture.pixels, now)
            self.walk.presented(picture, self._clock.now())
        self._measure(now)
        state = self.walk.state
        if state.phase is Phase.CLOSED or (state.phase is Phase.IDLE and state.notices):
            raise AppError(state.veil or " ".join(state.notices))

    def _controls(self, now: float) -> Controls:
        if self._first is None:
            return Controls()
        for cue in self._reader.until(now - self._first):
            self._ask(cue, now)
        elapsed, self._last = now - self._last, now
        yaw, pitch = self._look.angles(self._reader.mouse[0] * elapsed, self._reader.mouse[1] * elapsed)
        before, self._keys = self._keys, self._reader.keys
        return Controls(keys=self._keys, taps=self._keys & ~before, yaw=yaw, pitch=pitch)

    def _ask(self, cue: Cue, now: float) -> None:
        walk = self.walk
        if cue.prompt is not None:
            walk.prompt(cue.prompt)
            walk.meter.said(now)
        match cue.command:
            case ("undo", (chunks,)):
                walk.undo(chunks, now)
            case ("reset", seeds):
                walk.reset(*seeds)
            case ("new", seeds):
                walk.reset(seeds[0] if seeds else random.randrange(1 << 31))
            case ("pause", _):
                walk.pause(True)
            case ("resume", _):
                walk.pause(False)
            case ("chunk", (latents,)):
                walk.set_chunk(latents)
            case ("save", _):
                walk.save()

    def _record(self, pixels: np.ndarray, now: float) -> None:
        if self._new_recorder is not None and self._recorder is None:
            self._recorder = self._new_recorder((pixels.shape[1], pixels.shape[0]))
        if self._recorder is not None:
            self._recorder.write(pixels, now)

    def _measure(self, now: float) -> None:
        if now - self._rss_at >= _RSS_EVERY_S:
            self._rss_at = now
            self._rss_mb = max(self._rss_mb, memory_mb())

    def _report(self) -> Report:
        world, pacer = self.walk.state.world, self.walk.pacer
        assert self._first is not None
        report: Report = dict(self.walk.meter.report())
        report["drops"], report["repeats"] = pacer.drops, pacer.repeats
        report["fps_capacity"] = None if pacer.production_fps is None else round(pacer.production_fps, 2)
        report["first_frame_s"] = round(self._first - self._begun, 3)
        report["rss_mb"] = round(self._rss_mb, 1)
        report["preset"] = world.preset if world else None
        report["session"] = world.session if world else None
        report["notices"] = " ".join(self.walk.state.notices)
        report["recording_problem"] = self._recorder.problem if self._recorder else ""
        return report


def memory_mb() -> float:
    """Resident memory of this process and all below it, MiB."""
    me = psutil.Process()
    total = 0
    for process in [me, *me.children(recursive=True)]:
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 2**20
