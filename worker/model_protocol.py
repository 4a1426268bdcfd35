"""The messages between the router and its model process, over one PAIR of sockets that lives as long as the process.

The model process works on one job at a time. A job is answered by `Loaded`, `Committed` or `Done`, or by `Failed`
with a sentence; while it lasts, `Loading` and the frames themselves are its signs of life. Pixels and latents travel
in a ZeroMQ frame of their own behind the header.
"""

import hashlib
from typing import Annotated

from msgspec import Meta

from worker.protocol import (
    Chunk,
    Count,
    Frames,
    Message,
    Milliseconds,
    Path,
    Progress,
    Prompt,
    Seed,
    Sentence,
    Side,
    Step,
    WorldSpec,
)

Shape = tuple[Side, Side, Side, Side]
Text = Annotated[str, Meta(max_length=16_000)]
"""Caption and events, one line each."""
Digest = Annotated[bytes, Meta(max_length=32)]


def fingerprint() -> "hashlib.blake2b":
    """Of a chunk's pixels, 16 bytes: `update` it with the pictures of one latent after those of another."""
    return hashlib.blake2b(digest_size=16)


class Load(Message, frozen=True, kw_only=True, tag="load"):
    """Open a world; `journal` is the session file to rebuild it from, or empty."""

    spec: WorldSpec
    journal: Path = ""
    branch: Count | None = None
    """The branch of the session to switch to, if another than the one walked on."""


class Generate(Message, frozen=True, kw_only=True, tag="generate"):
    """Make the next chunk. `index` is the number of its first picture in its generation."""

    generation: Count
    chunk: Count
    index: Count
    seq: Count
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=16)]


class ApplyPrompt(Message, frozen=True, kw_only=True, tag="apply_prompt"):
    """A prompt for all chunks from the next one."""

    text: Prompt


class ApplyRewind(Message, frozen=True, kw_only=True, tag="apply_rewind"):
    """Back to the state after `chunks` chunks."""

    chunks: Count


class ApplyReset(Message, frozen=True, kw_only=True, tag="apply_reset"):
    """Back to the beginning, with this seed."""

    seed: Seed


class Foresee(Message, frozen=True, kw_only=True, tag="foresee"):
    """Words that the model will be asked to read after the job at hand: it encodes them meanwhile. Not answered."""

    text: Prompt


Job = Load | Generate | ApplyPrompt | ApplyRewind | ApplyReset


Order = Job | Foresee
"""What the model process is sent."""


class Loaded(Message, frozen=True, kw_only=True, tag="loaded"):
    """The world is open."""

    width: Side
    height: Side
    fps: Annotated[float, Meta(gt=0, le=1_000)]
    chunk: Chunk
    chunks: Count
    checksum: Annotated[str, Meta(max_length=128)] = ""
    """Fingerprint of the weights, empty where there are none."""


class Committed(Message, frozen=True, kw_only=True, tag="committed"):
    """A chunk is finished, after its frames left.

    Its latents, float16 [T, C, Y, X], are the frame behind this header.
    """

    generation: Count
    chunk: Count
    shape: Shape
    steps: Annotated[tuple[Step, ...], Meta(min_length=1, max_length=16)]
    poses: Annotated[bytes, Meta(max_length=16 * 64)]
    """`world_from_camera` of each latent, float32 [T, 4, 4]."""
    actions: Annotated[bytes, Meta(max_length=16 * 2)]
    """Action class of each latent, int16 [T]."""
    prompt: Text
    picture: Annotated[bytes, Meta(max_length=1 << 23)] = b""
    """The last picture of the chunk as a PNG, which later chunks are drawn from; empty where none is kept."""
    digest: Digest = b""
    """Of the pictures, by `fingerprint`."""
    recalled: Annotated[tuple[Count, ...], Meta(max_length=64)] = ()
    """Latents that memory chose for it, older than the recent ones, counted back from its last (0)."""
    chunk_ms: Milliseconds
    collectives: Count = 0
    """What the ranks did together for it: exchanges."""
    moved: Count = 0
    """... and bytes that reached any of them."""


class Done(Message, frozen=True, kw_only=True, tag="done"):
    """A prompt, rewind or reset was carried out; `chunk` is the next one to be made, under the text `reads`."""

    chunk: Count
    reads: Text
    remark: Sentence = ""
    """What the person should know of the words that were given."""


class Failed(Message, frozen=True, kw_only=True, tag="failed"):
    """The job could not be done; the world, if there is one, is as before."""

    sentence: Sentence


ModelMessage = Loaded | Frames | Committed | Done | Failed | Progress
