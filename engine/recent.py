"""What was used last is kept, the rest is made again when it is wanted."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

K = TypeVar("K")
T = TypeVar("T")


def recent(kept: OrderedDict[K, T], key: K, make: Callable[[], T], most: int) -> T:
    """What is kept under a key, or is made now; of more than `most` the least recently used are forgotten."""
    if key not in kept:
        kept[key] = make()
    kept.move_to_end(key)
    while len(kept) > most:
        kept.popitem(last=False)
    return kept[key]
