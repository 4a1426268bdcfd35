"""3D Gaussians as a PLY (Kerbl et al. 2023), one flat disc on the surface for each point, to look at or to refine.

World axes as COLMAP's, which viewers of such files expect. Colour is the constant term of the spherical harmonics,
opacity a logit, scales logarithms, rotation (w, x, y, z).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from engine.reconstruction.formats.atomic import whole_file
from engine.reconstruction.formats.content import Content
from engine.reconstruction.formats.rotation import turning_z_to

CONSTANT = 0.28209479177387814
"""The spherical harmonic of degree 0."""
_WIDTH, _THICKNESS = 0.6, 0.1
"""Standard deviations along and across the surface, in distances between points."""
_OPACITY = (0.5, 0.95)
"""Of a point with confidence 0 and 1."""
_FIELDS = ["x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"]
_FIELDS += ["scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"]


def write(content: Content, path: Path) -> None:
    """Write the file. Raises `WanderError` where it cannot be written."""
    cloud = content.cloud
    low, high = _OPACITY
    opacity = low + (high - low) * np.clip(cloud.confidence, 0, 1)
    spacing = content.spacing
    columns = [
        cloud.xyz,
        cloud.normals,
        (cloud.rgb / 255 - 0.5) / CONSTANT,
        np.log(opacity / (1 - opacity))[:, None],
        np.log(np.outer(spacing, [_WIDTH, _WIDTH, _THICKNESS])),
        turning_z_to(cloud.normals),
    ]
    header = ["ply", "format binary_little_endian 1.0", f"element vertex {len(cloud)}"]
    header += [*(f"property float {name}" for name in _FIELDS), "end_header", ""]
    with whole_file(path) as part, part.open("wb") as file:
        file.write("\n".join(header).encode())
        file.write(np.hstack(columns).astype("<f4").tobytes())


def size(content: Content) -> int:
    """Bytes of the file, about."""
    return 600 + 4 * len(_FIELDS) * len(content.cloud)
