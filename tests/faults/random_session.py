"""A hundred things that a person may do, in any order, through the window's own walk and pacer and the real processes.

`python -m tests.faults.random_session --preset pocket --acts 100` plays a seeded script of events, starts, undos,
resets, branches and pauses, judges every session that it has made, and ends with one JSON object of figures.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from msgspec.structs import replace

from app.clip import encode
from app.explorer import POLL_S
from app.gallery import STARTS
from app.input import Controls
from app.meter import Meter, percentile
from app.story import without
from app.walk import Phase, Picture, Walk
from tests.faults.judge import Verdict, disagreements, judge
from tests.faults.walker import SECONDS
from worker import protocol as wire
from worker.client import SocketLink, launch_local
from worker.journal import read
from worker.model_protocol import fingerprint

WORDS = ("it starts to rain", "snow begins to fall", "night falls", "a house catches fire", "a deer appears", "起雾了")
STOPS = ("it stops", "停了")
NAMES = ("夜", "the fire", "a walk")
KINDS = {
    "event": 22, "it stops": 6, "end event": 4, "undo event": 6, "undo": 14, "reset": 8, "keep": 4, "switch": 8,
    "chunk": 6, "pause": 4, "start seed": 4, "start words": 3, "start picture": 3, "start stranger": 2,
    "start video": 2, "start session": 4,
}  # fmt: skip
"""What is done, and how often of a hundred times; what cannot be done at the moment comes later."""
LONG_MS = 500.0
"""An interval between two pictures that a person takes for a stop."""


class Tap:
    """A link that remembers: what was asked and answered, and what of each chunk came, by its fingerprint."""

    def __init__(self, link: SocketLink) -> None:
        self._link = link
        self.control, self.close = link.control, link.close
        self.asked: dict[int, wire.Request] = {}
        self.replies: dict[int, wire.Reply] = {}
        self.told: dict[str, wire.World] = {}
        """The last that was told of each session."""
        self.settled: set[str] = set()
        """Sessions of which nothing changed after that."""
        self.seen: dict[tuple[int, int], bytes] = {}
        """(generation, chunk) -> fingerprint of all its pictures, of chunks that came whole."""
        self.troubles: list[str] = []
        self._coming: dict[tuple[int, int], Any] = {}

    def request(self, request: wire.Request) -> int:
        """Pass on a request."""
        number = self._link.request(request)
        self.asked[number] = request
        return number

    def poll(self) -> list[wire.Event]:
        """What the worker says."""
        events = self._link.poll()
        for event in events:
            match event:
                case wire.Reply():
                    assert event.id not in self.replies, f"request {event.id} was answered twice"
                    self.replies[event.id] = event
                case wire.World():
                    self.told[event.session] = event
                case wire.WorkerState() | wire.Refused() | wire.Closed() if event.sentence:
                    self.troubles.append(event.sentence)
                case wire.Frames():
                    self._picture(event)
                case _:
                    pass
        return events

    def _picture(self, frames: wire.Frames) -> None:
        name = (frames.generation, frames.chunk)
        if frames.latent == 0:
            self._coming[name] = fingerprint()
        if name in self._coming:
            self._coming[name].update(frames.pixels)
            if frames.last:
                self.seen[name] = self._coming.pop(name).digest()


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """How often a person does something."""

    between: tuple[float, float]
    """Shortest and longest time between two acts, seconds."""
    hurried: float = 0.5
    """Share of the acts that do not wait for the answer to the last one."""


@dataclass(kw_only=True, slots=True)
class Person:
    """Someone who walks about and does things, each drawn from `rng`."""

    tap: Tap
    walk: Walk
    rng: random.Random
    spec: wire.WorldSpec
    """Preset, chunk and size of the worlds that are opened."""
    pictures: Sequence[Path]
    video: bytes
    done: list[str] = field(default_factory=list)
    resumed: list[str] = field(default_factory=list)
    gaps_ms: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Kind of act -> from the act to the first new picture after it was answered."""
    stops: list[tuple[str, float]] = field(default_factory=list)
    """The last act, and how long it was until the next picture, where no jump explains that."""
    _deck: list[str] = field(default_factory=list)
    """What is still to be done, in this order as far as it can be."""
    _hands: random.Random = field(default_factory=lambda: random.Random(0))
    _keys: int = 0
    _turn: float = 0.0
    _next_keys: float = 0.0

    def beat(self) -> Picture | None:
        """One turn of the window's loop."""
        now = time.monotonic()
        if now >= self._next_keys:
            self._keys = self._hands.choice((0b1, 0b1, 0b10001, 0b100001, 0b100, 0b0))
            self._turn = self._hands.choice((0.0, 0.0, 0.002, -0.004))
            self._next_keys = now + self._hands.uniform(0.2, 1.0)
        count = len(self.walk.meter.intervals_ms)
        picture = self.walk.tick(now, Controls(keys=self._keys, taps=0, yaw=self._turn))
        if picture is not None:
            self.walk.presented(picture, time.monotonic())
            self.stops += [(self.done[-1] if self.done else "", ms)
                           for ms in self.walk.meter.intervals_ms[count:] if ms > LONG_MS]  # fmt: skip
        time.sleep(min(POLL_S, max(0.0, self.walk.pacer.next_due(now) - now) or POLL_S))
        return picture

    def until(self, ready: Callable[[], object], seconds: float = SECONDS) -> None:
        """Walk until something is so."""
        deadline = time.monotonic() + seconds
        while not ready():
            assert time.monotonic() < deadline, f"waited {seconds} s after {self.done[-5:]}: {self.tap.troubles}"
            self.beat()

    def answered(self) -> bool:
        """Whether nothing that was asked waits for its answer."""
        return len(self.tap.replies) == len(self.tap.asked)

    def rest(self, seconds: float) -> None:
        """Walk on."""
        end = time.monotonic() + seconds
        self.until(lambda: time.monotonic() >= end)

    def see(self) -> None:
        """Walk until a new picture is shown."""
        shown = self.walk.meter.shown.total
        self.until(lambda: self.walk.meter.shown.total > shown)

    def settle(self) -> None:
        """Stand still until the worker has nothing under way, and be told of the world as it is then."""
        self.until(self.answered)
        self.walk.pause(True)
        while self.ask(wire.Status()).data["making"]:
            self.rest(0.02)
        self.ask(wire.Pause())
        world = self.walk.state.world
        assert world is not None
        self.tap.settled.add(world.session)

    def ask(self, request: wire.Request) -> wire.Reply:
        """The answer to something that the window itself would not ask."""
        number = self.tap.request(request)
        self.until(lambda: number in self.tap.replies)
        return self.tap.replies[number]

    def act(self, pace: Pace) -> None:
        """Do something and walk on for a while."""
        if self.rng.random() >= pace.hurried:
            self.until(self.answered)
        if self.walk.state.phase is not Phase.WALKING:
            self.until(lambda: self.walk.state.phase is Phase.WALKING)
        possible = self.possible()
        kind = self._draw(set(possible))
        self.done.append(kind)
        begun = time.monotonic()
        possible[kind]()
        if kind != "pause" and self.rng.random() < 0.5:
            self.until(self.answered)
            self.see()
            self.gaps_ms[kind].append(1e3 * (time.monotonic() - begun))
        self.rest(self.rng.uniform(*pace.between))

    def _draw(self, possible: set[str]) -> str:
        if not possible & set(self._deck):
            fresh = [kind for kind, often in KINDS.items() for _ in range(often)]
            self._deck += self.rng.sample(fresh, len(fresh))
        return self._deck.pop(next(place for place, kind in enumerate(self._deck) if kind in possible))

    def possible(self) -> dict[str, Callable[[], None]]:
        """What can be done now."""
        walk, rng, world = self.walk, self.rng, self.walk.state.world
        assert world is not None
        now = time.monotonic()
        found: dict[str, Callable[[], None]] = {
            "event": lambda: self._say(rng.choice(WORDS)),
            "it stops": lambda: self._say(rng.choice(STOPS)),
            "reset": lambda: walk.reset(rng.choice([None, rng.randrange(1000)])),
            "keep": lambda: walk.keep(rng.choice(NAMES)),
            "chunk": lambda: walk.set_chunk(rng.choice([1, 2, 4])),
            "pause": self._pause,
            "start seed": lambda: self._start(seed=rng.randrange(1000)),
            "start words": lambda: self._start(prompt="a village by the sea"),
            "start picture": lambda: self._start(image=rng.choice(self.pictures[:-1]).read_bytes()),
            "start stranger": lambda: self._start(
                image=self.pictures[-1].read_bytes(), prompt="rolling country, a fox walks ahead."
            ),
            "start video": lambda: self._start(video=self.video),
        }
        active, said = world.prompt.split("\n")[1:], world.happenings
        if walk.state.picture is not None and walk.state.picture.chunk >= 0:
            found["undo"] = lambda: walk.undo(rng.randint(1, 3), now)
        if active:
            found["end event"] = lambda: self._say(without(world, rng.choice(active)))
        if said:
            found["undo event"] = lambda: walk.rewind(rng.choice(said).chunk)
        others = [branch.number for branch in world.branches if branch.number != world.branch]
        if others and self.answered():  # what is still asked for may leave one of them without a chunk: forgotten
            found["switch"] = lambda: walk.switch(rng.choice(others))
        if left := [path for path in self.tap.told if path != world.session]:
            found["start session"] = lambda: self._resume(rng.choice(left))
        return found

    def _say(self, words: str) -> None:
        self.walk.prompt(words)
        self.walk.meter.said(time.monotonic())

    def _pause(self) -> None:
        self.walk.pause(True)
        self.rest(0.1)
        self.walk.pause(False)
        self.until(self.answered)

    def _start(self, **what: Any) -> None:
        if self.rng.random() < 0.5:
            self.settle()
        self.walk.open(replace(self.spec, **what))

    def _resume(self, session: str) -> None:
        self.settle()
        self.tap.settled.discard(session)
        self.resumed.append(session)
        self.walk.open(replace(self.spec, session=session))


def film() -> bytes:
    """A second and a half of a square that wanders, as the window sends a video."""
    frames = np.full((37, 96, 160, 3), (60, 120, 180), np.uint8)
    for number, frame in enumerate(frames):
        frame[40:70, 20 + 2 * number : 50 + 2 * number] = (200, 80, 40)
    return encode(list(frames))


def run(
    sessions: Path, *, spec: wire.WorldSpec, acts: int, seed: int, pace: Pace, calm_s: float, again: int = 5
) -> tuple[Verdict, dict[str, Any]]:
    """Walk in peace for `calm_s` seconds, then with `acts` acts, then judge what is left and open the `again` newest
    sessions again; the verdict, and figures of how it felt."""
    link = launch_local(sessions=sessions)
    try:
        tap = Tap(link)
        rng, walk = random.Random(seed), Walk(tap)
        person = Person(tap=tap, walk=walk, rng=rng, spec=spec, pictures=starts(), video=film())
        person.walk.open(replace(spec, image=person.pictures[0].read_bytes(), prompt="a village"))
        person.see()
        person.rest(calm_s)
        calm, person.walk.meter = person.walk.meter, Meter()
        for _ in range(acts):
            person.act(pace)
        person.settle()
        report = figures(person, calm)
        verdict = judge(sessions, tap.told, tap.settled, tap.seen)
        for path in sorted(sessions.glob("*.wander"), key=lambda path: path.stat().st_mtime)[-again:]:
            verdict.wrong += [f"{path.name}, opened again: {each}" for each in resumed_as(path, person)]
    finally:
        link.close()
    return verdict, report


def starts() -> list[Path]:
    """Pictures of the gallery; on the last one a fox walks ahead."""
    return [STARTS / f"{name}.png" for name in ("snow-cabin", "red-village", "lone-tree", "follow-the-fox")]


def resumed_as(session: Path, person: Person) -> list[str]:
    """What is different when the session is opened as a person does it."""
    history = read(session).history
    person.walk.open(replace(person.spec, session=str(session)))
    person.until(person.answered)
    told = person.tap.told[str(session)]
    return disagreements(told, history, settled=True)


def figures(person: Person, calm: Meter) -> dict[str, Any]:
    """What the walk felt like, beside the walk in peace."""
    gaps = {kind: [percentile(each, q) for q in (50, 100)] for kind, each in sorted(person.gaps_ms.items())}
    return {
        "acts": {kind: person.done.count(kind) for kind in KINDS},
        "calm": felt(calm),
        "busy": felt(person.walk.meter) | {"drops": person.walk.pacer.drops, "repeats": person.walk.pacer.repeats},
        "stops": [[kind, round(ms)] for kind, ms in person.stops],
        "to_next_picture_p50_max_ms": {kind: [round(each or 0) for each in pair] for kind, pair in gaps.items()},
        "refused": [reply.error for reply in person.tap.replies.values() if reply.error],
        "troubles": person.tap.troubles,
    }


def felt(meter: Meter) -> dict[str, Any]:
    """Figures of a meter."""
    names = ("frames", "fps_shown", "interval_p50_ms", "interval_p99_ms", "prompts", "prompted_p50_ms",
             "prompted_p99_ms", "rtf_p50", "rtf_p95")  # fmt: skip
    longest = round(max(meter.intervals_ms, default=0.0), 1)
    return {name: meter.report()[name] for name in names} | {"interval_max_ms": longest}


def main(arguments: Sequence[str] | None = None) -> None:
    """Play, judge, print."""
    options = argparse.ArgumentParser(prog="python -m tests.faults.random_session", description=__doc__)
    options.add_argument("--preset", default="fake")
    options.add_argument("--acts", type=int, default=100)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--calm", type=float, default=20.0, metavar="SECONDS")
    options.add_argument("--between", type=float, nargs=2, default=(0.5, 3.0), metavar="SECONDS")
    options.add_argument("--size", type=int, nargs=2, default=(160, 96))
    chosen = options.parse_args(arguments)
    spec = wire.WorldSpec(preset=chosen.preset, seed=3, size=tuple(chosen.size))
    pace = Pace(between=tuple(chosen.between))
    with tempfile.TemporaryDirectory() as folder:
        verdict, report = run(
            Path(folder), spec=spec, acts=chosen.acts, seed=chosen.seed, pace=pace, calm_s=chosen.calm
        )
    json.dump(asdict(verdict) | report, sys.stdout, ensure_ascii=False)
    sys.stdout.write("\n")


if __name__ == "__main__":
    main()
