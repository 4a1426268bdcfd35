"""Draws a world with moderngl: headless through EGL for data, or in a given context for a window.

A picture is a pure function of scene, camera, time and event state. Multisampled colour is resolved on the GPU; depth is
drawn only when asked for. Image rows come out top first because clip space is used with y down.
"""

import math

import moderngl
import numpy as np
from numpy.typing import NDArray

from render import shaders
from render.characters import HEROES, Body, pose
from render.culling import Cells
from render.events import CALM, EventState, look_under
from render.happenings import burning, visiting
from render.moods import Look
from render.scene import Scene
from render.sky import clouds, stars

FIELD_OF_VIEW = math.radians(70)
"""Horizontal."""
NEAR, FAR = 0.15, 700.0
EYE_HEIGHT = 1.6
AHEAD = 3.2
"""How far the character of a third-person world walks ahead of the camera."""

EXTENT = 64.0
"""Half-width of the painted ground, metres."""
PAINT_SIZE = 1024

_LAYOUT = ("3f 3f 3f 2f", "position", "normal", "colour", "marks")
_RAW = ("clip_from_world", "world_from_camera")
"""Uniforms given as bytes."""
_PER_PICTURE = (*_RAW, "slope", "eye", "sun", "light", "shade", "horizon", "warm", "zenith", "disc", "haze", "lamps", "snow",
                "autumn", "wet", "plain", "extent", "time_s", "disc_by", "glow_at", "glow_by")  # fmt: skip
_RAIN, _SNOW = 170, 260


def intrinsics(width: int, height: int) -> NDArray[np.float64]:
    """[3, 3] `image_from_camera` in pixels: square pixels, principal point in the centre."""
    focal = width / 2 / math.tan(FIELD_OF_VIEW / 2)
    return np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])


class Renderer:
    """Draws one loaded scene at a time into pictures of `width` x `height`.

    `samples` multisamples edges. Without `ctx` it makes a headless context of its own.
    """

    def __init__(self, width: int, height: int, samples: int = 4, ctx: moderngl.Context | None = None) -> None:
        self.width, self.height = width, height
        self.ctx = ctx or moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
        c, size = self.ctx, (width, height)
        self._drawn = c.framebuffer(
            [c.renderbuffer(size, 3, samples=samples)], c.depth_renderbuffer(size, samples=samples)
        )
        self._shown = c.framebuffer([c.renderbuffer(size, 3)])
        self._depth = c.depth_texture(size)
        self._depth_only = c.framebuffer(depth_attachment=self._depth)
        self._solid = c.program(shaders.SOLID_VERTEX, shaders.SOLID_FRAGMENT)
        self._ground = c.program(shaders.GROUND_VERTEX, shaders.GROUND_FRAGMENT)
        self._sky = c.program(shaders.SKY_VERTEX, shaders.SKY_FRAGMENT)
        self._flat = c.program(shaders.FLAT_VERTEX, shaders.PLAIN_FRAGMENT)
        self._shadow = c.program(shaders.SHADOW_VERTEX, shaders.PLAIN_FRAGMENT)
        self._air = c.program(shaders.AIRBORNE_VERTEX, shaders.AIRBORNE_FRAGMENT)
        self._water = c.program(shaders.WATER_VERTEX, shaders.WATER_FRAGMENT)
        programs = (self._solid, self._ground, self._sky, self._water, self._air)
        self._uniforms = [(p[name], name) for p in programs for name in p if name in _PER_PICTURE]
        quad = c.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], "f4"))
        self._sky_quad = c.vertex_array(self._sky, quad, "position")
        plane = c.buffer(_disc())
        self._ground_plane = c.vertex_array(self._ground, plane, "position")
        self._water_plane = c.vertex_array(self._water, plane, "position")
        seeds = c.buffer(np.random.default_rng(1).random((_SNOW, 4), np.float32))
        self._drops = c.vertex_array(self._air, [(quad, "2f", "corner"), (seeds, "4f/i", "seed")])
        self._painted = c.texture((PAINT_SIZE, PAINT_SIZE), 4)
        self._painted.filter = (moderngl.LINEAR_MIPMAP_LINEAR, moderngl.LINEAR)
        self._canvas = c.framebuffer([self._painted])
        self._movers = c.buffer(reserve=11 * 4 * 40_000, dynamic=True)
        self._moving = c.vertex_array(self._solid, [(self._movers, *_LAYOUT)])
        self._still: moderngl.VertexArray | None = None
        self.scene: Scene | None = None
        self._hero: Body | None = None

    def load(self, scene: Scene) -> None:
        """Sends a scene's triangles to the GPU, paints its ground and casts its shadows."""
        if self._still is not None:
            self._vertices.release()
            self._still.release()
        self.scene = scene
        self._hero = HEROES[scene.hero]() if scene.hero else None
        self._cells = Cells(scene.vertices)
        self._vertices = self.ctx.buffer(self._cells.vertices)
        self._still = self.ctx.vertex_array(self._solid, [(self._vertices, *_LAYOUT)])
        self._clouds = clouds(scene)
        self._stars = stars(scene.seed)
        self._paint_ground(scene)

    def _paint_ground(self, scene: Scene) -> None:
        """Top-down picture of the ground: colour in rgb, sunlight (0 in shadow) in alpha."""
        c, canvas = self.ctx, self._canvas
        canvas.color_mask = (True, True, True, True)
        canvas.use()
        canvas.clear(*scene.palette.ground, 1.0)
        c.disable(moderngl.DEPTH_TEST)
        c.enable(moderngl.BLEND)
        canvas.color_mask = (True, True, True, False)
        canvas.use()
        self._flat["extent"] = EXTENT
        paint = c.buffer(scene.paint)
        self._draw_once(self._flat, paint, "2f 4f", "position", "colour")
        paint.release()
        c.disable(moderngl.BLEND)
        canvas.color_mask = (False, False, False, True)
        canvas.use()
        self._shadow["extent"] = EXTENT
        self._shadow["sun"] = scene.look.sun
        self._draw_once(self._shadow, self._vertices, "3f 32x", "position")
        self._painted.build_mipmaps()

    def _draw_once(self, program: moderngl.Program, vertices: moderngl.Buffer, *layout: str) -> None:
        array = self.ctx.vertex_array(program, [(vertices, *layout)])
        array.render()
        array.release()

    def render(
        self,
        world_from_camera: NDArray[np.float64],
        time_s: float = 0.0,
        events: EventState = CALM,
        *,
        actor: tuple[float, float] = (0.0, 0.0),
        depth: bool = False,
    ) -> tuple[NDArray[np.uint8], NDArray[np.float32] | None]:
        """The picture uint8 [H, W, 3] from a camera [4, 4] and, when `depth`, float32 [H, W] along z (inf in the sky).

        `actor` is (heading relative to the camera in radians, stride 0..1) of the character in a third-person world.
        """
        self._drawn.use()
        self.draw(world_from_camera, time_s, events, actor=actor)
        self.ctx.copy_framebuffer(self._shown, self._drawn)
        raw = self._shown.read(components=3, alignment=1)
        rgb = np.frombuffer(raw, np.uint8).reshape(self.height, self.width, 3)
        return rgb, self._read_depth(world_from_camera) if depth else None

    def draw(
        self,
        world_from_camera: NDArray[np.float64],
        time_s: float,
        events: EventState,
        *,
        actor: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Draws into the framebuffer in use, which has `width` x `height` pixels and a depth buffer."""
        if self.scene is None:
            raise ValueError("no scene is loaded; call load(scene) first")
        c = self.ctx
        c.viewport = (0, 0, self.width, self.height)
        c.clear(depth=1.0)
        c.enable(moderngl.DEPTH_TEST)
        c.depth_func = "<="
        look = look_under(self.scene.look, events, time_s)
        self._set_uniforms(world_from_camera, time_s, events, look)
        self._write_movers(world_from_camera, time_s, events, look, actor)
        self._draw_solids(world_from_camera)
        self._sky_quad.render(moderngl.TRIANGLE_STRIP)
        c.enable(moderngl.BLEND)
        self._draw_water(events)
        self._draw_airborne(events, look)
        c.disable(moderngl.BLEND)

    def _draw_water(self, events: EventState) -> None:
        """The sea up to its shore, and the flood over everything."""
        assert self.scene is not None
        if self.scene.shore:
            heading, edge = self.scene.shore
            self._water["shore"], self._water["level"] = (math.sin(heading), math.cos(heading), edge), 0.05
            self._water_plane.render()
        if events.flood > 0:
            self._water["shore"], self._water["level"] = (0.0, 0.0, -100.0), 0.06 + 0.36 * events.flood
            self._water_plane.render()

    def _draw_solids(self, world_from_camera: NDArray) -> None:
        assert self._still is not None
        for first, count in self._cells.seen(world_from_camera):
            self._still.render(vertices=count, first=first)
        if self._mover_count:
            self._moving.render(vertices=self._mover_count)
        self._ground_plane.render()

    def _set_uniforms(self, world_from_camera: NDArray, time_s: float, events: EventState, look: Look) -> None:
        assert self.scene is not None
        eye = world_from_camera[:3, 3]
        rotation = world_from_camera[:3, :3]
        slope = math.tan(FIELD_OF_VIEW / 2)
        fire = next((e for e in events.places if e.family == "fire"), None)
        flicker = 0.8 + 0.2 * math.sin(time_s * 17) * math.sin(time_s * 11.3)
        values = {
            "clip_from_world": _clip_from_world(world_from_camera, self.width / self.height),
            "world_from_camera": np.asarray(rotation.T, np.float32).tobytes(),
            "slope": (slope, slope * self.height / self.width),
            "eye": tuple(eye), "sun": look.sun, "light": look.light, "shade": look.shade, "horizon": look.horizon,
            "warm": look.warm, "zenith": look.zenith, "disc": look.disc, "haze": look.haze, "lamps": look.lamps,
            "snow": events.snow, "autumn": events.autumn, "wet": events.wet, "plain": self.scene.palette.ground,
            "extent": EXTENT, "time_s": time_s, "disc_by": 1.0 - max(events.wet, events.snow, events.fog),
            "glow_at": (fire.x, -0.8 * fire.size, fire.z) if fire else (0.0, 0.0, 0.0),
            "glow_by": 0.9 * events.fire * flicker if fire else 0.0,
        }  # fmt: skip
        for uniform, name in self._uniforms:
            if name in _RAW:
                uniform.write(values[name])
            else:
                uniform.value = values[name]
        self._painted.use(0)

    def _write_movers(
        self, world_from_camera: NDArray, time_s: float, events: EventState, look: Look, actor: tuple[float, float]
    ) -> None:
        """Everything that is placed anew for each picture: clouds, stars, the character, fire and visitors."""
        cover = max(events.wet, events.snow, events.fog)
        parts = self._clouds(look, cover) + self._stars(look, world_from_camera[:3, 3])
        if self._hero is not None:
            x, _, z = world_from_camera[:3, 3]
            yaw = math.atan2(world_from_camera[0, 2], world_from_camera[2, 2])
            at_x, at_z = x + AHEAD * math.sin(yaw), z + AHEAD * math.cos(yaw)
            parts.append(pose(self._hero, at_x, at_z, heading=yaw + actor[0], phase=time_s * 9.5, stride=actor[1]))
        for event in events.places:
            if event.family == "fire":
                parts += burning(event, events.fire, time_s)
            else:
                parts += visiting(event, events.visitor, time_s)
        data = np.concatenate(parts).astype(np.float32) if parts else np.empty((0, 11), np.float32)
        self._mover_count = len(data)
        if len(data):
            self._movers.write(data.tobytes())

    def _draw_airborne(self, events: EventState, look: Look) -> None:
        """Rain and snow: slivers whose place is a function of time, in a box that goes with the eye."""
        level = sum(look.horizon) / 3
        if events.wet > 0:
            self._air["fall"], self._air["room"] = (1.2, 15.0, 0.4), (14.0, 9.0, 14.0)
            self._air["size"], self._air["flutter"] = (0.012, 0.42), 0.0
            self._air["tint"] = (0.5 + 0.5 * level, 0.55 + 0.45 * level, 0.62 + 0.38 * level, 0.42)
            self._drops.render(moderngl.TRIANGLE_STRIP, instances=int(_RAIN * events.wet))
        if events.snow > 0:
            self._air["fall"], self._air["room"] = (0.5, 1.5, 0.3), (13.0, 8.0, 13.0)
            self._air["size"], self._air["flutter"] = (0.035, 0.035), 0.35
            bright = 0.35 + 0.65 * level
            self._air["tint"] = (bright, bright, bright, 0.9)
            self._drops.render(moderngl.TRIANGLE_STRIP, instances=int(_SNOW * events.snow))

    def _read_depth(self, world_from_camera: NDArray) -> NDArray[np.float32]:
        """Depth along z of everything solid."""
        self._depth_only.use()
        self.ctx.clear(depth=1.0)
        self._draw_solids(world_from_camera)
        window = np.frombuffer(self._depth.read(alignment=4), np.float32).reshape(self.height, self.width)
        z = NEAR * FAR / (FAR - window.astype(np.float64) * (FAR - NEAR))
        return np.where(window >= 1.0, np.inf, z).astype(np.float32)


def _clip_from_world(world_from_camera: NDArray, aspect: float) -> bytes:
    """Perspective with y down in clip space, column-major for GLSL."""
    focal = 1 / math.tan(FIELD_OF_VIEW / 2)
    a, b = (FAR + NEAR) / (FAR - NEAR), -2 * FAR * NEAR / (FAR - NEAR)
    clip = np.array([[focal, 0, 0, 0], [0, focal * aspect, 0, 0], [0, 0, a, b], [0, 0, 1, 0]])
    rotation, eye = world_from_camera[:3, :3], world_from_camera[:3, 3]
    camera = np.eye(4)
    camera[:3, :3], camera[:3, 3] = rotation.T, -rotation.T @ eye
    return (clip @ camera).T.astype(np.float32).tobytes()


def _disc() -> NDArray[np.float32]:
    """The ground plane as rings of quads about the origin, [V, 2], 320 m in radius."""
    radii, sides = [0.0, 14.0, 40.0, 90.0, 320.0], 20
    angles = np.arange(sides + 1) * 2 * math.pi / sides
    ring = np.stack([np.cos(angles), np.sin(angles)], -1)
    quads = []
    for low, high in zip(radii[:-1], radii[1:], strict=True):
        a, b, c, d = ring[:-1] * low, ring[1:] * low, ring[1:] * high, ring[:-1] * high
        quads.append(np.stack([a, d, c, a, c, b], 1).reshape(-1, 2))
    return np.concatenate(quads).astype(np.float32)
