"""The tree of worlds that the entries of a session tell.

Pure: a `History` is a value, and every entry gives the next one. A line of chunks that undo or reset leaves is kept as
a `Branch`, from which one can go on at any time.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from worker.entries import (
    ChunkEntry,
    ChunkSizeEntry,
    Entry,
    Header,
    KeepEntry,
    PromptEntry,
    ResetEntry,
    RewindEntry,
    SwitchEntry,
    WeightsEntry,
    light,
)
from worker.errors import JournalError
from worker.protocol import WorldSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Said:
    """Something that was asked for in words."""

    text: str
    chunk: int
    """The first chunk that reads it."""
    read: str = ""
    """The line that the model reads for it; empty where it added none."""
    ended: str = ""
    """What "it stops" has stopped; empty for an event."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Branch:
    """One line through the tree of chunks, from the world's beginning to where it was left or is walked on."""

    number: int = 0
    name: str = ""
    """What the person calls it; empty for none."""
    spec: WorldSpec
    """With the seed and the chunk size that are in force."""
    chunks: tuple[ChunkEntry, ...] = ()
    said: tuple[Said, ...] = ()
    reads: str = ""
    """The text that the next chunk reads: the caption, and a line for each event."""

    @property
    def prompt(self) -> str:
        """The text that the last chunk was made under, before any chunk the world's caption."""
        return self.chunks[-1].prompt if self.chunks else self.spec.prompt

    @property
    def pending(self) -> tuple[str, ...]:
        """Prompts that no chunk has read yet."""
        return tuple(said.text for said in self.said if said.chunk == len(self.chunks))

    @property
    def latents(self) -> int:
        """Latents in all chunks."""
        return sum(len(chunk.steps) for chunk in self.chunks)

    def shares(self, other: "Branch") -> int:
        """How many chunks the two have in common."""
        pairs = zip(self.chunks, other.chunks, strict=False)
        return next((place for place, (mine, its) in enumerate(pairs) if not _same(mine, its)), _shorter(self, other))

    def prompted(self, entry: PromptEntry) -> "Branch":
        """With one more prompt."""
        reads = f"{self.reads}\n{entry.text}" if entry.reads is None else entry.reads
        before, after = (text.split("\n")[1:] for text in (self.reads, reads))
        ended = "; ".join(line for line in before if line not in after) if len(after) < len(before) else ""
        read = after[-1] if len(after) >= len(before) and after != before else ""
        said = Said(text=entry.text, chunk=len(self.chunks), read=read, ended=ended)
        return replace(self, said=(*self.said, said), reads=reads)

    def grown(self, entry: ChunkEntry) -> "Branch":
        """With one more chunk. Raises `JournalError` if it is not the next one."""
        if entry.index != len(self.chunks):
            raise JournalError(f"The session has no sound chunk {len(self.chunks)}; it is damaged.")
        return replace(self, chunks=(*self.chunks, entry), reads=entry.prompt)

    def cut(self, chunks: int) -> "Branch":
        """As it was after `chunks` chunks, without the prompts that were given since."""
        short = replace(
            self, chunks=self.chunks[:chunks], said=tuple(said for said in self.said if said.chunk < chunks)
        )
        return replace(short, reads=short.prompt)


@dataclass(frozen=True, kw_only=True, slots=True)
class History:
    """A session as its journal tells it: the branch that is walked on, and those that were left."""

    branch: Branch
    left: tuple[Branch, ...] = ()
    checksum: str = ""
    """Fingerprint of the weights that it was last opened with."""
    generation: int = 0
    """Of the newest chunk."""

    @classmethod
    def begin(cls, spec: WorldSpec) -> "History":
        """Of a world that has no chunk yet."""
        return cls(branch=Branch(spec=spec, reads=spec.prompt))

    @property
    def spec(self) -> WorldSpec:
        """With the seed and the chunk size that are in force."""
        return self.branch.spec

    @property
    def chunks(self) -> tuple[ChunkEntry, ...]:
        """The chunks that stand."""
        return self.branch.chunks

    @property
    def branches(self) -> tuple[Branch, ...]:
        """All branches in the order in which they began."""
        return tuple(sorted((*self.left, self.branch), key=lambda branch: branch.number))

    def then(self, entry: Entry) -> "History":
        """The session after one more entry. Raises `JournalError` if the entry cannot follow."""
        branch = self.branch
        match entry:
            case ChunkEntry():
                return replace(self, branch=branch.grown(entry), generation=entry.generation)
            case WeightsEntry():
                return replace(self, checksum=entry.checksum)
            case PromptEntry():
                return replace(self, branch=branch.prompted(entry))
            case ResetEntry():
                spec = msgspec.structs.replace(branch.spec, seed=entry.seed)
                return self._go_on_from(Branch(spec=spec, reads=spec.prompt))
            case RewindEntry() if entry.chunks < len(branch.chunks):
                return self._go_on_from(replace(branch.cut(entry.chunks), name=""))
            case RewindEntry():
                return replace(self, branch=branch.cut(len(branch.chunks)))
            case ChunkSizeEntry():
                return replace(
                    self, branch=replace(branch, spec=msgspec.structs.replace(branch.spec, chunk=entry.chunk))
                )
            case KeepEntry():
                return replace(self, branch=replace(branch, name=entry.name))
            case SwitchEntry():
                return self._switched(entry.branch)
            case Header():
                raise JournalError("The session has two beginnings; it is damaged.")

    def _go_on_from(self, branch: Branch) -> "History":
        """Walk on `branch`, a new one, having left the one that was walked on."""
        left = self._having_left()
        number = self.branch.number if left is self.left else 1 + max(kept.number for kept in left)
        return replace(self, branch=replace(branch, number=number), left=left)

    def _having_left(self) -> tuple[Branch, ...]:
        """The branches that were left once the present one is among them, if it has something that no other has."""
        branch = self.branch
        kept = any(branch.shares(other) == len(branch.chunks) for other in self.left) or not branch.chunks
        return self.left if kept and not branch.name else (*self.left, branch)

    def _switched(self, number: int) -> "History":
        wanted = next((branch for branch in self.left if branch.number == number), None)
        if wanted is None:
            others = ", ".join(str(branch.number) for branch in self.left) or "none"
            raise JournalError(f"The session has no branch {number} to switch to; there are {others}.")
        left = tuple(branch for branch in self._having_left() if branch is not wanted)
        return replace(self, branch=wanted, left=left)


def replay(header: Header, entries: Iterable[Entry]) -> History:
    """The session that a header and the entries after it tell. Raises `JournalError` if it is damaged."""
    history = History.begin(header.spec)
    for entry in entries:
        if isinstance(entry, ChunkEntry) and not entry.whole:
            raise JournalError(f"The session has no sound chunk {entry.index}; it is damaged.")
        history = history.then(entry)
    return history


def without_latents(history: History) -> History:
    """A session as it is remembered while it is open; its latents are in the journal."""

    def slim(branch: Branch) -> Branch:
        return replace(branch, chunks=tuple(light(chunk) for chunk in branch.chunks))

    return replace(history, branch=slim(history.branch), left=tuple(map(slim, history.left)))


def _same(mine: ChunkEntry, its: ChunkEntry) -> bool:
    return (mine.generation, mine.index) == (its.generation, its.index)


def _shorter(one: Branch, other: Branch) -> int:
    return min(len(one.chunks), len(other.chunks))
