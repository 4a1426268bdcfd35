"""From frame to window: placed, enlarged, warped, dimmed."""

import math

import moderngl
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageDraw

from render.presenter import Presenter, place, rotation
from render.upscale import Upscaler


@pytest.fixture(scope="module")
def ctx():
    context = moderngl.create_context(standalone=True, backend="egl", require=330)
    yield context
    context.release()


@pytest.fixture
def show(ctx):
    """A function (frame, size, ...) -> window picture uint8 [H, W, 3], first row on top."""
    presenter = Presenter(ctx)

    def draw(frame, size=(320, 192), **options):
        target = ctx.framebuffer(color_attachments=[ctx.texture(size, 3)])
        presenter.upload(frame)
        presenter.draw(target, size, **options)
        return np.frombuffer(target.read(alignment=1), np.uint8).reshape(size[1], size[0], 3)[::-1].astype(int)

    return draw


def polygons(width, height, seed=0):
    """A picture of flat shapes with slanted edges, drawn at four times the size and shrunk."""
    rng = np.random.default_rng(seed)
    big = Image.new("RGB", (width * 4, height * 4), (120, 160, 200))
    pen = ImageDraw.Draw(big)
    for _ in range(40):
        centre = rng.uniform((0, 0), big.size)
        corners = [tuple(centre + rng.normal(0, 0.15 * width * 4, 2)) for _ in range(3)]
        pen.polygon(corners, fill=tuple(int(v) for v in rng.integers(30, 230, 3)))
    return big


def psnr(a, b):
    return -10 * math.log10(np.mean((np.asarray(a, float) - np.asarray(b, float)) ** 2) / 255**2)


@given(st.integers(1, 2000), st.integers(1, 2000), st.integers(1, 3000), st.integers(1, 3000))
def test_a_frame_fills_one_side_and_keeps_its_aspect(width, height, wide, high):
    left, bottom, w, h = place((width, height), (wide, high))
    assert w == wide or h == high
    assert abs(w / width - h / height) <= max(1 / width, 1 / height)
    assert left == (wide - w) // 2
    assert bottom == (high - h) // 2


def test_a_panel_moves_the_picture_by_half_its_width_and_keeps_its_size():
    assert place((320, 192), (1280, 768), covered=372) == (-186, 0, 1280, 768)


def test_the_first_row_is_on_top_and_the_first_column_on_the_left(show):
    frame = np.zeros((96, 160, 3), np.uint8)
    frame[:48, :80] = 255
    seen = show(frame)
    assert seen[20, 20].min() > 250
    assert seen[150, 20].max() < 5 and seen[20, 300].max() < 5


def test_what_lies_beside_the_picture_is_background(show):
    seen = show(np.full((96, 160, 3), 255, np.uint8), size=(400, 192))
    assert seen[:, :30].max() < 30
    assert seen[:, 60:340].min() > 250


def test_a_flat_frame_stays_flat_and_a_gradient_stays_monotone(show):
    assert np.ptp(show(np.full((96, 160, 3), 130, np.uint8))) <= 1
    ramp = np.repeat(np.linspace(0, 255, 160).astype(np.uint8)[None, :, None], 96, 0).repeat(3, 2)
    assert (np.diff(show(ramp)[96, :, 0]) >= -1).all()


def test_edges_do_not_ring(show):
    frame = np.full((96, 160, 3), 60, np.uint8)
    frame[:, 80:] = 200
    seen = show(frame)
    assert seen.min() >= 59 and seen.max() <= 201


def test_the_upscaler_beats_bicubic_filtering_on_slanted_edges(ctx):
    big = polygons(320, 192)
    truth, small = big.resize((640, 384), Image.Resampling.BOX), big.resize((160, 96), Image.Resampling.BOX)
    enlarged = Upscaler(ctx).enlarge(ctx.texture((160, 96), 3, small.tobytes(), alignment=1), 4)
    ours = np.frombuffer(enlarged.read(alignment=1), np.uint8).reshape(384, 640, 3)
    assert psnr(ours, truth) > psnr(small.resize((640, 384), Image.Resampling.BICUBIC), truth) + 0.3


def test_a_new_frame_replaces_the_old_one_whatever_its_size(show):
    show(np.full((96, 160, 3), 10, np.uint8))
    assert show(np.full((192, 320, 3), 222, np.uint8)).min() > 220
    assert show(np.full((97, 161, 3), 111, np.uint8))[96, 160, 0] == pytest.approx(111, abs=1)


def test_dimming_darkens_everything(show):
    frame = np.full((96, 160, 3), 200, np.uint8)
    assert show(frame, dim=0.5).max() == pytest.approx(100, abs=2)


def test_turning_right_moves_the_picture_left_by_the_angle(show):
    frame = np.zeros((192, 320, 3), np.uint8)
    frame[:, 200:206] = 255
    focal = 160 / math.tan(math.radians(35))
    yaw = 0.1
    seen = show(frame, yaw=yaw)[96, :, 0]
    before = math.atan((203 - 160) / focal)
    assert np.average(np.arange(320), weights=seen) == pytest.approx(160 + focal * math.tan(before - yaw), abs=1.0)


def test_looking_up_moves_the_picture_down(show):
    frame = np.zeros((192, 320, 3), np.uint8)
    frame[90:96] = 255
    rows = show(frame, pitch=0.1)[:, 160, 0]
    assert np.average(np.arange(192), weights=rows) > 110


def test_the_hole_beside_a_warped_frame_is_filled_with_its_own_colours(show):
    seen = show(np.full((192, 320, 3), (180, 90, 40), np.uint8), yaw=0.4)
    assert np.abs(seen - (180, 90, 40)).max() <= 3


def test_the_warp_turns_as_the_world_does():
    from engine.actions import POCKET, Step, advance, start_pose

    yaw, pitch = 0.03, 0.02
    pose = advance(start_pose(POCKET), Step(0, yaw, pitch), POCKET)
    assert np.allclose(rotation(yaw, pitch), pose[:3, :3])


def test_a_frame_of_another_type_is_refused(ctx):
    with pytest.raises(ValueError, match="uint8"):
        Presenter(ctx).upload(np.zeros((96, 160, 3)))


def test_a_lost_context_is_survived_by_a_new_presenter_with_the_kept_frame():
    frame = np.full((96, 160, 3), 77, np.uint8)
    for _ in range(2):
        context = moderngl.create_context(standalone=True, backend="egl", require=330)
        target = context.framebuffer(color_attachments=[context.texture((320, 192), 3)])
        presenter = Presenter(context)
        presenter.upload(frame)
        presenter.draw(target, (320, 192))
        assert target.read()[0] == 77
        context.release()
