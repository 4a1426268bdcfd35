"""The state of a session: which life of the world this is, what was shown of it, and whether the next chunk may start.

Pure: a `Session` is a value and every event gives the next one; the router acts on it. Two rules live here. *Nothing
older counts*: Open, Reset, Rewind and a restart of the model begin a new generation, and controls or pictures of an
older one are thrown away. *The world waits*: a chunk starts only when something of the chunk before it has been
shown, so at most one chunk is ever ahead of the eye.
"""

from dataclasses import dataclass, field, replace

import msgspec

from worker.history import History
from worker.mailbox import Mailbox
from worker.model_protocol import Generate, Loaded
from worker.protocol import MAX_PROMPT, Control, Data, World, WorldSpec


@dataclass(frozen=True, kw_only=True, slots=True)
class Session:
    """An open world as the router sees it."""

    spec: WorldSpec
    """With the seed and the chunk size that are in force."""
    path: str
    """The session file."""
    width: int
    height: int
    fps: float
    generation: int = 1
    prompt: str = ""
    """The text in force for the next chunk: the caption, and a line for each event."""
    prompts: tuple[str, ...] = ()
    """The prompt of each committed chunk."""
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
    def begin(cls, loaded: Loaded, history: History, path: str, after: "Session | None" = None) -> "Session":
        """The session of a world that the model has opened; the window knew the session `after` which it comes."""
        return cls(
            spec=history.spec,
            path=path,
            width=loaded.width,
            height=loaded.height,
            fps=loaded.fps,
            generation=max(history.generation, after.generation if after else 0) + 1,
            prompt=_shown("\n".join((history.prompt, *history.pending))),
            prompts=tuple(_shown(chunk.prompt) for chunk in history.chunks),
            mailbox=after.mailbox.forget() if after else Mailbox(),
        )

    @property
    def chunks(self) -> int:
        """Chunks committed so far."""
        return len(self.prompts)

    @property
    def world(self) -> World:
        """This session as the window is told of it."""
        return World(
            generation=self.generation,
            preset=self.spec.preset,
            seed=self.spec.seed,
            prompt=self.prompt,
            width=self.width,
            height=self.height,
            fps=self.fps,
            chunk=self.spec.chunk,
            chunks=self.chunks,
            paused=self.paused,
            session=self.path,
            unsaved=self.unsaved,
        )

    @property
    def figures(self) -> Data:
        """This session's part of the reply to `Status`."""
        return {
            "generation": self.generation,
            "chunks": self.chunks,
            "produced": self.produced,
            "shown": self.shown,
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

    def committed(self, prompt: str) -> "Session":
        """After the chunk in the making was finished, under the text `prompt`."""
        return replace(self, prompts=(*self.prompts, _shown(prompt)), prompt=_shown(prompt), making=None)

    def prompted(self, text: str) -> "Session":
        """After a prompt was added; the next chunk tells the exact text in force."""
        return replace(self, prompt=_shown(f"{self.prompt}\n{text}"))

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

    def rewound(self, chunks: int) -> "Session":
        """After the world went back to the state after `chunks` chunks."""
        prompts = self.prompts[:chunks]
        return replace(self, prompts=prompts, prompt=prompts[-1] if prompts else self.spec.prompt)

    def reset(self, seed: int) -> "Session":
        """After the world began anew."""
        spec = msgspec.structs.replace(self.spec, seed=seed)
        return replace(self, spec=spec, prompts=(), prompt=spec.prompt)

    def resized(self, chunk: int) -> "Session":
        """With another number of latents per chunk from now on."""
        return replace(self, spec=msgspec.structs.replace(self.spec, chunk=chunk))


def _shown(text: str) -> str:
    """A prompt as the window is told of it: of a very long one its newest lines."""
    return text.strip()[-MAX_PROMPT:]
