"""The deep feature distance and its committed backbone."""

import numpy as np
import pytest

from engine.actions import POCKET, start_pose
from engine.errors import WanderError
from engine.evaluation import features as module
from engine.evaluation.features import feature_distance, features
from engine.evaluation.metrics import blur
from tests.engine.evaluation.conftest import draw


@pytest.fixture(scope="module")
def picture():
    return draw(start_pose(POCKET))[0]


def softened(picture, sigma):
    return np.moveaxis(blur(np.moveaxis(picture.astype(float), -1, 0), sigma, round(3 * sigma)), 0, -1).astype(np.uint8)


def test_a_picture_is_at_distance_zero_from_itself_and_distance_is_symmetric(picture):
    one, other = features(picture[None]), features(picture[None, :, ::-1])
    assert feature_distance(one, one) == pytest.approx(0, abs=1e-6)
    assert (
        feature_distance(one, other) == pytest.approx(feature_distance(other, one))
        and feature_distance(one, other) > 0.1
    )


def test_distance_grows_with_blur(picture):
    found = features(np.stack([picture, *(softened(picture, sigma) for sigma in (0.6, 1.2, 2.4))]))
    distances = feature_distance(found, [stage[:1] for stage in found])
    assert (np.diff(distances) > 0).all()


def test_a_mask_hides_what_happens_outside_it(picture):
    damaged = picture.copy()
    damaged[:, 120:] = 0
    mask = np.zeros((1, *picture.shape[:2]), bool)
    mask[:, :, :48] = True
    one, other = features(picture[None]), features(damaged[None])
    assert feature_distance(one, other, mask) < 0.2 * feature_distance(one, other)
    assert np.isnan(feature_distance(one, other, mask & False))


def test_a_damaged_backbone_is_refused(tmp_path, monkeypatch):
    copy = tmp_path / module.BACKBONE.name
    data = bytearray(module.BACKBONE.read_bytes())
    data[-100] ^= 1
    copy.write_bytes(data)
    copy.with_suffix(".json").write_bytes(module.BACKBONE.with_suffix(".json").read_bytes())
    monkeypatch.setattr(module, "BACKBONE", copy)
    module.backbone.cache_clear()
    with pytest.raises(WanderError, match="is damaged"):
        module.backbone()
    module.backbone.cache_clear()
