"""Biomes: recipes of places. What grows, what is built, how the ground is laid out and how the horizon rises."""

from dataclasses import dataclass

from render import palettes as of
from render.palettes import Palette


@dataclass(frozen=True, kw_only=True, slots=True)
class Biome:
    """A kind of place. Counts are (fewest, most); names are those of the makers in plants, props and so on."""

    palettes: tuple[Palette, ...]
    trees: tuple[int, int]
    kinds: tuple[str, ...]
    landmarks: tuple[str, ...]
    builder: str = "cottage"
    houses: tuple[int, int] = (0, 0)
    storeys: int = 1
    scatter: tuple[tuple[str, int, int], ...] = ()
    """(prop, fewest, most) strewn over the open ground."""
    roadside: tuple[tuple[str, float], ...] = ()
    """(prop, chance per 4 m) beside the paths, facing them."""
    street: float = 1.2
    """Half-width of paths, metres."""
    straight: bool = False
    """Streets of a grid rather than winding paths."""
    horizon: str = "hills"
    """What surrounds the place: hills, peaks, mesas, dunes or skyline."""
    sea: bool = False
    """Whether one side is the sea."""
    moods: tuple[str, ...] = ("noon", "dawn", "dusk", "overcast", "night")
    """Drawn evenly; repeat one to favour it."""


_GRASS = (("rock", 4, 9), ("tuft", 45, 80), ("flower", 20, 40))

BIOMES: dict[str, Biome] = {
    "meadow": Biome(
        palettes=(of.SPRING, of.HIGHLAND, of.GOLDEN, of.SEASIDE),
        trees=(34, 60),
        kinds=("round", "poplar", "pine", "birch", "bush"),
        houses=(1, 4),
        landmarks=("windmill", "great tree", "tower", "obelisk", "arch", "church", "standing stones"),
        scatter=(*_GRASS, ("haystack", 0, 5), ("log", 0, 2)),
        roadside=(("fence", 0.25), ("wall", 0.08)),
    ),
    "village": Biome(
        palettes=(of.SPRING, of.HIGHLAND, of.GOLDEN, of.SEASIDE),
        trees=(18, 34),
        kinds=("round", "poplar", "birch", "bush", "pine"),
        houses=(11, 17),
        storeys=2,
        landmarks=("church", "tower", "statue", "windmill", "obelisk", "fountain"),
        scatter=(
            ("rock", 2, 5),
            ("tuft", 30, 50),
            ("flower", 20, 35),
            ("well", 0, 1),
            ("haystack", 0, 3),
            ("barrel", 2, 6),
        ),
        roadside=(("fence", 0.22), ("lamp", 0.16), ("bench", 0.06), ("stall", 0.05), ("wall", 0.08)),
    ),
    "forest": Biome(
        palettes=(of.DEEPWOOD, of.HIGHLAND, of.AUTUMNWOOD),
        trees=(150, 200),
        kinds=("pine", "round", "birch", "bush"),
        houses=(0, 2),
        landmarks=("great tree", "standing stones", "tower", "statue", "arch"),
        scatter=(
            ("rock", 8, 16),
            ("tuft", 50, 80),
            ("mushroom", 8, 22),
            ("log", 3, 8),
            ("stump", 3, 9),
            ("flower", 5, 20),
        ),
        street=1.0,
    ),
    "desert": Biome(
        palettes=(of.SANDS, of.REDSANDS),
        trees=(16, 32),
        kinds=("cactus", "palm", "dead"),
        builder="adobe",
        houses=(1, 6),
        storeys=2,
        landmarks=("pyramid", "obelisk", "arch", "tower", "statue"),
        horizon="dunes",
        scatter=(("rock", 8, 16), ("spire rock", 1, 5), ("tuft", 15, 30), ("barrel", 0, 4), ("well", 0, 1)),
        roadside=(("rock", 0.08),),
        moods=("noon", "noon", "dawn", "dusk", "night"),
    ),
    "snow": Biome(
        palettes=(of.WINTER, of.GLACIER),
        trees=(45, 75),
        kinds=("snowy pine", "snowy pine", "dead"),
        builder="cabin",
        houses=(2, 8),
        landmarks=("church", "tower", "ice spire", "statue", "standing stones"),
        horizon="peaks",
        scatter=(("rock", 6, 12), ("snowman", 1, 3), ("log", 0, 4)),
        roadside=(("fence", 0.18), ("lamp", 0.1)),
    ),
    "coast": Biome(
        palettes=(of.BEACH, of.SEASIDE),
        trees=(18, 36),
        kinds=("palm", "palm", "bush", "round"),
        houses=(3, 8),
        storeys=1,
        landmarks=("lighthouse", "lighthouse", "tower", "statue", "arch"),
        sea=True,
        scatter=(("rock", 5, 10), ("tuft", 30, 50), ("boat", 2, 5), ("parasol", 2, 7), ("barrel", 0, 3)),
        roadside=(("fence", 0.12), ("bench", 0.06)),
    ),
    "town": Biome(
        palettes=(of.OLDTOWN, of.PASTELS),
        trees=(12, 22),
        kinds=("round", "poplar"),
        builder="townhouse",
        houses=(18, 26),
        storeys=2,
        landmarks=("fountain", "clock tower", "statue", "church", "arch"),
        street=2.6,
        straight=True,
        scatter=(("planter", 6, 14), ("barrel", 2, 8), ("bench", 2, 6)),
        roadside=(("lamp", 0.22), ("bench", 0.07), ("stall", 0.14), ("planter", 0.1)),
    ),
    "canyon": Biome(
        palettes=(of.REDROCK, of.OCHRE),
        trees=(14, 28),
        kinds=("cactus", "dead", "bush"),
        builder="tent",
        houses=(0, 3),
        landmarks=("rock arch", "mesa", "obelisk", "tower"),
        horizon="mesas",
        scatter=(("spire rock", 9, 16), ("rock", 12, 22), ("tuft", 20, 40), ("log", 0, 3)),
        moods=("noon", "noon", "dawn", "dusk", "night", "overcast"),
    ),
    "city": Biome(
        palettes=(of.ASPHALT, of.CONCRETE),
        trees=(10, 18),
        kinds=("round", "poplar"),
        builder="block",
        houses=(16, 22),
        storeys=2,
        landmarks=("clock tower", "statue", "fountain", "obelisk"),
        street=3.6,
        straight=True,
        horizon="skyline",
        scatter=(("planter", 6, 14),),
        roadside=(("city lamp", 0.3), ("car", 0.2), ("bench", 0.06), ("planter", 0.08)),
        moods=("night", "night", "night", "dusk", "overcast", "noon"),
    ),
}
