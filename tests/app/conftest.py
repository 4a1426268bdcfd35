"""A worker's end of the link under the test's own hand."""

from dataclasses import dataclass, field

import numpy as np
import pytest

from app.window import Window
from tests.app.hands import Eyes, explorers
from worker import protocol as wire


@dataclass
class HandLink:
    """A `WorldLink` whose worker is the test: `events` go in, `requests` and `controls` come out."""

    events: list = field(default_factory=list)
    requests: list = field(default_factory=list)
    controls: list = field(default_factory=list)
    frames: int = 0
    generation: int = 1
    closed: bool = False

    def control(self, control):
        self.controls.append(control)

    def request(self, request):
        self.requests.append(request)
        return len(self.requests)

    def poll(self):
        events, self.events = self.events, []
        return events

    def close(self):
        self.closed = True

    def asked(self, kind):
        """All requests of one kind."""
        return [request for request in self.requests if isinstance(request, kind)]

    def reply(self, error="", **data):
        """Answer the newest request."""
        self.events.append(wire.Reply(id=len(self.requests), error=error, data=data))

    def world(self, **changes):
        """Say that a world is open."""
        known = {
            "generation": self.generation, "preset": "fake", "seed": 7, "prompt": "", "width": 32, "height": 20,
            "fps": 24.0, "chunk": 4, "chunks": 0, "paused": False, "session": "/tmp/walk.wander",
        }  # fmt: skip
        self.generation = changes.get("generation", self.generation)
        self.events.append(wire.World(**(known | changes)))

    def pictures(self, count=4, *, chunk=0, latent=0, last=False, grey=None, seq=None, **header):
        """Send the pictures of one latent; each is one grey, by default its index."""
        greys = [(self.frames + k if grey is None else grey) % 256 for k in range(count)]
        pixels = np.repeat(np.array(greys, np.uint8), 20 * 32 * 3).tobytes()
        newest = self.controls[-1].seq if self.controls else 0
        known = {
            "generation": self.generation, "chunk": chunk, "latent": latent, "last": last, "index": self.frames,
            "seq": newest if seq is None else seq, "width": 32, "height": 20, "count": count, "produced_ns": 0,
            "gen_ms": 50.0, "chunk_ms": 0.0, "pixels": pixels,
        }  # fmt: skip
        self.events.append(wire.Frames(**(known | header)))
        self.frames += count


@pytest.fixture
def link():
    """A link whose worker is the test."""
    return HandLink()


@pytest.fixture(scope="module")
def window(request):
    """A window that nobody sees, of the `SIZE` that the file of tests names."""
    window = Window(request.module.SIZE)
    yield window
    window.close()


@pytest.fixture
def eyes(monkeypatch):
    """See `Eyes`."""
    return Eyes(monkeypatch)


@pytest.fixture
def look_at(window, link, tmp_path, monkeypatch):
    """See `explorers`; the person's home is an empty folder."""
    monkeypatch.setenv("HOME", str(tmp_path))
    with explorers(window, link) as make:
        yield make
