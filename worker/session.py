"""The state of a session: which life of the world this is, what was shown of it, and whether the next chunk may start.

Pure: a `Session` is a value and every event gives the next one; the router acts on it. Two rules live here. *Nothing
older counts*: Open, Reset, Rewind and a restart of the model begin a new generation, and controls or pictures of an
older one are thrown away. *The world waits*: a chunk starts only when something of the chunk before it has been
shown, so at most one chunk is ever ahead of the eye.
"""

from dataclasses import dataclass, field, replace

import msgspec

from worker.entries import ChunkEntry, Entry, light
from worker.history import History, without_latents
from worker.mailbox import Mailbox
from worker.model_protocol import Generate, Loaded
from worker.protocol import MAX_PROMPT, Control, Data, World, WorldSpec
from worker.told import branches, happenings

LIFE = 1 << 20
"""Most generations of one start of a session."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """An open world as the router sees it."""

    history: History
    """What stands and what was left, without the latents."""
    path: str
    """The session file."""
    width: int
    height: int
    fps: float
    generation: int = 1
    paused: bool = False
    unsaved: str = ""
    """Why the session is no longer saved, or empty."""
    mailbox: Mailbox = field(default_factory=Mailbox)
    produced: int = 0
    """Pictures made in this generation."""
    newest: int = 0
    """How many of them belong to the newest chunk."""
    shown: int = 0
    lead: int = 64
    making: Generate | None = None
    """The chunk in the making."""

    @classmethod
    def begin(
        cls, loaded: Loaded, history: History, path: str, after: "Session | None" = None, life: int = 0
    ) -> "Session":
        """The session of a world that the model has opened; the window knew the session `after` which it comes.

        `life` is how often this session was started on other machines: the window may have seen generations there
        that no chunk of the journal tells of, so each start has numbers of its own.
        """
        return cls(
            history=without_latents(history),
            path=path,
            width=loaded.width,
            height=loaded.height,
            fps=loaded.fps,
            generation=max(history.generation, after.generation if after else 0, life * LIFE) + 1,
            mailbox=after.mailbox.forget() if after else Mailbox(),
        )

    @property
    def spec(self) -> WorldSpec:
        """With the seed and the chunk size that are in force."""
        return self.history.spec

    @property
    def chunks(self) -> int:
        """Chunks committed so far."""
        return len(self.history.chunks)

    @property
    def reads(self) -> str:
        """The text in force for the next chunk: the caption, and a line for each event."""
        return self.history.branch.reads

    @property
    def world(self) -> World:
        """This session as the window is told of it."""
        return World(
            generation=self.generation,
            preset=self.spec.preset,
            seed=self.spec.seed,
            prompt=_shown(self.reads),
            width=self.width,
            height=self.height,
            fps=self.fps,
            chunk=self.spec.chunk,
            chunks=self.chunks,
            paused=self.paused,
            session=self.path,
            unsaved=self.unsaved,
            branch=self.history.branch.number,
            branches=branches(self.history),
            happenings=happenings(self.history.branch),
        )

    @property
    def figures(self) -> Data:
        """This session's part of the reply to `Status`."""
        return {
            "generation": self.generation,
            "chunks": self.chunks,
            "produced": self.produced,
            "shown": self.shown,
            "making": self.making is not None,
            "controls_ignored": self.mailbox.ignored,
        }

    @property
    def may_start(self) -> bool:
        """Whether the viewer is near enough to the newest picture for another chunk."""
        waiting = self.produced - self.shown
        return not self.paused and self.making is None and waiting <= min(self.lead, max(self.newest - 1, 0))

    def controlled(self, control: Control) -> "Session":
        """After a control: the mailbox has it, and its credit counts if it is of this generation."""
        session = replace(self, mailbox=self.mailbox.receive(control, self.generation))
        if control.generation != self.generation or control.seq <= self.mailbox.seq:
            return session
        shown = max(self.shown, min(control.shown, self.produced))
        return replace(session, shown=shown, lead=control.lead)

    def started(self) -> "Session":
        """With the next chunk in the making: its steps are taken from the mailbox."""
        still = 1 if self.chunks == 0 else 0
        steps, mailbox = self.mailbox.take(self.spec.chunk, still=still)
        return self.restarted(
            Generate(
                generation=self.generation, chunk=self.chunks, index=self.produced, seq=self.mailbox.seq, steps=steps
            ),
            mailbox,
        )

    def restarted(self, lost: Generate, mailbox: Mailbox | None = None) -> "Session":
        """With a chunk in the making whose steps are known, such as one that a dead model left unfinished."""
        making = msgspec.structs.replace(lost, generation=self.generation, index=self.produced)
        return replace(self, making=making, mailbox=mailbox or self.mailbox, newest=0)

    def pictured(self, count: int) -> "Session":
        """After pictures of this generation were made."""
        return replace(self, produced=self.produced + count, newest=self.newest + count)

    def committed(self, entry: ChunkEntry) -> "Session":
        """After the chunk in the making was finished."""
        return replace(self.then(entry), making=None)

    def then(self, entry: Entry) -> "Session":
        """After what the journal has an entry of. Raises `JournalError` if it cannot follow."""
        return replace(self, history=self.history.then(light(entry) if isinstance(entry, ChunkEntry) else entry))

    def renewed(self) -> "Session":
        """A new generation of the same state, of which nothing was made or shown yet."""
        return replace(
            self,
            generation=self.generation + 1,
            mailbox=self.mailbox.forget(),
            produced=0,
            newest=0,
            shown=0,
        )

    def cut(self, chunks: int) -> "Session":
        """After chunks were lost that no journal had: without all but the first `chunks`."""
        return replace(self, history=replace(self.history, branch=self.history.branch.cut(chunks)))


def _shown(text: str) -> str:
    """A prompt as the window is told of it: of a very long one its newest lines."""
    return text.rstrip()[-MAX_PROMPT:]
