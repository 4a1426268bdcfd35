"""Whether a connection that stands still carries anything: judged by what the worker says it has and has sent.

A half-open connection breaks nothing: what is sent disappears and nothing comes. So a `Status` is asked for every two
seconds. Nothing heard for long means that all is stuck; an answer that tells of pictures which never came, or knows
nothing of what was shown, means that one lane is. Pure: times are seconds of one monotonic clock.
"""

from dataclasses import dataclass

from worker.moved import Heard
from worker.protocol import Control, Frames, Reply, World

ASK_SECONDS = 2.0
SILENCE_SECONDS = 6.0
"""Nothing useful for so long: the connection is given up and made anew."""
NAP_SECONDS = 1.0
"""A window that looked away for longer cannot tell whose silence it was."""


@dataclass(kw_only=True, slots=True)
class Pulse:
    """Signs of life of one connection."""

    _question: int = 0
    """`Request.id` of the question that is not answered yet; 0 for none."""
    _asked_at: float = 0.0
    _heard_at: float = 0.0
    _looked_at: float = 0.0
    _generation: int = 0
    _pictures: int = 0
    """How many of this generation came or were passed over."""
    _pictured_at: float = 0.0
    _shown: tuple[int, int] = (0, 0)
    """Generation and credit of the newest control."""
    _shown_at: float = 0.0
    _stuck: float = 0.0

    def heard(self, event: Heard, now: float) -> None:
        """Something arrived."""
        self._heard_at = now
        if isinstance(event, Frames):
            self._generation, self._pictures, self._pictured_at = event.generation, event.index + event.count, now
        elif isinstance(event, World) and event.generation != self._generation:
            self._generation, self._pictures, self._pictured_at = event.generation, 0, now

    def steered(self, control: Control, now: float) -> None:
        """A control was sent."""
        if (control.generation, control.shown) != self._shown:
            self._shown, self._shown_at = (control.generation, control.shown), now

    def arrived(self, generation: int) -> int:
        """`Control.arrived` of a generation."""
        return self._pictures if generation == self._generation else 0

    def due(self, now: float) -> bool:
        """Whether to ask for a sign of life."""
        return not self._question and now - self._asked_at >= ASK_SECONDS

    def asked(self, question: int, now: float) -> None:
        """It was asked for."""
        self._question, self._asked_at = question, now

    def answered(self, reply: Reply, now: float) -> bool:
        """Whether `reply` answers our question rather than the window's."""
        if reply.id != self._question or not self._question:
            return False
        self._question = 0
        found = (reply.data.get(name) or 0 for name in ("generation", "produced", "shown"))
        generation, produced, shown = (value if isinstance(value, int) else -1 for value in found)
        numbers = min(generation, produced, shown) >= 0
        if numbers and self._generation == generation and produced > self._pictures:
            self._stuck = now - self._pictured_at
        elif numbers and self._shown[0] == generation and shown < self._shown[1]:
            self._stuck = now - self._shown_at
        else:
            self._stuck = 0.0
        return True

    def stopped(self, now: float) -> float:
        """Seconds for which the connection has carried nothing, or a lane of it; 0 while that is not too long."""
        slept, self._looked_at = now - self._looked_at > NAP_SECONDS, now
        if slept:
            self._heard_at = self._pictured_at = self._shown_at = now
            self._stuck = 0.0
        silence = max(now - self._heard_at if self._question else 0.0, self._stuck)
        return silence if silence > SILENCE_SECONDS else 0.0
