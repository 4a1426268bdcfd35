"""The story of a walk as the panel tells it: how long it is, what happened when, which branches there are. Pure."""

from __future__ import annotations

from worker import protocol as wire

FRAMES_PER_LATENT = 4


def seconds(latents: int, fps: float) -> float:
    """How long a walk of so many latents is; the first one is a single frame."""
    return max(0, FRAMES_PER_LATENT * latents - 3) / fps


def clock(time_s: float) -> str:
    """A time as 0:07."""
    minutes, rest = divmod(int(time_s), 60)
    return f"{minutes}:{rest:02d}"


def present_branch(world: wire.World) -> wire.Branch | None:
    """The branch that is walked on; None only of a worker that told none."""
    return next((branch for branch in world.branches if branch.number == world.branch), None)


def latents_before(world: wire.World, chunk: int) -> int:
    """Latents before a chunk of the present branch, which may have grown since the worker told of it."""
    here = present_branch(world)
    if here is None or not here.chunks:
        return chunk * world.chunk
    if chunk >= here.chunks:
        return here.latents + (chunk - here.chunks) * world.chunk
    return round(here.latents * chunk / here.chunks)


def time_of(world: wire.World, chunk: int) -> str:
    """When a chunk of the present branch begins, as 0:07."""
    return clock(seconds(latents_before(world, chunk), world.fps))


def other_branches(world: wire.World) -> list[wire.Branch]:
    """The branches that one can switch to: named ones first, then the newest."""
    others = [branch for branch in world.branches if branch.number != world.branch]
    return sorted(others, key=lambda branch: (not branch.name, -branch.number))


def title(branch: wire.Branch) -> str:
    """What a branch is called."""
    return branch.name or f"Walk {branch.number + 1}"


def active_events(world: wire.World) -> tuple[str, list[str]]:
    """What the model reads: the caption, and the active events, oldest first."""
    caption, *events = world.prompt.split("\n")
    return caption, events


def without(world: wire.World, event: str) -> str:
    """The prompt that ends one event, and only that one: several lines replace all that the model reads."""
    caption, events = active_events(world)
    events.reverse()
    events.remove(event)
    return "\n".join([caption, *reversed(events), *([] if events else [""])])
