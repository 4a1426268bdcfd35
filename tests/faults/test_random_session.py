"""A hundred things that a person may do, in any order: the journal tells the very world that the window was told."""

import random
from pathlib import Path

from tests.faults.walker import Walker
from worker import replay
from worker.history import History
from worker.journal import read
from worker.protocol import Keep, Pause, Reset, Resume, Rewind, Save, SetChunk, SetPrompt, Switch, World
from worker.told import branches, happenings

COUNT = 100
ACTS = ("walk", "walk", "prompt", "prompt", "undo", "undo", "reset", "keep", "switch", "chunk", "pause", "replace")
WORDS = (
    "it starts to rain",
    "snow begins to fall",
    "night falls",
    "a house catches fire",
    "it stops",
    "停了",
    "起雾了",
)


def act(walker: Walker, rng: random.Random) -> str:
    """Do something; returns what it was."""
    world = walker.last(World)
    generation, newest = walker.starts[-1] if walker.starts else (0, 0)
    made = newest if generation == world.generation else world.chunks
    match rng.choice(ACTS):
        case "prompt":
            assert walker.ask(SetPrompt(text=rng.choice(WORDS))).ok
            return "prompt"
        case "undo":
            assert walker.ask(Rewind(chunks=max(0, made - rng.randint(1, 4)))).ok
            return "undo"
        case "reset":
            assert walker.ask(Reset(seed=rng.choice([None, rng.randrange(1000)]))).ok
            return "reset"
        case "keep":
            assert walker.ask(Keep(name=rng.choice(["夜", "the fire", "walk"]))).ok
            return "keep"
        case "switch" if len(world.branches) > 1:
            others = [branch.number for branch in world.branches if branch.number != world.branch]
            assert walker.ask(Switch(branch=rng.choice(others))).ok
            return "switch"
        case "chunk":
            assert walker.ask(SetChunk(chunk=rng.choice([1, 2, 4]))).ok
            return "chunk"
        case "pause":
            assert walker.ask(Pause()).ok and walker.ask(Resume()).ok
            return "pause"
        case "replace":
            assert walker.ask(SetPrompt(text="a desert\nfog")).ok
            return "replace"
    starts = len(walker.starts)
    walker.until(lambda: len(walker.starts) > starts + 1)
    return "walk"


def settled(walker: Walker) -> tuple[World, History]:
    """The last that the window was told of a world that stands still, and what its journal tells."""
    walker.ask(Pause())
    walker.rest(0.5)
    walker.ask(Keep(name="the end"))  # the window is told of the world as it is now
    walker.ask(Save())
    world = walker.last(World)
    return world, read(Path(world.session)).history


def test_after_a_hundred_random_acts_the_journal_tells_the_world_and_every_branch_replays_to_the_pixel(tmp_path):
    rng, walker = random.Random(1), Walker.launch(tmp_path)
    try:
        walker.open(prompt="a meadow")
        done = {act(walker, rng) for _ in range(COUNT)}
        world, history = settled(walker)
    finally:
        walker.close()
    assert len(done) > 7
    branch = history.branch
    assert (world.chunks, world.prompt, world.seed) == (len(branch.chunks), branch.reads, branch.spec.seed)
    assert (world.branch, world.chunk) == (branch.number, branch.spec.chunk)
    assert world.happenings == happenings(branch)
    assert world.branches == branches(history)
    for kept in history.branches:
        outcome = replay.play(kept, verify=True, show=lambda _: None)
        assert (outcome.chunks, outcome.differing) == (len(kept.chunks), [])
