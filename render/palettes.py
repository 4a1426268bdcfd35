"""Palettes: colours that go together, chosen by eye, one per character of landscape."""

from dataclasses import dataclass

from render.meshes import Colour, rgb


@dataclass(frozen=True, kw_only=True, slots=True)
class Palette:
    """The colours of a place."""

    ground: Colour
    patches: tuple[Colour, ...]
    """Of grass, sand or paving, mixed over the ground."""
    path: Colour
    leaves: tuple[Colour, ...]
    flowers: tuple[Colour, ...]
    walls: tuple[Colour, ...]
    roofs: tuple[Colour, ...]
    rock: Colour
    hills: tuple[Colour, Colour]
    """Near and far."""


def _palette(
    ground: str, patches: str, path: str, leaves: str, flowers: str, walls: str, roofs: str, rock: str, hills: str
) -> Palette:
    """A palette from hexadecimal codes, several in a string separated by spaces."""

    def all_of(codes: str) -> tuple[Colour, ...]:
        return tuple(rgb("#" + code) for code in codes.split())

    near, far = all_of(hills)
    return Palette(
        ground=rgb("#" + ground), patches=all_of(patches), path=rgb("#" + path), leaves=all_of(leaves),
        flowers=all_of(flowers), walls=all_of(walls), roofs=all_of(roofs), rock=rgb("#" + rock), hills=(near, far),
    )  # fmt: skip


SPRING = _palette(
    "7fb04f", "9ac65c 64984a aecd6b 86b85c", "d8bf8c", "5c9a45 79ad4a 4a8a4c 93b650", "f4d35e f7f3e8 e56b6f b48bd6",
    "f2e4cb e9cfae dfe3dc f0d9c4", "c1553d a8483a d07a4b 7c5a4c", "9a9a94", "6c9a55 7b9fa6",
)  # fmt: skip
HIGHLAND = _palette(
    "6f9d63", "84b470 55845a 93bb7c 9aa86a", "b9a88a", "3f7d54 4f8f5a 2f6b52", "c58ad8 eef0f4 f0b64c",
    "d9d4c8 c9c3b8 e4dccb", "4f6478 5c7184 3f5266 7a6a66", "84898f", "55805c 6f8ca3",
)  # fmt: skip
GOLDEN = _palette(
    "c6b45a", "dccb70 aa9a4c e4d283 a39f52", "e9d8ae", "8a9a45 a4a648 6f8a48", "e8703a d8434e faf0d2",
    "f5e6cf efd2a8 e6bfa0", "b5503c cc6b45 94493f", "b09f86", "a79a55 a39a9c",
)  # fmt: skip
SEASIDE = _palette(
    "8fbb74", "a9cf88 78a866 c0d796", "e6d8b4", "4f9a6c 6cae74 3e8a6a", "ff8fa0 ffffff ffd166",
    "fbf6ea f3e7dc dfecee ffe9d2", "3f7fa6 4b93b5 e07a5f 35698f", "a6a9a6", "76a572 80a8b5",
)  # fmt: skip
DEEPWOOD = _palette(
    "5a7f48", "6d9452 476b41 7d9c56 6b6f47", "9a8460", "2f6b47 3f7a4a 27593f 4d8850", "e8d9f0 f0c24c e4e8ea",
    "b08a62 9c7a58 c4a27a", "5a4a42 6a5346 4d5a4a", "7b8078", "44704c 6a8a8c",
)  # fmt: skip
AUTUMNWOOD = _palette(
    "a58a4c", "c09a4e 8f7a45 cf8a45 b3a057", "c8a878", "d98a35 c9602f e0ab3f a8452f 8a8f45", "f3e3b0 e5683c",
    "c9a57c b58d66", "6a4538 7d5542", "8f887c", "b0773f 9c8f8c",
)  # fmt: skip
SANDS = _palette(
    "e2c285", "efd39b d3ae70 f3dcab c9a267", "f0dfb6", "6f9a58 5a8a52 86a85c", "f06a5a f3c948 ffffff",
    "efd3a4 e3bd86 f5e2c2", "3f8fa0 c9694a d9a05a", "c09a6c", "dcb87c d9c3a4",
)  # fmt: skip
REDSANDS = _palette(
    "d6a275", "e2b58a c48f62 e8c39c b8855c", "edc08e", "7a9158 64835a 94a062", "f7d04d f06a8a fff0dc",
    "e8b07a d99a68 f0c898", "8a4a3f 4a7f8c b5653f", "b06a4a", "cc7f52 cfa08a",
)  # fmt: skip
WINTER = _palette(
    "d2dde7", "e2eaf1 bccddd c6d6e4 adc2d7", "c2b8ac", "3f7264 4a7f70 35655c", "d8434e ffffff",
    "8a5f43 9c6e4c 75503b", "b54a42 4f6f8f", "8d99a6", "c9d8e6 b7cbe0",
)  # fmt: skip
GLACIER = _palette(
    "c6dae5", "dbe9f0 aecad9 bbd5e2 98bbd0", "a9b7c0", "4a7f86 3f6f7a", "f0a0b0 ffffff",
    "a08468 8f9aa3 b59a7c", "4a7f9c 5c6f86", "9fb3c1", "b3cede a9c6dc",
)  # fmt: skip
BEACH = _palette(
    "ecd8a6", "f5e6bd dfc78f e8d29a d3c083", "f3ead0", "4fa06a 6cb46e 3f9070", "ff7a6b ffcf4d 4fc4d6 ffffff",
    "fff4e0 ffd9c7 d6eef0 fbe7b8", "e0654f 2f8fa8 f0a84a", "b5aa9a", "82b078 8fb8c0",
)  # fmt: skip
OLDTOWN = _palette(
    "b9ab94", "c7baa3 a89a83 cdbfa9 b3a38f", "94897a", "5f9a50 78a852 4c8a50", "e56b6f f4d35e 8fb8de f7f3e8",
    "f0d6a8 e6b98a d9c4a0 e8a88a c9d3c0", "b5503c a0463a 7c5a4c", "a39a8c", "8fa06c 93a4ad",
)  # fmt: skip
PASTELS = _palette(
    "c9bfae", "d6cdbd b8ad9c dcd3c4", "a39e98", "6aaa64 86b866 58985e", "ff9fb0 ffe08a a8d8f0 ffffff",
    "f7c8c0 c8e0d8 f5e0b0 d0d0ea f5eee0", "6a7f94 c0705c 57888c", "aaa6a0", "93ae84 9db4bf",
)  # fmt: skip
REDROCK = _palette(
    "c9794d", "d98c5c b56840 e09d6b a85f3e", "dba274", "8a9a58 75885a a3a862", "f4cf57 f08a4a",
    "f0e0c4 e0c8a0", "3f8a8f b5453a d99a3f", "b55b3c", "b8603f b98a86",
)  # fmt: skip
OCHRE = _palette(
    "cfa362", "dcb474 b98d52 e4c388 ad8450", "e0bd84", "7f9a5c 93a560 6c8858", "f07a5a ffe08a",
    "efe2c8 dccaa6", "7a3f4a 3f6f8a c9803f", "b98550", "bd8a52 b8a090",
)  # fmt: skip
ASPHALT = _palette(
    "6f747d", "7b8089 656a73 83878e", "4a4f59", "4f8a5a 5f9a5c 3f7a56", "e0554f f2c230 4f8fd0 f2f2f0",
    "8f98a8 a8a39c 77839a b5aaa0 6a7488", "3f4653 4f5866", "7d828a", "59637a 7a86a0",
)  # fmt: skip
CONCRETE = _palette(
    "8c8a88", "989694 807e7c a3a09c", "5a5c62", "5f9a50 78a852 4c8a50", "ff6b5a ffd23f 36b6c7 f2f2f0",
    "b8a89a c7b7a6 8f9fa8 a07a68 d0c8bc", "4a4a52 5f5a58", "8f8c88", "6f7482 8c96a4",
)  # fmt: skip
