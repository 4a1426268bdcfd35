"""Drawing in a process of its own, because graphics drivers crash.

A process that a signal ends is started again: what makes clips goes on where it stopped, so only the clips since the
last whole shard are drawn twice.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

TRIES = 3
"""Processes that may die of signals, one after the other, before that is the end of it."""
Progress = Callable[[int, int], None]


def apart(task: Callable[..., Any], progress: Progress, **arguments: Any) -> Any:
    """What `task(**arguments, progress=...)` returns, run in a fresh process; everything must pickle but `progress`.

    Raises:
        RuntimeError: `TRIES` processes were ended by signals.
        Exception: what the task raises.
    """
    ended_by: list[int] = []
    context = multiprocessing.get_context("spawn")
    while len(ended_by) < TRIES:
        here, there = context.Pipe(duplex=False)
        process = context.Process(target=_run, args=(there, task, arguments), daemon=True)
        process.start()
        there.close()
        try:
            found = _listen(here.recv, progress)
        finally:
            here.close()
            process.join()
        if found is not None:
            kind, value = found
            if kind == "raised":
                raise value
            return value
        ended_by.append(-(process.exitcode or 0))
    raise RuntimeError(
        f"the process that draws was ended by signals {', '.join(map(str, ended_by))}, {TRIES} times in a row; update "
        "the graphics driver, or draw in software with LIBGL_ALWAYS_SOFTWARE=1"
    )


def _listen(heard: Callable[[], Any], progress: Progress) -> tuple[str, Any] | None:
    """How the task came out ("returned" or "raised", and what), or None if its process ended without a word."""
    while True:
        try:
            kind, value = heard()
        except EOFError:
            return None
        if kind != "progress":
            return kind, value
        progress(*value)


def _run(there: Connection, task: Callable[..., Any], arguments: dict[str, Any]) -> None:
    def tell(done: int, total: int) -> None:
        there.send(("progress", (done, total)))

    try:
        there.send(("returned", task(**arguments, progress=tell)))
    except Exception as error:
        there.send(("raised", error))
