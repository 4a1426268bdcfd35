"""Draws a world with moderngl: headless through EGL for data, or in a given context for a window.

A picture is a pure function of scene, camera, time and event state. Multisampled colour is resolved on the GPU; depth
is drawn only when asked for. Image rows come out top first because clip space is used with y down.
"""

import math
from typing import Any

import moderngl
import numpy as np
from numpy.typing import NDArray

from render import shaders
from render.camera import clip_from_world, depth_from_window, slopes
from render.characters import HEROES, Body, pose
from render.culling import Cells
from render.events import CALM, DROPS, FLAKES, POINTS_OF, EventState, Falling, look_under
from render.happenings import burning, visiting, whereabouts
from render.meshes import STRIDE
from render.moods import Look
from render.painted_ground import EXTENT, PaintedGround, plane
from render.scene import Scene
from render.sky import clouds, stars

HERO_PACE = 9.5
"""How fast the step of the one who walks ahead goes, radians a second."""
AHEAD = 4.3
"""How far the character of a third-person world walks ahead of the camera, metres: just so far that its feet show."""

_LAYOUT = ("3f 3f 3f 2f", "position", "normal", "colour", "marks")
_MOST_MOVING = 40_000
"""Vertices."""
_SEEN_FALLING = 20
"""Levels by which a drop or flake changes a pixel that it is seen in."""


def spot_ahead(camera: NDArray[np.float64], ahead: float) -> tuple[float, float]:
    """The place (x, z) so far straight ahead of a camera, whatever its pitch."""
    yaw = math.atan2(camera[0, 2], camera[2, 2])
    return camera[0, 3] + ahead * math.sin(yaw), camera[2, 3] + ahead * math.cos(yaw)


class Renderer:
    """Draws one loaded scene at a time into pictures of `width` x `height`.

    `samples` multisamples edges. Without `ctx` it makes a headless context of its own.
    """

    def __init__(self, width: int, height: int, samples: int = 4, ctx: moderngl.Context | None = None) -> None:
        self.width, self.height = width, height
        self.scene: Scene | None = None
        self.ctx = ctx or moderngl.create_context(standalone=True, backend="egl", require=330)  # type: ignore[arg-type]
        c, size = self.ctx, (width, height)
        self._drawn = c.framebuffer(
            [c.renderbuffer(size, 3, samples=samples)], c.depth_renderbuffer(size, samples=samples)
        )
        self._shown = c.framebuffer([c.renderbuffer(size, 3)])
        self._depth = c.depth_texture(size)
        self._depth_only = c.framebuffer(depth_attachment=self._depth)
        self._make_programs()
        self._ground_picture = PaintedGround(c)
        self._movers = c.buffer(reserve=STRIDE * 4 * _MOST_MOVING, dynamic=True)
        self._moving = c.vertex_array(self._solid, [(self._movers, *_LAYOUT)])
        self._sky_count = self._moving_count = 0
        self._still: moderngl.VertexArray | None = None
        self._hero: Body | None = None
        self._ahead = AHEAD

    def _make_programs(self) -> None:
        c = self.ctx
        self._solid = c.program(shaders.SOLID_VERTEX, shaders.SOLID_FRAGMENT)
        self._air = c.program(shaders.AIRBORNE_VERTEX, shaders.AIRBORNE_FRAGMENT)
        self._water = c.program(shaders.WATER_VERTEX, shaders.WATER_FRAGMENT)
        ground = c.program(shaders.GROUND_VERTEX, shaders.GROUND_FRAGMENT)
        sky = c.program(shaders.SKY_VERTEX, shaders.SKY_FRAGMENT)
        members = [(p[name], name) for p in (self._solid, self._air, self._water, ground, sky) for name in p]
        self._uniforms = [(member, name) for member, name in members if isinstance(member, moderngl.Uniform)]
        quad = c.buffer(np.array([-1, -1, 1, -1, -1, 1, 1, 1], np.float32))
        most = max(DROPS.count, FLAKES.count)
        seeds = c.buffer(np.random.default_rng(POINTS_OF).random((most, 4), np.float32))
        flat = c.buffer(plane())
        self._sky_quad = c.vertex_array(sky, quad, "position")
        self._ground_plane = c.vertex_array(ground, flat, "position")
        self._water_plane = c.vertex_array(self._water, flat, "position")
        self._drops = c.vertex_array(self._air, [(quad, "2f", "corner"), (seeds, "4f/i", "seed")])

    def load(self, scene: Scene) -> None:
        """Sends a scene's triangles to the GPU, paints its ground and casts its shadows."""
        self.scene = scene
        self.lead(HEROES[scene.hero]() if scene.hero else None)
        self._cells = Cells(scene.vertices)
        self._clouds, self._stars = clouds(scene.seed), stars(scene.seed)
        with self.ctx:
            if self._still is not None:
                self._vertices.release()
                self._still.release()
            self._vertices = self.ctx.buffer(self._cells.vertices)
            self._still = self.ctx.vertex_array(self._solid, [(self._vertices, *_LAYOUT)])
            self._ground_picture.paint(scene, self._vertices)

    def lead(self, hero: Body | None, ahead: float = AHEAD) -> None:
        """Who walks ahead of the camera from now on, and how far, metres; nobody if None."""
        self._hero, self._ahead = hero, ahead

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

        Raises:
            ValueError: no scene is loaded.
        """
        with self.ctx:
            self._drawn.use()
            self.draw(world_from_camera, time_s, events, actor=actor)
            rgb = self._read_colours()
            along = self._read_depth(world_from_camera, self._moving_count) if depth else None
        return rgb, along

    def passing(
        self,
        world_from_camera: NDArray[np.float64],
        time_s: float = 0.0,
        events: EventState = CALM,
        *,
        actor: tuple[float, float] = (0.0, 0.0),
    ) -> NDArray[np.bool_]:
        """Pixels [H, W] of that picture which don't show the place: its character, visitors, flames and smoke, and
        drops and flakes in the air."""
        with self.ctx:
            self._drawn.use()
            self.draw(world_from_camera, time_s, events, actor=actor)
            shown = self._read_colours().astype(np.int16)
            with_all, place = (self._read_depth(world_from_camera, n) for n in (self._moving_count, self._sky_count))
            self._drawn.use()
            self.draw(world_from_camera, time_s, events, actor=actor, airborne=False)
            return (with_all < place) | (np.abs(shown - self._read_colours()).max(-1) > _SEEN_FALLING)

    def draw(
        self,
        world_from_camera: NDArray[np.float64],
        time_s: float,
        events: EventState,
        *,
        actor: tuple[float, float] = (0.0, 0.0),
        airborne: bool = True,
    ) -> None:
        """Draws into the framebuffer in use, which has `width` x `height` pixels and a depth buffer; top row first.

        Without `airborne`, rain and snow are a light and no drops.
        """
        if self.scene is None:
            raise ValueError("no scene is loaded; call load(scene) first")
        self.ctx.viewport = (0, 0, self.width, self.height)
        self.ctx.clear(depth=1.0)
        self.ctx.enable(moderngl.DEPTH_TEST)
        self.ctx.depth_func = "<="
        look = look_under(self.scene.look, events, time_s)
        self._set_uniforms(self._values(world_from_camera, time_s, events, look))
        self._write_movers(world_from_camera, time_s, events, look, actor)
        self._draw_solids(world_from_camera, self._moving_count)
        self._sky_quad.render(moderngl.TRIANGLE_STRIP)
        self.ctx.enable(moderngl.BLEND)
        self._draw_water(self.scene, events)
        if airborne and not events.still_air:
            self._draw_airborne(events, look)
        self.ctx.disable(moderngl.BLEND)

    def _values(self, camera: NDArray[np.float64], time_s: float, events: EventState, look: Look) -> dict[str, Any]:
        """Values of the uniforms that change from picture to picture; matrices as bytes."""
        assert self.scene is not None
        aspect = self.width / self.height
        guest = next((e for e in events.places if e.family == "visitor"), None)
        fire = next((e for e in events.places if e.family == "fire" and not events.still_air), None)
        flicker = 0.8 + 0.2 * math.sin(time_s * 17) * math.sin(time_s * 11.3)
        return {
            "clip_from_world": clip_from_world(camera, aspect).T.astype(np.float32).tobytes(),
            "world_from_camera": camera[:3, :3].T.astype(np.float32).tobytes(),
            "slope": slopes(aspect),
            "eye": tuple(camera[:3, 3]),
            "sun": look.sun,
            "light": look.light,
            "shade": look.shade,
            "horizon": look.horizon,
            "warm": look.warm,
            "zenith": look.zenith,
            "disc": look.disc,
            "disc_by": 1.0 - events.cover,
            "haze": look.haze,
            "lamps": look.lamps,
            "snow": events.snow,
            "autumn": events.autumn,
            "wet": events.wet,
            "plain": self.scene.palette.ground,
            "extent": EXTENT,
            "time_s": time_s,
            "under_hero": (*self._hero_spot(camera), 0.45 if self._hero else 0.0),
            "under_visitor": (*whereabouts(guest, time_s), 0.5 * events.visitor) if guest else (0.0, 0.0, 0.0),
            "glow_at": (fire.x, -0.8 * fire.size, fire.z) if fire else (0.0, 0.0, 0.0),
            "glow_by": 0.9 * events.fire * flicker if fire else 0.0,
        }

    def _hero_spot(self, camera: NDArray[np.float64]) -> tuple[float, float]:
        """Where the character stands, (x, z): straight ahead, whatever the pitch."""
        return spot_ahead(camera, self._ahead)

    def _set_uniforms(self, values: dict[str, Any]) -> None:
        for uniform, name in self._uniforms:
            value = values.get(name)
            if isinstance(value, bytes):
                uniform.write(value)
            elif value is not None:
                uniform.value = value

    def _write_movers(
        self, camera: NDArray[np.float64], time_s: float, events: EventState, look: Look, actor: tuple[float, float]
    ) -> None:
        """Sends what is placed anew for each picture: clouds and stars, then the character, fire and visitors."""
        parts = self._clouds(look, events.cover) + self._stars(look, camera[:3, 3])
        self._sky_count = sum(len(part) for part in parts)
        if self._hero is not None:
            yaw, (x, z) = math.atan2(camera[0, 2], camera[2, 2]), self._hero_spot(camera)
            parts.append(pose(self._hero, x, z, heading=yaw + actor[0], phase=time_s * HERO_PACE, stride=actor[1]))
        for event in events.places:
            if event.family == "fire" and events.still_air:
                continue
            happening, strength = (burning, events.fire) if event.family == "fire" else (visiting, events.visitor)
            parts += happening(event, strength, time_s)
        self._moving_count = sum(len(part) for part in parts)
        if parts:
            self._movers.write(np.concatenate(parts, dtype=np.float32).tobytes())

    def _draw_solids(self, world_from_camera: NDArray[np.float64], moving: int) -> None:
        """The place, and the first `moving` vertices of what is placed anew."""
        assert self._still is not None
        for first, count in self._cells.seen(world_from_camera):
            self._still.render(vertices=count, first=first)
        if moving:
            self._moving.render(vertices=moving)
        self._ground_picture.texture.use(0)
        self._ground_plane.render()

    def _draw_water(self, scene: Scene, events: EventState) -> None:
        """The sea up to its shore, and the flood over everything."""
        if scene.shore:
            heading, edge = scene.shore
            self._water["shore"], self._water["level"] = (math.sin(heading), math.cos(heading), edge), 0.05
            self._water_plane.render()
        if events.flood > 0:
            self._water["shore"], self._water["level"] = (0.0, 0.0, -100.0), 0.06 + 0.36 * events.flood
            self._water_plane.render()

    def _draw_airborne(self, events: EventState, look: Look) -> None:
        """Rain and snow: slivers whose place is a function of time, in a box that goes with the eye."""
        level = sum(look.horizon) / 3
        white = 0.35 + 0.65 * level
        self._draw_falling(DROPS, events.wet, (0.5 + 0.5 * level, 0.55 + 0.45 * level, 0.62 + 0.38 * level, 0.42))
        self._draw_falling(FLAKES, events.snow, (white, white, white, 0.9))

    def _draw_falling(self, kind: Falling, share: float, tint: tuple[float, float, float, float]) -> None:
        """A share of what falls of a kind."""
        if share > 0:
            self._air["fall"], self._air["room"] = kind.fall, kind.room
            self._air["size"], self._air["flutter"] = kind.size, kind.flutter
            self._air["tint"] = tint
            self._drops.render(moderngl.TRIANGLE_STRIP, instances=int(kind.count * share))

    def _read_colours(self) -> NDArray[np.uint8]:
        """What was drawn, [H, W, 3]."""
        self.ctx.copy_framebuffer(self._shown, self._drawn)
        rgb = np.frombuffer(self._shown.read(components=3, alignment=1), np.uint8)
        return rgb.reshape(self.height, self.width, 3)

    def _read_depth(self, world_from_camera: NDArray[np.float64], moving: int) -> NDArray[np.float32]:
        """Depth along z of everything solid, of what is placed anew of the first `moving` vertices."""
        self._depth_only.use()
        self.ctx.clear(depth=1.0)
        self._draw_solids(world_from_camera, moving)
        window = np.frombuffer(self._depth.read(alignment=4), np.float32)
        return depth_from_window(window.reshape(self.height, self.width))
