"""Biomes: palettes and recipes. What grows, what is built and how the horizon rises, one value per place."""

from dataclasses import dataclass

from render.meshes import Colour, rgb


def _all(*codes: str) -> tuple[Colour, ...]:
    return tuple(rgb(code) for code in codes)


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """Colours that go together."""

    ground: Colour
    patches: tuple[Colour, ...]
    path: Colour
    leaves: tuple[Colour, ...]
    flowers: tuple[Colour, ...]
    walls: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    rock: Colour
    hills: tuple[Colour, Colour]
    """Near and far."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Biome:
    """A kind of place. Counts are (fewest, most)."""

    palettes: tuple[Palette, ...]
    trees: tuple[int, int]
    kinds: tuple[str, ...]
    """Names of tree makers in `render.scene`, one or two of which a world uses."""
    houses: tuple[int, int]
    storeys: int = 1
    rocks: tuple[int, int] = (4, 10)
    tufts: tuple[int, int] = (60, 110)
    landmarks: tuple[str, ...] = ()
    relief: tuple[float, float] = (8.0, 26.0)
    """Heights of the hills around, metres."""
    lamps: bool = False


_SPRING = Palette(
    ground=rgb("#7fb04f"), patches=_all("#93bf58", "#6ea04a", "#a6c765", "#86b85c"), path=rgb("#d8bf8c"),
    leaves=_all("#5c9a45", "#79ad4a", "#4a8a4c", "#93b650"), flowers=_all("#f4d35e", "#f7f3e8", "#e56b6f", "#b48bd6"),
    walls=_all("#f2e4cb", "#e9cfae", "#dfe3dc", "#f0d9c4"), roofs=_all("#c1553d", "#a8483a", "#d07a4b", "#7c5a4c"),
    rock=rgb("#9a9a94"), hills=(rgb("#6c9a55"), rgb("#7b9fa6")),
)  # fmt: skip
_HIGHLAND = Palette(
    ground=rgb("#6f9d63"), patches=_all("#7fae6d", "#5e8c5a", "#8ab27a", "#9aa86a"), path=rgb("#b9a88a"),
    leaves=_all("#3f7d54", "#4f8f5a", "#2f6b52"), flowers=_all("#c58ad8", "#eef0f4", "#f0b64c"),
    walls=_all("#d9d4c8", "#c9c3b8", "#e4dccb"), roofs=_all("#4f6478", "#5c7184", "#3f5266", "#7a6a66"),
    rock=rgb("#84898f"), hills=(rgb("#55805c"), rgb("#6f8ca3")),
)  # fmt: skip
_GOLDEN = Palette(
    ground=rgb("#c6b45a"), patches=_all("#d3c26a", "#b3a452", "#dcc97a", "#a9a455"), path=rgb("#e3cfa0"),
    leaves=_all("#8a9a45", "#a4a648", "#6f8a48"), flowers=_all("#e8703a", "#d8434e", "#faf0d2"),
    walls=_all("#f5e6cf", "#efd2a8", "#e6bfa0"), roofs=_all("#b5503c", "#cc6b45", "#94493f"),
    rock=rgb("#b09f86"), hills=(rgb("#a79a55"), rgb("#a39a9c")),
)  # fmt: skip
_SEASIDE = Palette(
    ground=rgb("#8fbb74"), patches=_all("#a3c883", "#7fae6b", "#b9d08f"), path=rgb("#e6d8b4"),
    leaves=_all("#4f9a6c", "#6cae74", "#3e8a6a"), flowers=_all("#ff8fa0", "#ffffff", "#ffd166"),
    walls=_all("#fbf6ea", "#f3e7dc", "#dfecee", "#ffe9d2"), roofs=_all("#3f7fa6", "#4b93b5", "#e07a5f", "#35698f"),
    rock=rgb("#a6a9a6"), hills=(rgb("#76a572"), rgb("#80a8b5")),
)  # fmt: skip

BIOMES: dict[str, Biome] = {
    "meadow": Biome(
        palettes=(_SPRING, _HIGHLAND, _GOLDEN, _SEASIDE), trees=(34, 60), kinds=("round", "poplar", "pine", "bush"),
        houses=(1, 4), landmarks=("windmill", "great tree", "tower", "obelisk", "arch", "church"),
    ),
    "village": Biome(
        palettes=(_SPRING, _HIGHLAND, _GOLDEN, _SEASIDE), trees=(18, 34), kinds=("round", "poplar", "bush", "pine"),
        houses=(12, 18), storeys=2, lamps=True, tufts=(40, 70),
        landmarks=("church", "tower", "statue", "windmill", "obelisk", "arch"),
    ),
}  # fmt: skip
