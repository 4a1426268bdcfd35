"""One world seen through a link: controls go out, frames come in, are paced and measured.

The window and the headless player run this same class; they differ only in where controls come from and where frames
go. It knows neither pygame nor a clock: time is an argument.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any

import numpy as np
from msgspec.structs import replace

from app.ends import ChunkEnds
from app.input import Controls
from app.meter import Meter
from app.pacing import Pacer, PacerConfig
from app.scanning import Path2D, ScanState
from app.story import present_branch
from worker import protocol as wire
from worker.client import WorldLink

FRAMES_PER_LATENT = 4
_NEWS = 12
"""Latents that take longer to make after words."""
_UNDO_AGAIN_S = 1.5
"""Undoing again within this time goes further back, although the world has begun to move on."""


class Phase(Enum):
    """Where a walk stands."""

    IDLE = auto()
    """No world was asked for yet."""
    OPENING = auto()
    WALKING = auto()
    CLOSED = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture:
    """One frame with what its header said."""

    pixels: np.ndarray
    """uint8 RGB [H, W, 3]."""
    index: int
    chunk: int
    seq: int
    ends_chunk: bool
    generation: int = 0


@dataclass(kw_only=True, slots=True)
class WalkState:
    """Everything that the interface shows of a walk."""

    phase: Phase = Phase.IDLE
    world: wire.World | None = None
    picture: Picture | None = None
    """The frame on the screen."""
    progress: wire.Progress | None = None
    veil: str = ""
    """A sentence to lay over the picture; empty when all is well."""
    held: bool = False
    """The connection is over because another window has the session."""
    paused: bool = False
    notices: list[str] = field(default_factory=list)
    """Sentences for the user that nobody has taken yet."""
    asked: list[str] = field(default_factory=list)
    """Prompts that the worker has not answered yet; an answered one stands in `world.happenings`."""
    answered: list[wire.Happening] = field(default_factory=list)
    """Answered prompts of which nobody has told the person yet."""
    scan: ScanState = field(default_factory=ScanState)
    path: Path2D = field(default_factory=Path2D)
    seq: int = 0
    generation: int = 0
    keys: int = 0


class Walk:
    """Drives one `WorldLink`. Call `tick` at least once per frame interval."""

    def __init__(self, link: WorldLink, pacing: PacerConfig | None = None, size: tuple[int, int] | None = None) -> None:
        self.state = WalkState()
        self.size = size
        """Width and height of the pictures of new worlds; None for the largest in real time."""
        self.meter = Meter()
        self.pacer: Pacer[Picture] = Pacer(pacing)
        self._link = link
        self._pending: dict[int, wire.Request] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._first_ms = 0.0
        self._arrived = self._newest = 0
        self.ends = ChunkEnds()
        self._told: tuple[int, int, int, int, bool] | None = None
        self._turned: list[tuple[int, float, float]] = []
        self.walls = True
        """Walking stops before what is solid."""
        self._shown = 0
        self._undone = (0, -math.inf)

    # -- what the person asks for ----------------------------------------------------------------------------------

    def open(self, spec: wire.WorldSpec) -> None:
        """Leave the world and start or resume another."""
        self.state.phase = Phase.OPENING
        self.state.veil = ""
        self.state.paused = False
        self.state.asked.clear()
        sized = spec if spec.size or spec.session else replace(spec, size=self.size)
        self._request(wire.Open(id=0, spec=sized))

    def prompt(self, text: str) -> None:
        """Let an event happen."""
        self.state.asked.append(text)
        self._request(wire.SetPrompt(id=0, text=text))

    def reset(self, seed: int | None = None) -> None:
        """The world from its beginning, as another one if a seed is given."""
        self._request(wire.Reset(id=0, seed=seed))

    def undo(self, chunks: int, now: float) -> None:
        """Back by `chunks` chunks from the one on the screen; again at once: from where the last undo led."""
        picture = self.state.picture
        here = 0 if picture is None else picture.chunk + 1
        target, at = self._undone
        if now - at < _UNDO_AGAIN_S:
            here = min(here, target)
        if here == 0:
            self.state.notices.append("There is nothing to undo.")
            return
        self._undone = max(0, here - chunks), now
        self.rewind(self._undone[0])

    def rewind(self, chunks: int) -> None:
        """Back to the state after `chunks` chunks; what comes after it is kept as a branch."""
        self._request(wire.Rewind(id=0, chunks=chunks))

    def keep(self, name: str) -> None:
        """Give the branch that is walked on a name."""
        self._request(wire.Keep(id=0, name=name))

    def switch(self, branch: int) -> None:
        """To the end of another branch."""
        self._request(wire.Switch(id=0, branch=branch))

    def pause(self, paused: bool) -> None:
        """Stop or resume time. The picture stops at once, the model at its next chunk."""
        if paused != self.state.paused and self.state.world is not None:
            self.state.paused = paused
            self.meter.interrupt()
            self._request(wire.Pause(id=0) if paused else wire.Resume(id=0))

    def set_chunk(self, latents: int) -> None:
        """Latents per chunk from now on."""
        self._request(wire.SetChunk(id=0, chunk=latents))

    def restart(self) -> None:
        """Start a hanging model again."""
        self._request(wire.Restart(id=0))

    def scan(self, *, seconds: float, format: Any, mesh: bool) -> None:
        """Take the world home: the last `seconds` of the walk, or all of it where they are 0."""
        if not self.state.scan.running:
            self.state.scan.begin()
            self._request(wire.Scan(id=0, seconds=seconds, format=format, mesh=mesh))

    def cancel_scan(self) -> None:
        """End the scan that is under way."""
        self._request(wire.CancelScan(id=0))

    def save(self) -> None:
        """Make the session durable now."""
        self._request(wire.Save(id=0))

    def take_over(self, link: WorldLink) -> None:
        """Go on through another link, which gets the session that is under way."""
        self._link.close()
        self._link = link
        self._pending.clear()
        self.state = WalkState(phase=Phase.OPENING)
        self.pacer.clear()
        self.meter.interrupt()
        self._sizes.clear()
        self._turned.clear()
        self._told, self._shown, self._arrived = None, 0, 0

    def close(self) -> None:
        """End the connection."""
        self._link.close()

    # -- the heart beat --------------------------------------------------------------------------------------------

    def tick(self, now: float, controls: Controls) -> Picture | None:
        """Exchange with the worker and return a new picture if one is due at `now` (seconds, monotonic)."""
        for event in self._link.poll():
            self._take(event, now)
        picture = None
        if self.state.phase is Phase.WALKING and not self.state.paused:
            self.pacer.bracing = self._words_are_new(0)
            tick = self.pacer.tick(now, running=not self.state.veil)
            picture = tick.frame
        if picture is not None:
            self.state.picture = picture
            self._shown = picture.index + 1
            if picture.ends_chunk:
                self.ends.keep(picture.generation, picture.chunk, picture.pixels)
        self._control(now, controls)
        return picture

    def presented(self, picture: Picture, now: float) -> None:
        """`picture` reached the screen (or the file) at `now`."""
        self.meter.photon(picture.seq, now)
        self._turned = [turn for turn in self._turned if turn[0] > picture.seq]

    @property
    def turned(self) -> tuple[float, float]:
        """(yaw, pitch) in radians that the mouse has made since the control that shaped the picture on the screen."""
        return sum(turn[1] for turn in self._turned), sum(turn[2] for turn in self._turned)

    @property
    def lead(self) -> int:
        """Pictures that may wait when the next chunk starts: as few as cover the time to its first picture, more where
        words make it slower."""
        world, rate = self.state.world, self.pacer.production_fps
        if world is None or rate is None or rate < 1.3 * world.fps:
            return 64
        more = self.pacer.config.braced if self._words_are_new(_NEWS // world.chunk) else 0
        return min(64, math.ceil(self._first_ms / 1e3 * world.fps) + FRAMES_PER_LATENT + more)

    def _words_are_new(self, chunks: int) -> bool:
        """Whether words are still to be answered, or so many chunks that were made under them still to come."""
        world = self.state.world
        if world is None or not world.happenings:
            return bool(self.state.asked)
        return bool(self.state.asked) or self._newest < world.happenings[-1].chunk + chunks

    def _control(self, now: float, controls: Controls) -> None:
        """Send a control if there is news: keys, motion, credit or generation."""
        state = self.state
        if state.world is None:
            return
        told = (controls.keys, self._shown, self.lead, state.generation, self.walls)
        acted = controls.keys != state.keys or controls.taps or controls.yaw or controls.pitch
        if not acted and told == self._told:
            return
        state.seq += 1
        state.keys = controls.keys
        self._told = told
        self._link.control(
            wire.Control(
                seq=state.seq, generation=state.generation, keys=controls.keys, taps=controls.taps, yaw=controls.yaw,
                pitch=controls.pitch, sent_ns=max(0, round(now * 1e9)), shown=self._shown, lead=told[2],
                walls=self.walls,
            )
        )  # fmt: skip
        if acted:
            self.meter.action(state.seq, now)
        if controls.yaw or controls.pitch:
            self._turned.append((state.seq, controls.yaw, controls.pitch))

    # -- what the worker says --------------------------------------------------------------------------------------

    def _take(self, event: wire.Event, now: float) -> None:
        match event:
            case wire.Frames():
                self._frames(event, now)
            case wire.World():
                self._world(event)
            case wire.Reply():
                self._reply(event)
            case wire.Progress(stage="scan"):
                self.state.scan.heard(event)
            case wire.Progress():
                self.state.progress = event
            case wire.Trail():
                self.state.path.take(event)
            case wire.WorkerState():
                self.state.veil = event.sentence
            case wire.Refused():
                self.state.notices.append(event.sentence)
            case wire.Closed():
                self.state.phase = Phase.CLOSED
                self.state.veil, self.state.held = event.sentence, event.held
            case wire.Welcome():
                pass

    def _world(self, world: wire.World) -> None:
        jumped = world.generation != self.state.generation
        if self.state.world is not None and world.session != self.state.world.session:
            self.ends.clear()
        self._enter(world.generation)
        self.state.world = world
        if jumped:
            self._stand(world)
        self.state.phase = Phase.WALKING
        self.state.progress = None
        if not any(isinstance(request, wire.Pause | wire.Resume) for request in self._pending.values()):
            self.state.paused = world.paused

    def _stand(self, world: wire.World) -> None:
        """Show where a jump has led: the last picture before the next chunk, if it is known."""
        here = present_branch(world)
        if here is None or self.state.picture is None:
            return
        known = self.ends.get(here.made, here.chunks - 1)
        pixels = self.state.picture.pixels if known is None else known
        self.state.picture = Picture(pixels=pixels, index=0, chunk=here.chunks - 1, seq=0, ends_chunk=True)

    def _enter(self, generation: int) -> None:
        """Throw away everything that waits from another life of the world."""
        if generation == self.state.generation:
            return
        self.state.generation = generation
        self.pacer.clear()
        self.meter.interrupt()
        self._sizes.clear()
        self._turned.clear()
        self._shown = self._arrived = 0

    def _frames(self, frames: wire.Frames, now: float) -> None:
        if frames.generation < self.state.generation:
            return
        self._enter(frames.generation)
        self._newest = frames.chunk
        left_out = max(0, frames.index - self._arrived)
        self._arrived = frames.index + frames.count
        self.meter.generated.add(now, frames.count)
        if left_out:
            self.meter.left_out.add(now, left_out)
        self._production(frames, left_out)
        shape = (frames.count, frames.height, frames.width, 3)
        for offset, pixels in enumerate(np.frombuffer(frames.pixels, dtype=np.uint8).reshape(shape)):
            self.pacer.push(
                Picture(
                    pixels=pixels,
                    index=frames.index + offset,
                    chunk=frames.chunk,
                    seq=frames.seq,
                    ends_chunk=frames.last and offset == frames.count - 1,
                    generation=frames.generation,
                )
            )

    def _production(self, frames: wire.Frames, left_out: int) -> None:
        """Learn from a header how fast the worker works; the pace follows the pictures that come.

        The first chunk of a world takes time to get ready, to invent the picture that all begins with among others:
        that says nothing about the others.
        """
        before = self._sizes.get(frames.chunk - 1)
        if frames.latent == 0:
            self._first_ms = frames.gen_ms
            if before is not None and frames.chunk_ms > 0 and frames.chunk > 1:
                seconds = frames.chunk_ms / 1e3
                self.pacer.produced(before[0], seconds)
                self.meter.chunk(sum(before), seconds, self.state.world.fps if self.state.world else 24.0)
        came, missing = self._sizes.get(frames.chunk, (0, 0))
        self._sizes[frames.chunk] = came + frames.count, missing + left_out
        self._sizes.pop(frames.chunk - 2, None)

    def _reply(self, reply: wire.Reply) -> None:
        request = self._pending.pop(reply.id, None)
        if isinstance(request, wire.SetPrompt) and request.text in self.state.asked:
            self.state.asked.remove(request.text)
            self.state.answered += self.state.world.happenings[-1:] if self.state.world and reply.ok else ()
        if isinstance(request, wire.Scan):
            self.state.notices.append(self.state.scan.ended(reply))
        elif reply.error:
            self.state.notices.append(reply.error)
            if isinstance(request, wire.Open):
                self.state.phase = Phase.IDLE if self.state.world is None else Phase.WALKING
                self.state.progress = None
        elif notice := str(reply.data.get("notice") or ""):
            self.state.notices.append(notice)

    def _request(self, request: wire.Request) -> None:
        self._pending[self._link.request(request)] = request
