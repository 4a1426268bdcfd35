"""The message with which a cluster's front desk sends a window to the machine that its session is on.

It is not part of `worker.protocol`, whose fingerprint windows and workers compare: a worker on its own never sends it.
"""

from typing import Annotated

from msgspec import Meta

from worker.protocol import Event, Message

Key = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Moved(Message, frozen=True, kw_only=True, tag="moved"):
    """Go on there: what was asked for and not answered is to be asked again."""

    address: Annotated[str, Meta(max_length=300)]
    """HOST:PORT."""
    key: Key
    """The public key that the worker there holds, told over a connection whose own key is pinned."""


Heard = Event | Moved
"""All that can arrive at a window over a network."""
