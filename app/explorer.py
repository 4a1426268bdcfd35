"""The explorer's loop: events in, one beat of the walk, one picture out.

All that changes is in one `ExplorerState` (and in the `WalkState` that it holds); the screens only draw it and answer
with intents, and `Explorer._carry_out` is the one place where an intent becomes an action.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pygame
from msgspec.structs import replace

from app.bindings import Command
from app.errors import AppError
from app.gallery import Start
from app.input import InputState, MouseLook
from app.overlays import HINT_S
from app.panel import covered_by_panel, parse_seed
from app.panel_story import words_of
from app.saved import keep_picture
from app.screen import Screen, Turned
from app.settings import SIZES, Settings
from app.starting import Starting
from app.view import (
    Browse,
    CancelScan,
    Change,
    ChoosePreset,
    ChooseWorker,
    CloseScan,
    Do,
    Intent,
    KeepBranch,
    Leave,
    RestartModel,
    RewindTo,
    SendPrompt,
    SetChunk,
    ShowScan,
    StartScan,
    StartWorld,
    SwitchBranch,
    TakeOver,
    UiState,
    View,
)
from app.walk import Phase, Picture, Walk
from app.window import Window
from worker.client import WorldLink
from worker.errors import WanderError
from worker.protocol import WorldSpec

POLL_S = 0.004
"""Longest sleep of a beat: how late a frame or a key can be noticed."""
PRESETS = ("pocket", "worldplay-5b", "worldplay-8b")
"""What one can ask of a worker elsewhere, which says what it lacks."""
_IDLE_REDRAW_S = 0.1
_BUSY_REDRAW_S = 1 / 30
_RESTLESS_S = 0.4
"""How long after an event the interface is drawn often: ImGui takes events in over several pictures."""
_MAX_HISTORY = 50
_ENTER = (pygame.K_RETURN, pygame.K_KP_ENTER)
_RADIANS_PER_PIXEL = 0.0022


@dataclass(kw_only=True, slots=True)
class ExplorerState:
    """All that changes while the explorer runs, apart from the walk itself."""

    settings: Settings
    ui: UiState = field(default_factory=UiState)
    paused: bool = False
    """The person pressed P (the menu pauses by itself)."""
    minimised: bool = False
    leaving: bool = False
    drawn_at: float = 0.0
    restless_until: float = 0.0
    """The interface may want to show something new until then."""


class Explorer:
    """The window's program. `run` returns when the person leaves."""

    def __init__(
        self,
        *,
        window: Window,
        walk: Walk,
        settings: Settings,
        preset: str,
        starts: list[Start],
        reach: Callable[[str, bool], WorldLink],
        worker: str = "",
        workers: Sequence[str] = (),
        presets: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`reach` makes a link to a worker, as `worker` and `workers` name them (see `ChooseWorker`), which gets a
        session that another window has if it is told to take it over; raises `WanderError`."""
        self.window, self.walk, self.clock = window, walk, clock
        self.state = ExplorerState(settings=settings)
        walk.walls = settings.walls
        self._reach, self._worker, self._workers = reach, worker, workers
        self._first = WorldSpec(preset=preset)
        self.input = InputState(_look(settings))
        self.screen = Screen(window.ctx, starts, scale=settings.ui_scale)
        self._press: pygame.event.Event | None = None
        self._starting, self._presets = Starting(preset, self._opened, self.notify), presets
        self.notify(self.screen.gui.theme.fonts.warning)

    def open(self, spec: WorldSpec, *, menu: bool) -> None:
        """Start a world, with the start screen in front of it or straight away."""
        self._first = spec
        self.walk.open(spec)
        self.state.ui.menu = menu

    def _keep_picture(self) -> None:
        """Remember where this walk ended, for the start screen."""
        walk = self.walk.state
        if walk.world is not None and walk.picture is not None:
            keep_picture(walk.world.session, walk.picture.pixels)

    def _opened(self, spec: WorldSpec) -> None:
        self._keep_picture()
        self.state.paused = False
        self.open(spec, menu=False)

    @property
    def _wish(self) -> StartWorld:
        """What the start screen says of a world whose picture comes from elsewhere."""
        ui = self.state.ui
        return StartWorld(seed=parse_seed(ui.seed), prompt=ui.place.strip(), chunk=self.state.settings.chunk)

    def notify(self, *sentences: str) -> None:
        """Show sentences for a while; empty ones are none."""
        for sentence in sentences:
            self.state.ui.toast(sentence, self.clock())

    def settings_to_keep(self) -> Settings:
        """The settings for the next start."""
        if self.window.fullscreen:
            return replace(self.state.settings, fullscreen=True)
        width, height = (min(max(side, 320), 16384) for side in self.window.size)
        return replace(self.state.settings, fullscreen=False, width=width, height=height)

    def run(self) -> None:
        """Beat until the person leaves, sleeping in between."""
        while not self.state.leaving:
            self.beat()
            now = self.clock()
            time.sleep(min(POLL_S, max(0.0, self.walk.pacer.next_due(now) - now) or POLL_S))

    def beat(self) -> None:
        """Events, one tick of the walk and, where something changed, one picture."""
        now = self.clock()
        for event in self.window.events():
            self._event(event)
            self.state.restless_until = now + _RESTLESS_S
        self._settle()
        picture = self.walk.tick(now, self.input.take())
        self._notices(now)
        if picture is not None or self._wants_redraw(now):
            self._draw(now, picture)

    def close(self) -> None:
        """Give the window and the dialog back."""
        self._keep_picture()
        self._starting.close()
        self.screen.close()
        self.window.close()

    # -- in --------------------------------------------------------------------------------------------------------

    def _event(self, event: pygame.event.Event) -> None:
        ui, gui = self.state.ui, self.screen.gui
        if not (self.input.captured and event.type in (pygame.MOUSEMOTION, pygame.MOUSEBUTTONDOWN)):
            gui.feed(event)
        match event.type:
            case pygame.QUIT:
                self.state.leaving = True
            case pygame.DROPFILE:
                self._carry_out(dataclasses.replace(self._wish, image=Path(event.file)))
            case pygame.WINDOWMINIMIZED | pygame.WINDOWRESTORED:
                self.state.minimised = event.type == pygame.WINDOWMINIMIZED
            case pygame.KEYDOWN if ui.menu and not gui.owns_keyboard and event.key in _ENTER:
                self._command(Command.MENU)
                return
        if event.type == pygame.MOUSEBUTTONDOWN:
            self._press = None if ui.menu or ui.cloud or ui.help else event
            ui.help = False
            return
        pressed = self.input.feed(event, ui_keyboard=gui.owns_keyboard or ui.cloud)
        if pressed is not None:
            self._carry_out(Do(pressed.command, pressed.number))

    def _settle(self) -> None:
        """Bring pointer and time in line with what is open."""
        ui, walk = self.state.ui, self.walk
        if ui.menu:
            self.input.release()
        self.window.capture(self.input.captured)
        self._starting.poll(self._wish)
        away = ui.menu or ui.cloud or self.state.minimised
        stopped = self.state.paused or (away and walk.state.picture is not None)
        if walk.state.phase is Phase.WALKING:
            walk.pause(stopped)

    def _notices(self, now: float) -> None:
        ui, walk = self.state.ui, self.walk.state
        while walk.notices:
            ui.toast(walk.notices.pop(0), now)
        while walk.answered:
            happening = walk.answered.pop(0)
            if not ui.panel:
                ui.toast(words_of(happening), now)
        if walk.phase in (Phase.IDLE, Phase.CLOSED) and walk.world is None:
            ui.menu = True
        if not self.state.settings.hints_seen and walk.picture is not None and not ui.menu:
            ui.hint_until = now + HINT_S
            self.state.settings = replace(self.state.settings, hints_seen=True)

    # -- out -------------------------------------------------------------------------------------------------------

    def _wants_redraw(self, now: float) -> bool:
        since = now - self.state.drawn_at
        ui, walk = self.state.ui, self.walk.state
        animated = walk.phase is Phase.OPENING or bool(walk.veil) or (ui.cloud and ui.flying)
        animated = animated or bool(ui.hint_until and now < ui.hint_until)
        return since >= (_BUSY_REDRAW_S if animated or now < self.state.restless_until else _IDLE_REDRAW_S)

    def _draw(self, now: float, picture: Picture | None) -> None:
        state = self.state
        yaw, pitch = self.walk.turned if state.settings.late_warp else (0.0, 0.0)
        turned = Turned(yaw=yaw, pitch=pitch)
        elapsed = now - state.drawn_at
        state.drawn_at = now
        self.screen.presenter.sharp = state.settings.sharp
        intents = self.screen.draw(self.window.target, self._view(now), state.ui, turned, elapsed)
        if self._press is not None:  # only now it is known what lies under the pointer
            self.input.feed(self._press, ui_mouse=self.screen.gui.owns_mouse)
            self._press = None
        self.window.flip()
        if picture is not None:
            self.walk.presented(picture, self.clock())
        for intent in intents:
            self._carry_out(intent)

    def _view(self, now: float) -> View:
        meter, pacer = self.walk.meter, self.walk.pacer
        made, shown = meter.generated.recent(now), meter.shown.recent(now)
        return View(
            size=self.window.size,
            now=now,
            walk=self.walk.state,
            settings=self.state.settings,
            starts=self.screen.starts,
            fps_generated=made,
            fps_shown=shown,
            latency_ms=meter.recent_latency_ms,
            left_out=meter.left_out.recent(now),
            captured=self.input.captured,
            covered=covered_by_panel(self.screen.gui.theme, self.state.ui),
            can_browse=self._starting.can_browse,
            preset=self._starting.preset,
            presets=PRESETS if self._worker else self._presets,
            worker=self._worker,
            workers=self._workers,
            makes=pacer.production_fps,
        )

    # -- what was asked for ----------------------------------------------------------------------------------------

    def _carry_out(self, intent: Intent) -> None:
        match intent:
            case Do(command, number):
                self._command(command, number)
            case StartWorld():
                self._starting.start(dataclasses.replace(intent, chunk=self.state.settings.chunk))
            case SendPrompt(words, shown):
                self._prompt(words, shown)
            case RewindTo(chunks):
                self.walk.rewind(chunks)
            case KeepBranch(name):
                self.walk.keep(name)
            case SwitchBranch(branch):
                self.walk.switch(branch)
            case SetChunk(latents):
                self.state.settings = replace(self.state.settings, chunk=latents)
                self.walk.set_chunk(latents)
            case Change(settings):
                if settings.picture != self.state.settings.picture:
                    self.walk.size = SIZES[settings.picture]
                self.state.settings, self.walk.walls = settings, settings.walls
                self.input.look = _look(settings)
            case StartScan(seconds=seconds, format=format, mesh=mesh):
                self.walk.scan(seconds=seconds, format=format, mesh=mesh)
            case CancelScan():
                self.walk.cancel_scan()
            case ShowScan(path=path):
                self._show_scan(path)
            case CloseScan():
                self.state.ui.cloud = False
            case ChoosePreset(name):
                self._starting.preset = name
            case Browse():
                self._starting.browse()
            case RestartModel():
                self.walk.restart()
            case TakeOver() if self._worker and self._join(self._worker, take_over=True):
                self.state.ui.menu = False
            case ChooseWorker(worker) if self._join(worker):
                self.open(self._first, menu=True)
            case Leave():
                self.state.leaving = True

    def _join(self, worker: str, *, take_over: bool = False) -> bool:
        """Go on through a link to `worker`; whether there is one."""
        try:
            link = self._reach(worker, take_over)
        except WanderError as error:
            self.notify(str(error))
            return False
        self._keep_picture()
        self.walk.take_over(link)
        self._worker = worker
        return True

    def _command(self, command: Command, number: int = 0) -> None:
        ui, walking = self.state.ui, self.walk.state.phase is Phase.WALKING
        match command:
            case Command.MENU if walking or not ui.menu:
                ui.menu = not ui.menu
                ui.panel = ui.panel and not ui.menu
            case Command.HELP:
                ui.help = not ui.help
            case Command.FULLSCREEN:
                self.window.toggle_fullscreen()
            case Command.SCREENSHOT:
                self._screenshot()
            case Command.NEW_SEED:
                self._carry_out(StartWorld())
            case Command.PASTE:
                self._starting.paste(self._wish)
            case _ if walking and not ui.menu:
                self._command_in_world(command, number)

    def _command_in_world(self, command: Command, number: int) -> None:
        ui = self.state.ui
        match command:
            case Command.PANEL | Command.PROMPT:
                ui.panel = not ui.panel or command is Command.PROMPT
                ui.focus_event = ui.panel and command is Command.PROMPT
                self.input.captured = False
            case Command.PAUSE:
                self.state.paused = not self.state.paused
            case Command.RESET:
                self.walk.reset()
            case Command.UNDO:
                self.walk.undo(1, self.clock())
            case Command.EVENT if number <= len(self.state.settings.quick_events):
                self._prompt(self.state.settings.quick_events[number - 1].words)

    def _prompt(self, words: str, shown: str = "") -> None:
        self.walk.prompt(words)
        if shown:
            return
        history = tuple(old for old in self.state.settings.prompt_history if old != words) + (words[:200],)
        self.state.settings = replace(self.state.settings, prompt_history=history[-_MAX_HISTORY:])

    def _show_scan(self, path: Path) -> None:
        try:
            self.screen.cloud.open(path)
            self.state.ui.cloud = True
            self.input.release()
        except AppError as error:
            self.state.ui.toast(str(error), self.clock())

    def _screenshot(self) -> None:
        try:
            path = self.window.screenshot()
            message = f"Screenshot saved: {path.name} in {_from_home(path.parent)}"
        except WanderError as error:
            message = str(error)
        self.state.ui.toast(message, self.clock())


def _from_home(folder: Path) -> str:
    """A folder as one writes it: ~ for the home folder."""
    return f"~/{folder.relative_to(Path.home())}" if folder.is_relative_to(Path.home()) else str(folder)


def _look(settings: Settings) -> MouseLook:
    return MouseLook(radians_per_pixel=_RADIANS_PER_PIXEL * settings.mouse_sensitivity, invert_y=settings.invert_y)
