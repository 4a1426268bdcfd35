"""What is tried when memory runs out, one rung after the other (FAULTS 5).

The first rung is climbed down inside the model process; every later one starts a fresh process, since what a failed
allocation leaves behind is not trusted. Rungs are data: the model process and the director only follow them.
"""

import gc
import sys
from dataclasses import dataclass

OUT_OF_MEMORY = 71
"""Exit status of a model process that ran out of memory after it had freed what it could."""

_NAMES = {"MemoryError", "OutOfMemoryError"}
_WORDS = ("can't allocate memory", "not enough memory", "out of memory")


@dataclass(frozen=True, kw_only=True, slots=True)
class Rung:
    """One way to need less memory."""

    restart: bool = True
    """Whether it takes a fresh process."""
    chunk: int | None = None
    """Most latents made at once from here on; None: as before."""
    words: str
    """Ends the sentence "Ran out of memory at ...; "."""


LADDER = (
    Rung(restart=False, words="unused memory was freed"),
    Rung(words="now in a fresh process"),
    Rung(chunk=2, words="now 2 latents at a time"),
    Rung(chunk=1, words="now 1 latent at a time"),
)
FIRST_RESTART = next(number for number, rung in enumerate(LADDER) if rung.restart)


def next_rung(after: int, chunk: int) -> int | None:
    """The rung below number `after` that saves something where `chunk` latents are made at once; None at the end."""
    saving = (n for n, rung in enumerate(LADDER) if n > after and rung.restart and (rung.chunk or 0) < chunk)
    return next(saving, None)


def ran_out(width: int, height: int, chunk: int, rung: int | None) -> str:
    """The sentence that is shown."""
    where = f"Ran out of memory at {width}x{height}, {chunk} latents at a time"
    if rung is None:
        return f"{where}, in spite of {len(LADDER)} ways to save it; close other programs or choose a smaller preset."
    return f"{where}; {LADDER[rung].words}."


def short_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: torch's, Python's, or the CPU allocator's plain `RuntimeError`."""
    if {kind.__name__ for kind in type(error).__mro__} & _NAMES:
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _WORDS)


def free() -> None:
    """Give back what nobody uses: garbage, and what torch keeps of a CUDA device for later."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
