"""What the screens are given and what they answer: a snapshot to draw, intents that the person expressed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from imgui_bundle import imgui

from app.bindings import Command
from app.gallery import Start
from app.settings import Settings
from app.walk import WalkState

TOAST_S = 5.0


@dataclass(frozen=True, slots=True)
class Do:
    """The same as pressing the command's key."""

    command: Command
    number: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class StartWorld:
    """Leave this world and start another."""

    seed: int | None = None
    """None: a new random one."""
    prompt: str = ""
    image: Path | bytes | None = None
    """A picture or video file, or the bytes of a picture."""
    session: str = ""
    """A session file to go on with; then the rest counts for nothing."""
    chunk: int = 4
    """Latents per chunk, which the explorer fills in."""


@dataclass(frozen=True, slots=True)
class SendPrompt:
    """Let an event happen."""

    text: str
    shown: str = ""
    """What the person is told of it instead; such words are not theirs to recall."""


@dataclass(frozen=True, slots=True)
class RewindTo:
    """Back to the state after so many chunks."""

    chunks: int


@dataclass(frozen=True, slots=True)
class KeepBranch:
    """Give the branch that is walked on a name."""

    name: str


@dataclass(frozen=True, slots=True)
class SwitchBranch:
    """To the end of another branch."""

    branch: int


@dataclass(frozen=True, slots=True)
class SetChunk:
    """Latents per chunk."""

    latents: int


@dataclass(frozen=True, slots=True)
class Change:
    """Other settings from now on."""

    settings: Settings


@dataclass(frozen=True, slots=True)
class ChoosePreset:
    """The model of the worlds that are started from now on."""

    name: str


@dataclass(frozen=True, slots=True)
class ChooseWorker:
    """Leave this world and start one that another machine makes."""

    worker: str
    """HOST:PORT, or the folder of one that serves here; empty for a worker of this program's own."""


@dataclass(frozen=True, slots=True)
class Browse:
    """Open the system's file dialog for a picture."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StartScan:
    """Take the world home."""

    seconds: float
    """Of the end of the walk; 0 for all of it."""
    format: str
    mesh: bool


@dataclass(frozen=True, slots=True)
class CancelScan:
    """End the scan that is under way."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShowScan:
    """Look at a scan's file."""

    path: Path


@dataclass(frozen=True, slots=True)
class CloseScan:
    """Back from the scan to the walk."""


@dataclass(frozen=True, slots=True)
class RestartModel:
    """Start a model again that hangs."""


@dataclass(frozen=True, slots=True)
class TakeOver:
    """Get the session that another window has."""


@dataclass(frozen=True, slots=True)
class Leave:
    """End the program."""


Intent = (
    Do
    | StartWorld
    | SendPrompt
    | RewindTo
    | KeepBranch
    | SwitchBranch
    | SetChunk
    | Change
    | ChoosePreset
    | ChooseWorker
    | Browse
    | StartScan
    | CancelScan
    | ShowScan
    | CloseScan
    | RestartModel
    | TakeOver
    | Leave
)


@dataclass(frozen=True, slots=True)
class Toast:
    """A sentence that is shown for a while."""

    sentence: str
    until: float


@dataclass(kw_only=True, slots=True)
class UiState:
    """What is open and what was typed; the only memory that the screens have."""

    menu: bool = True
    panel: bool = False
    help: bool = False
    hint_until: float | None = None
    """When the first-run hint goes away; None while it waits for its first picture."""
    place: str = ""
    seed: str = ""
    event: str = ""
    image: str = ""
    focus_event: bool = False
    page: int = 0
    """Of the panel."""
    quick: list[list[str]] | None = None
    """The quick events as they are being edited: rows of [name, words]."""
    branch: str = ""
    """The name that is being typed for the present branch."""
    cloud: bool = False
    """A scan is shown instead of the walk."""
    flying: bool = False
    """Keys are held that move through it."""
    scan_seconds: int = 0
    scan_format: int = 0
    scan_mesh: bool = False
    recalled: int = 0
    """How many events back the arrow keys have gone in the history."""
    toasts: list[Toast] = field(default_factory=list)

    def toast(self, sentence: str, now: float) -> None:
        """Show a sentence for some seconds, once."""
        if sentence and all(toast.sentence != sentence for toast in self.toasts):
            self.toasts.append(Toast(sentence, now + TOAST_S))


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """Everything a screen may show, taken afresh for every picture."""

    size: tuple[int, int]
    now: float
    walk: WalkState
    settings: Settings
    starts: Sequence[tuple[Start, imgui.ImTextureRef]]
    fps_generated: float
    fps_shown: float
    latency_ms: float | None
    left_out: float
    """Pictures a second that the network has no room for."""
    captured: bool
    covered: int
    """Pixels at the right that the panel hides."""
    can_browse: bool
    """This system has a file dialog."""
    preset: str = "pocket"
    """The model of the next world."""
    presets: Sequence[str] = ()
    """The models that one can choose from here."""
    worker: str = ""
    """What makes the worlds, as in `ChooseWorker`."""
    workers: Sequence[str] = ()
    """Those that one can choose from here beside this program's own."""
    makes: float | None = None
    """Pictures a second that the model can make; None before it has made a chunk."""

    @property
    def free_centre(self) -> float:
        """The middle, from the left, of what the panel leaves free."""
        return (self.size[0] - self.covered) / 2
