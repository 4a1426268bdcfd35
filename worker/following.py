"""A rank that torchrun started, from outside: its process follows one group after the other until it is told to end."""

import logging
import os
import select
import shutil
from pathlib import Path

from worker.group import Group, Place, Start
from worker.supervisor import RankProcess

PAUSE_SECONDS = 1.0
"""Between the end of a process and the start of the next one."""

log = logging.getLogger(__name__)


def follow(group: Group, directory: Path, lifeline: int) -> None:
    """Keep a process of `group.rank` running until the descriptor `lifeline` ends; its log is in `directory`, which is
    removed then.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(name)s %(message)s")
    after, ended = "", False
    try:
        while not ended:
            place = Place(rank=group.rank, ranks=group.ranks, interface=group.interface, after=after)
            process = RankProcess("worker.rank_process", Start(place=place), directory / "model.log", os.environ)
            after, ended = _until_it_ends(process, lifeline, after)
            process.end()
            if not ended:
                log.warning("%s; it comes back with the next group", process.last_words())
                ended = bool(_readable([lifeline], PAUSE_SECONDS))
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def _until_it_ends(process: RankProcess, lifeline: int, after: str) -> tuple[str, bool]:
    """The name of the group that the process joined last, and whether it was the lifeline that ended."""
    while True:
        ready = _readable([lifeline, process.sentinel])
        if lifeline in ready:
            return after, True
        if not (words := process.heard()):
            return after, False
        after = words.decode(errors="replace").strip()


def _readable(descriptors: list[int], seconds: float | None = None) -> list[int]:
    """Which of them can be read, or have ended, within so many seconds."""
    ready, _, _ = select.select(descriptors, [], [], seconds)
    return ready
