"""Requests that change a world, as jobs for the model, and what each has changed once it is done. Pure."""

from worker import model_protocol as model
from worker import protocol as wire
from worker.errors import WanderError
from worker.history import ChunkSizeEntry, Entry, PromptEntry, ResetEntry, RewindEntry
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
        case wire.SetChunk() if not session.unsaved:
            return model.Load(spec=session.resized(request.chunk).spec, journal=session.path)
        case wire.SetChunk():
            raise WanderError(f"{session.unsaved} Another chunk size needs a saved session; reset the world first.")
    raise WanderError(f"{type(request).__name__} does not change a world.")


def outcome(job: model.Job, session: Session) -> tuple[Entry, Session]:
    """What a job that was done has made of the session, and the entry that the journal gets of it."""
    match job:
        case model.ApplyPrompt():
            return PromptEntry(text=job.text), session.prompted(job.text)
        case model.ApplyRewind():
            return RewindEntry(chunks=job.chunks), session.rewound(job.chunks).renewed()
        case model.ApplyReset():
            return ResetEntry(seed=job.seed), session.reset(job.seed).renewed()
        case model.Load():
            return ChunkSizeEntry(chunk=job.spec.chunk), session.resized(job.spec.chunk)
        case model.Generate():
            raise ValueError("what a chunk has made of the session is in its `Committed`")
