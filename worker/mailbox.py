"""The mailbox between a person and a chunk: latest wins, taps are kept, mouse movement adds up.

Pure: a `Mailbox` is a value. `receive` takes in a `Control`, `take` turns what is there into one `Step` per latent of
the next chunk. Held keys go to every latent; a key that went down since the last chunk and is up again goes to the
first latent that moves; mouse look is spread over the latents at a limited rate, and what is over waits for the next
chunk.
"""

import math
from dataclasses import dataclass, replace

import msgspec

from worker.protocol import Control, Step

MAX_ANGLE = 16 * math.pi
"""Most mouse look that can wait, radians: the range of the wire."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LookLimit:
    """How fast the mouse may turn a world."""

    per_frame: float = math.radians(2.2)
    frames_per_latent: int = 4

    @property
    def per_latent(self) -> float:
        """Radians a latent."""
        return self.per_frame * self.frames_per_latent


@dataclass(frozen=True, kw_only=True, slots=True)
class Mailbox:
    """What the person has done that no chunk has used yet."""

    seq: int = 0
    """`Control.seq` of the newest control."""
    keys: int = 0
    """Keys held now."""
    pressed: int = 0
    """Keys that went down since the last chunk."""
    yaw: float = 0.0
    pitch: float = 0.0
    walls: bool = False
    """Walking stops at walls now."""
    ignored: int = 0
    """Controls that came twice, out of order or for an older generation."""

    def receive(self, control: Control, generation: int) -> "Mailbox":
        """Take in a control.

        One that is not newer than the last is ignored; movement meant for another generation too.
        """
        if control.seq <= self.seq:
            return replace(self, ignored=self.ignored + 1)
        if control.generation != generation:
            return replace(self, seq=control.seq, keys=control.keys, walls=control.walls, ignored=self.ignored + 1)
        return replace(
            self,
            seq=control.seq,
            keys=control.keys,
            walls=control.walls,
            pressed=self.pressed | control.taps | (control.keys & ~self.keys),
            yaw=_clip(self.yaw + control.yaw, MAX_ANGLE),
            pitch=_clip(self.pitch + control.pitch, MAX_ANGLE),
        )

    def take(
        self, latents: int, *, still: int = 0, limit: LookLimit = LookLimit()
    ) -> tuple[tuple[Step, ...], "Mailbox"]:
        """The steps of a chunk, and what is left. Its first `still` latents cannot move: latent 0 of a world."""
        moving = latents - still
        if moving < 1:
            return tuple(Step() for _ in range(latents)), self
        yaw = _clip(self.yaw / moving, limit.per_latent)
        pitch = _clip(self.pitch / moving, limit.per_latent)
        later = Step(keys=self.keys, yaw=yaw, pitch=pitch, walls=self.walls)
        first = msgspec.structs.replace(later, keys=self.keys | self.pressed)
        steps = (Step(),) * still + (first,) + (later,) * (moving - 1)
        return steps, replace(self, pressed=0, yaw=self.yaw - moving * yaw, pitch=self.pitch - moving * pitch)

    def forget(self) -> "Mailbox":
        """For a new generation: movement and taps are thrown away, held keys stay held (and walls solid)."""
        return replace(self, pressed=0, yaw=0.0, pitch=0.0)


def merge(earlier: Control, later: Control) -> Control:
    """One control that says what both say, for a sender that could not send the earlier one."""
    if earlier.generation != later.generation:
        return later
    return msgspec.structs.replace(
        later,
        taps=earlier.taps | later.taps | (later.keys & ~earlier.keys),
        yaw=_clip(earlier.yaw + later.yaw, MAX_ANGLE),
        pitch=_clip(earlier.pitch + later.pitch, MAX_ANGLE),
    )


def _clip(value: float, limit: float) -> float:
    return min(max(value, -limit), limit)
