"""What the window is told of a session's history: the events of the branch that is walked on, and all branches."""

from worker import history
from worker.protocol import MAX_TOLD, Branch, Happening

MAX_WORDS = 200
"""Most characters of an event's words that are told."""


def happenings(branch: history.Branch) -> tuple[Happening, ...]:
    """What was asked for on a branch, oldest first."""
    lines = branch.reads.split("\n")[1:]
    return tuple(
        Happening(
            text=said.text.strip()[:MAX_WORDS],
            chunk=said.chunk,
            latent=sum(len(chunk.steps) for chunk in branch.chunks[: said.chunk]),
            active=bool(said.read) and said.read in lines,
            ended=said.ended[:MAX_WORDS],
        )
        for said in branch.said[-MAX_TOLD:]
    )


def branches(told: history.History) -> tuple[Branch, ...]:
    """The branches of a session, oldest first: the newest of them, and always the present one."""
    newest = sorted(told.left, key=lambda branch: branch.number)[1 - MAX_TOLD :]
    present = told.branch
    return tuple(
        Branch(
            number=branch.number,
            name=branch.name,
            seed=branch.spec.seed,
            latents=branch.latents,
            shared=sum(len(chunk.steps) for chunk in branch.chunks[: branch.shares(present)]),
            made=branch.chunks[-1].generation if branch.chunks else 0,
            chunks=len(branch.chunks),
        )
        for branch in sorted((*newest, present), key=lambda branch: branch.number)
    )
