"""Who holds the session: one window at most, known by its connection and, when that breaks, by its token. Pure.

On one machine a session without a window belongs to whoever comes next. Where windows come over a network it is kept
for its holder for a while (`park`), then it ends.
"""

import hmac
import math
import secrets
from dataclasses import dataclass, replace

PARK_SECONDS = 600.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Lease:
    """The session's window, present or lost. Times are seconds of one monotonic clock."""

    park: float = math.inf
    """How long a session is kept for a window that is lost; for ever, and for anybody, if infinite."""
    window: bytes | None = None
    """Connection of the window, None while there is none."""
    token: str = ""
    """What the holder shows to have the session back; empty while nobody has held it."""
    lost_at: float = 0.0

    def refusal(self, sender: bytes, token: str, take_over: bool, now: float) -> str:
        """Why `sender` cannot have the session; empty if it can."""
        mine = bool(self.token) and hmac.compare_digest(token.encode(), self.token.encode())
        if take_over or mine or self.window == sender:
            return ""
        if self.window is not None:
            return "The session is already open in another window; close it or take it over."
        if self.token and self.park < math.inf:
            minutes = math.ceil(max(self.lost_at + self.park - now, 0) / 60)
            return f"The session is kept for another window for {minutes} more minutes; wait or take it over."
        return ""

    def held(self, sender: bytes, token: str) -> "Lease":
        """Now held by `sender`; who came back with the token keeps it, anybody else gets a new one."""
        kept = self.token if self.token and token == self.token else secrets.token_hex(16)
        return replace(self, window=sender, token=kept)

    def lost(self, now: float) -> "Lease":
        """The window has gone."""
        return replace(self, window=None, lost_at=now if self.window is not None else self.lost_at)

    def over(self, now: float) -> bool:
        """Whether the holder has not come back in time."""
        return self.window is None and bool(self.token) and now >= self.lost_at + self.park

    def ended(self) -> "Lease":
        """Nobody's, and nobody's before."""
        return Lease(park=self.park)
