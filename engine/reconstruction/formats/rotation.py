"""Rotations as unit quaternions (w, x, y, z), w >= 0. NumPy only."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def quaternions(rotations: NDArray[np.floating]) -> NDArray[np.float64]:
    """Quaternions `[..., 4]` of rotation matrices `[..., 3, 3]`: the main eigenvector of Bar-Itzhack's matrix."""
    r = np.moveaxis(np.asarray(rotations, dtype=np.float64), (-2, -1), (0, 1))
    (a, b, c), (d, e, f), (g, h, i) = r
    rows = [[a - e - i, b + d, c + g, h - f], [b + d, e - a - i, f + h, c - g],
            [c + g, f + h, i - a - e, d - b], [h - f, c - g, d - b, a + e + i]]  # fmt: skip
    symmetric = np.moveaxis(np.array(rows), (0, 1), (-2, -1))
    wxyz = np.linalg.eigh(symmetric)[1][..., -1][..., [3, 0, 1, 2]]
    return np.where(wxyz[..., :1] < 0, -wxyz, wxyz)


def turning_z_to(directions: NDArray[np.floating]) -> NDArray[np.float64]:
    """The shortest rotations `[N, 4]` that turn the z axis to unit vectors `[N, 3]`."""
    x, y, z = np.asarray(directions, dtype=np.float64).T
    wxyz = np.stack([1 + z, -y, x, np.zeros_like(z)], axis=1)
    wxyz[z < -1 + 1e-9] = (0, 1, 0, 0)
    return wxyz / np.linalg.norm(wxyz, axis=1, keepdims=True)
