"""Requests that change a world, as jobs for the model, and what each has changed once it is done. Pure."""

from worker import model_protocol as model
from worker import protocol as wire
from worker.entries import ChunkSizeEntry, Entry, PromptEntry, ResetEntry, RewindEntry, SwitchEntry
from worker.errors import WanderError
from worker.session import Session


def job_for(request: wire.Request, session: Session) -> model.Job:
    """The job that carries out `request`. Raises `WanderError` if this world cannot do it."""
    match request:
        case wire.SetPrompt():
            return model.ApplyPrompt(text=request.text)
        case wire.Reset():
            return model.ApplyReset(seed=session.spec.seed if request.seed is None else request.seed)
        case wire.Rewind() if request.chunks <= session.chunks:
            return model.ApplyRewind(chunks=request.chunks)
        case wire.Rewind():
            raise WanderError(
                f"The world has {session.chunks} chunks, it cannot go back to {request.chunks}; undo less."
            )
        case wire.SetChunk() | wire.Switch() if session.unsaved:
            raise WanderError(f"{session.unsaved} This needs a saved session; reset the world first.")
        case wire.SetChunk():
            return model.Load(spec=session.then(ChunkSizeEntry(chunk=request.chunk)).spec, journal=session.path)
        case wire.Switch():
            after = session.then(SwitchEntry(branch=request.branch))
            return model.Load(spec=after.spec, journal=session.path, branch=request.branch)
    raise WanderError(f"{type(request).__name__} does not change a world.")


def outcome(job: model.Job, session: Session, reads: str = "") -> tuple[Entry, Session]:
    """What a job that was done has made of the session, and the entry that the journal gets of it.

    `reads` is the text that the model said it reads now.
    """
    entry = entry_of(job, reads)
    after = session.then(entry)
    return entry, after if isinstance(entry, PromptEntry | ChunkSizeEntry) else after.renewed()


def entry_of(job: model.Job, reads: str) -> Entry:
    """What the journal gets of a job that was done."""
    match job:
        case model.ApplyPrompt():
            return PromptEntry(text=job.text, reads=reads)
        case model.ApplyRewind():
            return RewindEntry(chunks=job.chunks)
        case model.ApplyReset():
            return ResetEntry(seed=job.seed)
        case model.Load(branch=None):
            return ChunkSizeEntry(chunk=job.spec.chunk)
        case model.Load():
            assert job.branch is not None
            return SwitchEntry(branch=job.branch)
        case model.Generate():
            raise ValueError("what a chunk has made of the session is in its `Committed`")
