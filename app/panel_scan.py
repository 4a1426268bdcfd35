"""The panel's page for taking the world home: what to scan, as which file, how far it is, and a look at it."""

from __future__ import annotations

from imgui_bundle import imgui

from app import theme as look
from app.theme import Icon, Theme
from app.view import CancelScan, Intent, ShowScan, StartScan, UiState, View
from app.widgets import button, heading, primary, progress, segments, text, toggle

_ONE_VIEW = -1
SPANS = (("Whole walk", 0), ("Last 10 s", 10), ("This view", _ONE_VIEW))
"""What to scan, in seconds of the end of the walk; 0 is all of it."""
_LATENT_S = 1 / 6
FORMATS = ("ply", "glb", "colmap", "nerfstudio", "gaussian")
_LABELS = (("PLY", 0), ("GLB", 1), ("COLMAP", 2))
_MORE_LABELS = (("nerfstudio", 3), ("Gaussians", 4))
_TOLD = (
    "Points for MeshLab, CloudCompare, Open3D.",
    "Points for Blender and the web, y up.",
    "Pictures, cameras and points, for training splats.",
    "Pictures, cameras and points for nerfstudio.",
    "3D Gaussians, for viewers of splats.",
)
_WITH_MESH = (0, 1)


def draw_scan(theme: Theme, view: View, ui: UiState) -> list[Intent]:
    """The whole page; returns what the person asked for."""
    intents: list[Intent] = []
    room = imgui.get_content_region_avail().x
    heading(theme, "TAKE THE WORLD HOME")
    chosen = segments(SPANS, ui.scan_seconds, room)
    ui.scan_seconds = ui.scan_seconds if chosen is None else chosen
    imgui.dummy((0, theme.px(4)))
    for row in (_LABELS, _MORE_LABELS):
        chosen = segments(row, ui.scan_format, room)
        ui.scan_format = ui.scan_format if chosen is None else chosen
    text(theme, _TOLD[ui.scan_format], size=look.SMALL, colour=look.MUTED)
    if ui.scan_format in _WITH_MESH:
        ui.scan_mesh = toggle(theme, "A closed surface instead of points", ui.scan_mesh)
    imgui.dummy((0, theme.px(6)))
    intents += _doing(theme, view, ui, room)
    return intents + _done(theme, view, room)


def _doing(theme: Theme, view: View, ui: UiState, room: float) -> list[Intent]:
    scan = view.walk.scan
    if not scan.running:
        mesh = ui.scan_mesh and ui.scan_format in _WITH_MESH
        seconds = _LATENT_S if ui.scan_seconds == _ONE_VIEW else float(ui.scan_seconds)
        ask = StartScan(seconds=seconds, format=FORMATS[ui.scan_format], mesh=mesh)
        return [ask] if primary("Scan##scan", (room, 0), enabled=view.walk.picture is not None) else []
    progress(theme, scan.fraction, room)
    text(theme, f"{scan.stage}  ·  {100 * scan.fraction:.0f} %", size=look.SMALL, colour=look.MUTED)
    return [CancelScan()] if button(f"{Icon.CLOSE}  Cancel##scan", (room, 0)) else []


def _done(theme: Theme, view: View, room: float) -> list[Intent]:
    scan = view.walk.scan
    if scan.file is None or scan.running:
        return []
    heading(theme, "LAST SCAN")
    text(theme, scan.summary)
    text(theme, str(scan.file), size=look.SMALL, colour=look.MUTED)
    visible = scan.file.suffix == ".ply" and scan.summary.split()[1] == "points" and ".gaussians" not in scan.file.name
    if visible and button(f"{Icon.EYE}  Look at it##scan", (room, 0)):
        return [ShowScan(path=scan.file)]
    return []
