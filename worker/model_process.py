"""The model process: the one place of `worker/` that knows the engine.

It works on one job at a time, in the order in which they come, and does nothing by itself. Pictures leave latent by
latent while the rest of the chunk is still being decoded; the chunk is committed when all of them have left. It ends
when its lifeline, its standard input, ends: also while it computes, and also if it hangs in native code.

Where several ranks make the world it is rank 0: it says every job to the others (`worker.rank_process`) before it does
it, and if one of them is lost it ends.
"""

import ctypes
import io
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import zmq
from PIL import Image

from worker import model_protocol as model
from worker import transport
from worker.codec import UPLOAD, pack, unpack
from worker.entries import ChunkEntry, SwitchEntry
from worker.errors import WanderError, WireError
from worker.group import Place, Start
from worker.history import Branch
from worker.journal import read
from worker.ladder import OUT_OF_MEMORY, free, short_of_memory
from worker.pictures import decode_clip, decode_image
from worker.protocol import Frames, Message, Progress, Step, WorldSpec
from worker.rank_protocol import IDLE_SECONDS, RANK_LOST, Commands, Idle, Restore, Task
from worker.transport import MODEL_LIMITS

CRASHED = 70
PR_SET_PDEATHSIG = 1

log = logging.getLogger(__name__)


class Model:
    """A world of the engine at the end of a socket; `ranks` are those that make it together, None where it is alone."""

    def __init__(self, socket: transport.Socket, preset: str, ranks: Any = None) -> None:
        self._socket, self._ranks = socket, ranks
        self._commands = Commands(ranks) if ranks is not None else None
        self._open_world, self._read_words = engine_of(preset, self._tell, ranks), reader_of(preset)
        self._world: Any = None
        self._chunk_ms = self._told = 0.0
        self._pictured = False

    def serve(self) -> None:
        """Do the jobs that come, for ever. An error that the engine did not foresee ends the process."""
        while True:
            while self._commands is not None and not self._socket.poll(1_000 * IDLE_SECONDS):
                self._say(Idle())
            job: model.Order = unpack(self._socket.recv(), model.Order, UPLOAD)
            if isinstance(job, model.Foresee):
                self._read_words(job.text)
                continue
            try:
                if not self._fits(job):
                    free()
                    self._do(job)
            except user_errors() as error:
                if lost_a_rank(error):
                    raise
                self._send(model.Failed(sentence=str(error)[:2_000]))

    def _fits(self, job: model.Job) -> bool:
        """Do a job; False if memory ran out before anything of it was seen, so that it can be done again."""
        self._pictured = False
        try:
            self._do(job)
        except Exception as error:
            again = isinstance(job, model.Load | model.Generate) and self._commands is None  # others have gone on
            if not short_of_memory(error) or self._pictured or not again:
                raise
            log.warning("out of memory, freed and tried again: %s", error)
            return False
        return True

    def _look_ahead(self) -> None:
        """Between two latents: encode the words that came meanwhile, so that the next chunk need not wait for them."""
        if self._socket.poll(0):
            order = unpack(self._socket.recv(), model.Order, UPLOAD)
            if not isinstance(order, model.Foresee):
                raise WireError(f"A {type(order).__name__} came before the last job was answered.")
            self._read_words(order.text)

    def _say(self, task: Task) -> None:
        """Have the other ranks do the same."""
        if self._commands is not None:
            self._commands.say(task, *standing(self._world))

    def _do(self, job: model.Job) -> None:
        before = self._exchanged
        if not isinstance(job, model.Load):
            self._say(job)
        match job:
            case model.Load():
                self._load(job)
            case model.Generate():
                self._generate(job, before)
            case model.ApplyPrompt():
                chunk = self._world.prompt(job.text)
                self._done(chunk, self._world.remark)
            case model.ApplyRewind():
                self._world.rewind(job.chunks)
                self._done(self._world.chunks)
            case model.ApplyReset():
                self._world.reset(seed=job.seed)
                self._done(0)

    def _done(self, chunk: int, remark: str = "") -> None:
        self._send(model.Done(chunk=chunk, reads="\n".join(self._world.lines), remark=remark))

    def _tell(self, fraction: float, sentence: str) -> None:
        """Something takes long: a sign of life, at most ten a second."""
        now = time.monotonic()
        if now - self._told >= 0.1 or fraction >= 1:
            self._told = now
            self._send(Progress(stage="open", fraction=min(max(fraction, 0.0), 1.0), sentence=sentence[:2_000]))

    def _load(self, job: model.Load) -> None:
        self._send(Progress(stage="open", fraction=0.0, sentence="Opening the world"))
        branch = branch_of(Path(job.journal), job.branch) if job.journal else None
        records = [engine_record(chunk) for chunk in branch.chunks] if branch else []
        spec, pending = engine_spec(job.spec), tuple(branch.pending) if branch else ()
        self._say(Restore(spec=job.spec, pending=pending))
        self._world = self._open_world(spec, records)
        for text in pending:
            self._world.prompt(text)
        world = self._world
        self._send(
            model.Loaded(
                width=world.width,
                height=world.height,
                fps=float(world.fps),
                chunk=world.chunk,
                chunks=world.chunks,
                checksum=world.checksum,
            )
        )

    def _generate(self, job: model.Generate, before: tuple[int, int]) -> None:
        """Make a chunk; `before` is what had been exchanged before the others heard of it."""
        started = time.perf_counter()
        index, count, shown = job.index, len(job.steps), model.fingerprint()
        for latent, frames in enumerate(self._world.step(engine_steps(job.steps))):
            now = time.perf_counter()
            header = Frames(
                generation=job.generation,
                chunk=job.chunk,
                latent=latent,
                last=latent == count - 1,
                index=index,
                seq=job.seq,
                width=frames.shape[2],
                height=frames.shape[1],
                count=len(frames),
                produced_ns=time.monotonic_ns(),
                gen_ms=1e3 * (now - started),
                chunk_ms=self._chunk_ms,
            )
            pixels = np.ascontiguousarray(frames).tobytes()
            self._pictured = True
            self._send(header, pixels)
            shown.update(pixels)
            self._look_ahead()
            index += len(frames)
        record = self._world.commit()
        self._chunk_ms = 1e3 * (time.perf_counter() - started)
        exchanged = [now - then for now, then in zip(self._exchanged, before, strict=True)]
        committed = model.Committed(
            generation=job.generation,
            chunk=record.index,
            shape=record.latents.shape,
            steps=job.steps,
            poses=np.asarray(record.poses, dtype=np.float32).tobytes(),
            actions=np.asarray(record.actions, dtype=np.int16).tobytes(),
            prompt=record.prompt,
            picture=encode_picture(record.picture),
            digest=shown.digest(),
            recalled=record.recalled,
            chunk_ms=self._chunk_ms,
            collectives=exchanged[0],
            moved=exchanged[1],
        )
        self._send(committed, np.asarray(record.latents, dtype=np.float16).tobytes())

    @property
    def _exchanged(self) -> tuple[int, int]:
        """Collectives so far, and bytes that they moved between all ranks."""
        traffic = self._ranks.traffic if self._ranks is not None else None
        return (traffic.collectives, traffic.moved) if traffic else (0, 0)

    def _send(self, message: Message, payload: bytes | None = None) -> None:
        frames = [pack(message)] if payload is None else [pack(message), payload]
        transport.check_size(frames, MODEL_LIMITS)
        self._socket.send_multipart(frames)


def branch_of(journal: Path, number: int | None) -> Branch:
    """The branch of a session that is walked on, or the one of this number. Raises `JournalError`."""
    history = read(journal).history
    return history.branch if number is None else history.then(SwitchEntry(branch=number)).branch


def engine_of(
    preset: str, tell: Callable[[float, str], object] | None = None, ranks: Any = None
) -> Callable[[Any, Sequence[Any]], Any]:
    """`open_world` of the engine behind a preset; `tell` hears of what takes long there, `ranks` make it together."""
    if preset == "fake":
        from worker import fake

        return fake.open_world
    from engine import world

    return world.open_world if tell is None else partial(world.open_world, tell=tell, ranks=ranks)


def meet(place: Place, named: Callable[[str], object] = len) -> Any:
    """The ranks of the engine, once all have come; None where there is one. Raises the engine's `RankLost`."""
    if place.ranks == 1:
        return None
    from engine import meeting

    how: Any = {"interface": place.interface, "strips": place.strips}
    if place.meeting:
        return meeting.in_file(Path(place.meeting), place.rank, place.ranks, **how)
    return meeting.at_torchrun(place.rank, place.ranks, after=place.after, named=named, **how)


def standing(world: Any) -> tuple[int, int]:
    """Seed and chunks of a world, zeros without one."""
    return (world.spec.seed, world.chunks) if world is not None else (0, 0)


def lost_a_rank(error: BaseException) -> bool:
    """Whether another rank is gone: no error that a person can mend, the whole group starts again."""
    return "RankLost" in {kind.__name__ for kind in type(error).__mro__}


def reader_of(preset: str) -> Callable[[str], object]:
    """What reads the words of a prompt ahead of the chunk that is made under them."""
    if preset != "pocket":  # a released model's encoders take a process of their own, once the chunk is made
        return len
    from engine.text import encode
    from engine.weights import pocket_phrases

    phrases = pocket_phrases()
    return lambda words: encode(("", phrases.read(words) if phrases else words))


def user_errors() -> tuple[type[Exception], ...]:
    """The errors whose sentence is meant for the user; any other ends the process."""
    from engine.errors import WanderError as EngineError

    return WanderError, EngineError


def engine_spec(spec: WorldSpec) -> Any:
    """A world's specification as the engine has it, the picture decoded. Raises `WanderError` if that fails."""
    from engine.world import WorldSpec as EngineSpec

    image = decode_image(spec.image) if spec.image else None
    video = decode_clip(spec.video) if spec.video else None
    return EngineSpec(
        preset=spec.preset,
        seed=spec.seed,
        prompt=spec.prompt,
        image=image,
        video=video,
        chunk=spec.chunk,
        size=spec.size,
    )


def engine_steps(steps: Sequence[Step]) -> tuple[Any, ...]:
    """Steps as the engine has them."""
    from engine.actions import Step as EngineStep

    return tuple(EngineStep(keys=step.keys, yaw=step.yaw, pitch=step.pitch, walls=step.walls) for step in steps)


def engine_record(entry: ChunkEntry) -> Any:
    """A chunk of the journal as the engine has it."""
    from engine.world import ChunkRecord

    return ChunkRecord(
        index=entry.index,
        steps=engine_steps(entry.steps),
        latents=np.frombuffer(entry.latents, dtype=np.float16).reshape(entry.shape),
        poses=np.frombuffer(entry.poses, dtype=np.float32).reshape(-1, 4, 4),
        actions=np.frombuffer(entry.actions, dtype=np.int16),
        prompt=entry.prompt,
        picture=decode_image(entry.picture) if entry.picture else None,
    )


def encode_picture(picture: np.ndarray[Any, np.dtype[np.uint8]] | None) -> bytes:
    """A picture [H, W, 3] as a PNG, quickly; nothing for none."""
    if picture is None:
        return b""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", compress_level=1)
    return file.getvalue()


def hang_on_lifeline() -> None:
    """End this process when its standard input does, or its parent, whatever it is doing then."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

    def wait() -> None:
        while os.read(0, 4_096):
            continue
        os._exit(0)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def begin() -> None:
    """What every process that computes does first."""
    hang_on_lifeline()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")


def status_of(error: BaseException) -> int:
    """The exit status of a process that ends with this error."""
    return OUT_OF_MEMORY if short_of_memory(error) else RANK_LOST if lost_a_rank(error) else CRASHED


def main(arguments: str) -> None:
    """Serve the socket that the JSON `arguments` (`Start`) name, until the router ends."""
    start = msgspec.json.decode(arguments, type=Start)
    begin()
    context: transport.Context = zmq.Context()
    socket = transport.open_socket(context, zmq.PAIR, MODEL_LIMITS)
    socket.setsockopt(zmq.LINGER, 1_000)
    socket.bind(start.endpoint)
    try:
        Model(socket, start.preset, meet(start.place)).serve()
    except Exception as error:
        log.exception("the model process ends")
        context.destroy(linger=1_000)
        logging.shutdown()
        os._exit(status_of(error))  # threads of a broken group may never end


if __name__ == "__main__":
    main(sys.argv[1])
