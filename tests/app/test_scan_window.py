"""Scans in the window: the page that asks for one, the map of the walk, and the view of a cloud."""

import numpy as np
import pygame
import pytest

from app import minimap
from app import theme as look
from app.view import ShowScan
from render.point_cloud import Colouring
from tests.render.test_point_cloud import write_scan
from worker import protocol as wire

SIZE = (800, 480)


@pytest.fixture
def walker(look_at):
    """Hands on a walk."""
    hands = look_at()
    hands.press(pygame.K_RETURN)
    return hands


def near(pixels, colour, off=30):
    """Which pixels are about of a colour, 0..1."""
    return np.abs(pixels - 255 * np.array(colour[:3])).max(-1) < off


def test_the_map_shows_the_walk_and_in_a_colour_of_its_own_what_memory_recalls(walker, link):
    corner = slice(0, 180), slice(SIZE[0] - 180, SIZE[0])
    before = walker.pixels()
    places = np.array([[0, z, 0, 0] for z in range(12)], np.float32)
    link.events.append(wire.Trail(whole=True, places=places.tobytes()))
    walker.wait()
    walked = walker.pixels()
    changed = np.abs(walked - before).max(-1) > 60
    assert changed[corner].mean() > 0.3 and changed[200:, : SIZE[0] // 2].mean() < 0.01
    assert near(walked[corner], look.ACCENT).sum() > 40 and not near(walked[corner], minimap._RECALLED).any()
    link.events.append(wire.Trail(whole=True, places=places.tobytes(), recalled=(9, 8)))
    walker.wait()
    assert near(walker.pixels()[corner], minimap._RECALLED).sum() > 20


def test_the_scan_page_asks_for_a_scan_shows_how_far_it_is_and_cancels_it(walker, link, eyes):
    walker.press(pygame.K_TAB)
    walker.ui.page = 2
    walker.wait()

    walker.click(*eyes.centre("Scan##scan"))
    asked = link.asked(wire.Scan)
    assert len(asked) == 1 and (asked[0].seconds, asked[0].format, asked[0].mesh) == (0.0, "ply", False)
    link.events.append(wire.Progress(stage="scan", fraction=0.3, sentence="Writing files, about 3.2 MB"))
    walker.wait()
    assert "Writing files, about 3.2 MB  ·  30 %" in eyes.words and "Scan##scan" not in eyes.places
    walker.click(*eyes.centre("Cancel##scan"))
    assert len(link.asked(wire.CancelScan)) == 1
    asked_at = len(link.requests) - 1
    link.events.append(wire.Reply(id=asked_at, error="The scan was cancelled."))
    walker.wait()
    assert "Scan##scan" in eyes.places and "The scan was cancelled." in eyes.words


def test_a_scan_is_looked_at_flown_through_coloured_and_left(walker, tmp_path):
    rng = np.random.default_rng(0)
    rows = [(x, y, -z, 250, 40, 40, 0.9, 4) for x, y, z in rng.uniform((-2, 0, 3), (2, 2, 7), (3000, 3))]
    write_scan(tmp_path / "a.ply", rows)
    walker.explorer._carry_out(ShowScan(path=tmp_path / "a.ply"))
    walker.wait()
    shown = walker.pixels()
    assert (shown[..., 0] - shown[..., 1] > 150).mean() > 0.02
    there = walker.explorer.screen.cloud.camera
    walker.post(pygame.KEYDOWN, key=pygame.K_w, mod=0, unicode="")
    walker.wait(6)
    walker.post(pygame.KEYUP, key=pygame.K_w, mod=0)
    walker.post(pygame.MOUSEWHEEL, x=0, y=2)
    walker.wait()
    flown = walker.explorer.screen.cloud.camera
    assert flown.target[2] > there.target[2] and flown.distance < there.distance
    walker.explorer.screen.cloud.colouring = Colouring.HEIGHT
    walker.wait()
    assert (walker.pixels()[..., 0] - walker.pixels()[..., 1] > 150).mean() < 0.005
    walker.press(pygame.K_ESCAPE)
    walker.wait()
    assert walker.pixels()[240, 400] == pytest.approx([200, 200, 200], abs=2)
