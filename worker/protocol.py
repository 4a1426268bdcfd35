"""Every message that the window and the worker exchange: three lanes, one schema, one version.

- **control lane** (window -> worker): `Control`, latest wins, taps kept.
- **frame lane** (worker -> window): `Frames`, its pixels in a ZeroMQ frame of their own; paced by `Control.shown`.
- **request lane** (both ways): `Hello`, then `Request`s, each answered by exactly one `Reply` with its `id`; between
  them `World`, `Progress`, `WorkerState`, `Closed` tell what the worker does.

`generation` counts the lives of a world: Reset, Rewind, Open and a restart of the model start a new one, and whatever
carries an older one is thrown away. Angles are radians, times nanoseconds of the sender's clock, sentences for users.
"""

import hashlib
import math
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

PROTOCOL = 1
"""Version of this schema; the hash in `Hello` catches builds that differ under one number."""

KEY_BITS = 8
"""Keys are a bit set in the order `w s d a right left up down` = bits 0..7."""

MAX_PROMPT = 2_000
"""Longest prompt in characters."""

MAX_IMAGE = 16 * 1024 * 1024
"""Largest uploaded picture file in bytes."""

MAX_TOLD = 100
"""Most events, and most branches, that a `World` tells of: the newest ones."""

MAX_LATENTS = 16
"""Most latent frames in one chunk."""

Count = Annotated[int, Meta(ge=0, lt=1 << 62)]
Keys = Annotated[int, Meta(ge=0, lt=1 << KEY_BITS)]
Angle = Annotated[float, Meta(ge=-16 * math.pi, le=16 * math.pi)]
Sentence = Annotated[str, Meta(max_length=2_000)]
Prompt = Annotated[str, Meta(max_length=MAX_PROMPT)]
Name = Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")]
Path = Annotated[str, Meta(max_length=4_096)]
Title = Annotated[str, Meta(min_length=1, max_length=40, pattern=r"\S")]
"""What a person calls something."""
Seed = Annotated[int, Meta(ge=0, lt=1 << 53)]
Chunk = Annotated[int, Meta(ge=1, le=MAX_LATENTS)]
Side = Annotated[int, Meta(ge=1, le=4_096)]
Data = dict[Annotated[str, Meta(max_length=64)], str | int | float | bool | None]
Milliseconds = Annotated[float, Meta(ge=0, le=1e9)]


class Message(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Base of all messages: immutable, unknown fields refused."""


class Step(Message, frozen=True, kw_only=True, tag="step"):
    """What the person did during one latent: keys, and mouse look in radians over the whole latent."""

    keys: Keys = 0
    yaw: Angle = 0.0
    pitch: Angle = 0.0
    walls: bool = False
    """Walking stops before what is solid. The default is that of sessions that knew no walls."""


# -- control lane ------------------------------------------------------------------------------------------------------


class Control(Message, frozen=True, kw_only=True, tag="control"):
    """What the person does right now: send one whenever that changes and whenever frames were shown."""

    seq: Count
    """Strictly increasing over a connection; comes back in the header of the frames that it shaped."""
    generation: Count
    """Generation of the newest frame or `World` that the window has seen."""
    keys: Keys = 0
    """Keys held down now."""
    taps: Keys = 0
    """Keys that went down since the last Control, whether or not they are still down."""
    yaw: Angle = 0.0
    """Mouse look to the right since the last Control."""
    pitch: Angle = 0.0
    """Mouse look up since the last Control."""
    sent_ns: Count = 0
    shown: Count = 0
    """Credit: `index + 1` of the newest picture of `generation` that was shown; a chunk starts by it and `lead`."""
    arrived: Count = 0
    """The same of pictures that have come; said over a network, where the worker sends no faster than they do."""
    lead: Annotated[int, Meta(ge=0, le=64)] = 64
    """Pictures that may wait when the next chunk starts; the worker caps it at one chunk. 0 is the most responsive."""
    walls: bool = False
    """Walking stops before what is solid; the key stays held, and the poses tell where the walk went."""


# -- request lane: window -> worker (`WorldLink.request` fills in the `id`) --------------------------------------------


class WorldSpec(Message, frozen=True, kw_only=True, tag="spec"):
    """A world to start: from a seed and words, the user's own picture or clip, or a session file."""

    preset: Name = "pocket"
    seed: Seed = 0
    prompt: Prompt = ""
    image: Annotated[bytes, Meta(max_length=MAX_IMAGE)] = b""
    """A picture *file* (PNG, JPEG, WebP ...) that the model process decodes; empty for none."""
    video: Annotated[bytes, Meta(max_length=MAX_IMAGE)] = b""
    """A short clip to go on from, as `app.clip` makes it of a video file; empty for none."""
    chunk: Chunk = 4
    size: tuple[Side, Side] | None = None
    """Width and height of the pictures; None for the largest that the worker's machine makes in real time."""
    session: Path = ""
    """A session file to resume (then the other fields come from it), or empty for a new session."""


class Greeting(msgspec.Struct, tag="hello"):
    """What the `Hello`s of all versions, past and to come, have in common."""

    protocol: Count


class Hello(Message, frozen=True, kw_only=True, tag="hello"):
    """First message of a connection."""

    protocol: Count = PROTOCOL
    schema: Annotated[str, Meta(max_length=64)]
    take_over: bool = False
    """Disconnect another window that already looks at this worker's session."""
    token: Annotated[str, Meta(max_length=64)] = ""
    """`Welcome.token` of the connection that was lost, to have its session back."""


class Open(Message, frozen=True, kw_only=True, tag="open"):
    """Start or resume a world. The reply comes when it can be walked in."""

    id: Count = 0
    spec: WorldSpec


class Reset(Message, frozen=True, kw_only=True, tag="reset"):
    """The same world from its beginning, with a new seed if one is given."""

    id: Count = 0
    seed: Seed | None = None


class SetPrompt(Message, frozen=True, kw_only=True, tag="prompt"):
    """An event in words. The reply's data names the `chunk` from which it applies."""

    id: Count = 0
    text: Prompt


class Rewind(Message, frozen=True, kw_only=True, tag="rewind"):
    """Back to the state after `chunks` chunks (undo of n: shown chunk + 1 - n)."""

    id: Count = 0
    chunks: Count


class Keep(Message, frozen=True, kw_only=True, tag="keep"):
    """Call the branch that is walked on `name`."""

    id: Count = 0
    name: Title


class Switch(Message, frozen=True, kw_only=True, tag="switch"):
    """To the end of another branch of the session: the number of one of `World.branches`."""

    id: Count = 0
    branch: Count


class Pause(Message, frozen=True, kw_only=True, tag="pause"):
    """Time in the world stops at the next chunk boundary."""

    id: Count = 0


class Resume(Message, frozen=True, kw_only=True, tag="resume"):
    """Time runs on after `Pause`."""

    id: Count = 0


class SetChunk(Message, frozen=True, kw_only=True, tag="set_chunk"):
    """Latents per chunk from now on: fewer answer sooner, more run smoother."""

    id: Count = 0
    chunk: Chunk


class Save(Message, frozen=True, kw_only=True, tag="save"):
    """Make the session durable; a `name` also copies it beside the other sessions. Data: `session`, its path."""

    id: Count = 0
    name: Name | None = None


class Status(Message, frozen=True, kw_only=True, tag="status"):
    """Numbers about the worker: see `Reply.data`."""

    id: Count = 0


class Restart(Message, frozen=True, kw_only=True, tag="restart"):
    """Stop a model that hangs and start it again from the journal."""

    id: Count = 0


class Scan(Message, frozen=True, kw_only=True, tag="scan"):
    """A 3D scan of the session so far; `Progress` of stage "scan" tells how far it is. Data: `file`, `sidecar`,
    `points`, `triangles`, `views`, `bytes`, `notice`."""

    id: Count = 0
    seconds: Annotated[float, Meta(ge=0, le=1e6)] = 0.0
    """Only the last seconds of the walk; 0 for all of it."""
    format: Literal["ply", "glb", "colmap", "nerfstudio", "gaussian"] = "ply"
    mesh: bool = False


class CancelScan(Message, frozen=True, kw_only=True, tag="cancel_scan"):
    """End the scan that is under way."""

    id: Count = 0


class Quit(Message, frozen=True, kw_only=True, tag="quit"):
    """Finish the chunk, close the session, end the worker."""

    id: Count = 0


Request = (
    Open | Reset | SetPrompt | Rewind | Keep | Switch | Pause | Resume | SetChunk | Save | Status | Restart
    | Scan | CancelScan | Quit
)  # fmt: skip
ClientMessage = Hello | Request


# -- worker -> window --------------------------------------------------------------------------------------------------


class Frames(Message, frozen=True, kw_only=True, tag="frames"):
    """The pictures of one latent: `count` frames, uint8 RGB [count, height, width, 3], in `pixels`."""

    generation: Count
    chunk: Count
    """Index of the chunk in its world."""
    latent: Count
    """Index of the latent in its chunk."""
    last: bool = False
    """True for the last latent of its chunk."""
    index: Count
    """Index of the first of these pictures in its generation: `shown` becomes `index + 1` with it."""
    seq: Count
    """`Control.seq` of the newest control that shaped these pictures."""
    width: Side
    height: Side
    count: Annotated[int, Meta(ge=1, le=64)]
    produced_ns: Count
    """When the model process finished them, by its own clock."""
    gen_ms: Milliseconds
    """Time from the start of the chunk to these pictures."""
    chunk_ms: Milliseconds = 0.0
    """Time that the previous chunk took in all, commit included; 0 for the first."""
    pixels: bytes = b""
    """Travels beside the header, never inside it."""


class Reply(Message, frozen=True, kw_only=True, tag="reply"):
    """Answer to the request `id`: `error` is empty if it was carried out, else a sentence."""

    id: Count
    error: Sentence = ""
    data: Data = {}

    @property
    def ok(self) -> bool:
        """Whether the request was carried out."""
        return not self.error


class Welcome(Message, frozen=True, kw_only=True, tag="welcome"):
    """Answer to a `Hello` that was accepted; may come again, when the worker asks itself whether the window lives."""

    protocol: Count = PROTOCOL
    schema: Annotated[str, Meta(max_length=64)]
    token: Annotated[str, Meta(max_length=64)] = ""
    """Gives the session back to a window that lost its connection."""


class Happening(Message, frozen=True, kw_only=True, tag="happening"):
    """Something that was asked for in words; `Rewind(chunks=chunk)` takes it back, with all that came after."""

    text: Annotated[str, Meta(max_length=200)]
    chunk: Count
    """The first chunk that reads it."""
    latent: Count
    """The first latent of that chunk in its world."""
    active: bool
    """The model still reads it."""
    ended: Annotated[str, Meta(max_length=200)] = ""
    """The event that these words have ended ("it stops"); empty for an event."""


class Branch(Message, frozen=True, kw_only=True, tag="branch"):
    """A line of the session that one can walk on: the present one, or one that undo or reset has left."""

    number: Count
    name: Annotated[str, Meta(max_length=40)] = ""
    """What the person calls it, or empty."""
    seed: Seed
    latents: Count
    """How long it is."""
    shared: Count
    """Latents that it has in common with the present one."""
    made: Count
    """Generation in which its last chunk was made: with the chunk's index, the chunk's name in the session."""
    chunks: Count


class World(Message, frozen=True, kw_only=True, tag="world"):
    """The world that is open now; sent whenever something in it changes."""

    generation: Count
    preset: Name
    seed: Seed
    prompt: Prompt
    """The text that the model reads for the next chunk: the caption, and a line for each active event."""
    width: Side
    height: Side
    fps: Annotated[float, Meta(gt=0, le=1_000)]
    chunk: Chunk
    chunks: Count
    """Chunks made so far."""
    paused: bool
    session: Path
    """The session file."""
    unsaved: Sentence = ""
    """Why the session is no longer saved, such as a full disk; empty while all is well."""
    branch: Count = 0
    branches: Annotated[tuple[Branch, ...], Meta(max_length=MAX_TOLD)] = ()
    """That which is walked on, number `branch`, among them."""
    happenings: Annotated[tuple[Happening, ...], Meta(max_length=MAX_TOLD)] = ()
    """What was asked for on this branch, oldest first."""


class Progress(Message, frozen=True, kw_only=True, tag="progress"):
    """Something long is under way; `fraction` is 0..1."""

    stage: Annotated[str, Meta(max_length=64)]
    fraction: Annotated[float, Meta(ge=0, le=1)]
    sentence: Sentence


class Trail(Message, frozen=True, kw_only=True, tag="trail"):
    """The exact path of the walk: what a new chunk adds, or all of it (`whole`) after anything else has changed it."""

    whole: bool
    places: Annotated[bytes, Meta(max_length=128 * 1024)]
    """Camera at each latent's end, float32 `[N, 4]`: x, z, heading in radians (0 along z, right positive), chunk."""
    recalled: Annotated[tuple[Count, ...], Meta(max_length=64)] = ()
    """The places, counted back from the newest (0), that memory recalled for the newest chunk."""


class WorkerState(Message, frozen=True, kw_only=True, tag="worker_state"):
    """News about the model process: a sentence for the veil, empty when all is well again."""

    sentence: Sentence
    restarts: Count = 0


class Refused(Message, frozen=True, kw_only=True, tag="refused"):
    """The worker could not read a message of this window; the third time it hangs up."""

    sentence: Sentence


class Closed(Message, frozen=True, kw_only=True, tag="closed"):
    """The connection is over: nothing will follow."""

    sentence: Sentence = ""
    held: bool = False
    """Because another window has the session, which a `Hello` with `take_over` gets."""


RequestLaneEvent = Reply | Welcome | World | Progress | Trail | WorkerState | Refused | Closed
Event = Frames | RequestLaneEvent


def _schema_hash() -> str:
    schema: Any = msgspec.json.schema(Control | ClientMessage | Event)
    return hashlib.sha256(msgspec.json.encode(schema, order="sorted")).hexdigest()[:16]


SCHEMA = _schema_hash()
"""Fingerprint of all messages above."""
