"""A rank that follows: it makes the same world as rank 0, from what rank 0 says, and shows it to nobody.

It hears of every job before rank 0 does it, gives its own world the same verb, and computes its share. An error that a
person can mend comes to all ranks alike, and rank 0 tells of it; with any other, and when a rank is lost, it ends.
"""

import logging
import os
import sys
from typing import Any

import msgspec

from worker import model_protocol as model
from worker.group import Start
from worker.model_process import begin, engine_of, engine_spec, engine_steps, lost_a_rank, meet, standing, status_of
from worker.model_process import user_errors as mendable
from worker.rank_protocol import Commands, Idle, Restore, Task

log = logging.getLogger(__name__)


class Follower:
    """A world beside that of rank 0."""

    def __init__(self, ranks: Any) -> None:
        self._ranks, self._commands = ranks, Commands(ranks)
        self._world: Any = None

    def serve(self) -> None:
        """Do what rank 0 says, for ever. Raises the engine's `RankLost` when rank 0 or another rank has gone."""
        while True:
            task = self._commands.hear(*standing(self._world))
            try:
                self._do(task)
            except mendable() as error:
                if lost_a_rank(error):
                    raise
                log.info("rank %d: %s", self._ranks.rank, error)

    def _do(self, task: Task) -> None:
        match task:
            case Restore(spec=spec):
                opening = engine_of(spec.preset, lambda _fraction, _sentence: None, self._ranks)
                world = opening(engine_spec(spec), ())
                self._world = world
                for text in task.pending:
                    world.prompt(text)
            case model.Generate():
                for _ in self._world.step(engine_steps(task.steps)):
                    continue
                self._world.commit()
            case model.ApplyPrompt():
                self._world.prompt(task.text)
            case model.ApplyRewind():
                self._world.rewind(task.chunks)
            case model.ApplyReset():
                self._world.reset(seed=task.seed)
            case Idle():
                pass


def named(name: str) -> None:
    """Tell the process that started this one which group it joins."""
    os.write(1, f"{name}\n".encode())


def main(arguments: str) -> None:
    """Follow rank 0 from the place that the JSON `arguments` (`Start`) name, until the lifeline ends."""
    start = msgspec.json.decode(arguments, type=Start)
    begin()
    try:
        Follower(meet(start.place, named)).serve()
    except Exception as error:
        log.exception("rank %d of %d ends", start.place.rank, start.place.ranks)
        logging.shutdown()
        os._exit(status_of(error))


if __name__ == "__main__":
    main(sys.argv[1])
