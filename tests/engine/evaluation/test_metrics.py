"""Scores against what they must be where the answer is known."""

import math

import numpy as np
import pytest

from engine.evaluation.metrics import (
    MAX_PSNR,
    Bootstrap,
    blur,
    gradient_energy,
    interval,
    nanmean,
    plain,
    psnr,
    saturation,
    ssim,
)

RNG = np.random.default_rng(0)
PICTURES = RNG.integers(40, 200, (3, 48, 64, 3)).astype(np.uint8)


def test_identical_pictures_score_best():
    assert (psnr(PICTURES, PICTURES) == MAX_PSNR).all()
    assert ssim(PICTURES, PICTURES) == pytest.approx(1)


@pytest.mark.parametrize("step", [1, 5, 20])
def test_a_known_error_has_its_known_psnr(step):
    assert psnr(PICTURES, PICTURES + np.uint8(step)) == pytest.approx(20 * math.log10(255 / step), abs=1e-4)


def test_a_mask_limits_psnr_to_its_pixels_and_an_empty_one_gives_nan():
    damaged, mask = PICTURES.copy(), np.zeros((3, 48, 64), bool)
    damaged[:, :24] += 10
    mask[:2, :24] = True
    scores = psnr(damaged, PICTURES, mask)
    assert scores[:2] == pytest.approx(20 * math.log10(25.5), abs=1e-4) and math.isnan(scores[2])


def test_ssim_falls_with_noise_but_hardly_with_brightness():
    noisy = np.clip(PICTURES + RNG.normal(0, 60, PICTURES.shape), 0, 255).astype(np.uint8)
    assert ssim(noisy, PICTURES).max() < 0.85 < ssim(PICTURES + np.uint8(10), PICTURES).min()


def test_ssim_of_flat_pictures_is_its_luminance_term():
    dark, light = np.full((1, 32, 32, 3), 50, np.uint8), np.full((1, 32, 32, 3), 100, np.uint8)
    c1 = (0.01 * 255) ** 2
    assert ssim(dark, light) == pytest.approx((2 * 50 * 100 + c1) / (50**2 + 100**2 + c1), abs=1e-4)


def test_saturation_is_zero_for_grey_and_one_for_pure_colour():
    grey, red = np.full((1, 8, 8, 3), 90, np.uint8), np.zeros((1, 8, 8, 3), np.uint8)
    red[..., 0] = 200
    assert saturation(grey) == 0 and saturation(red) == 1 and 0 < saturation((grey + red) // 2)[0] < 1


def test_gradient_energy_falls_with_blur_and_is_exact_for_a_ramp():
    ramp = np.broadcast_to(np.arange(0, 128, 2, dtype=np.uint8)[None, None, :, None], (1, 40, 64, 3))
    assert gradient_energy(ramp) == pytest.approx(4, rel=1e-4)
    soft = blur(np.moveaxis(PICTURES.astype(float), -1, 0), 1.5, 5)
    assert (gradient_energy(np.moveaxis(soft, 0, -1).astype(np.uint8)) < 0.2 * gradient_energy(PICTURES)).all()


def test_the_interval_covers_the_true_mean_about_as_often_as_it_says():
    config, rng = Bootstrap(samples=400), np.random.default_rng(1)
    found = [interval(rng.normal(0.3, 1, 40), config) for _ in range(300)]
    covered = np.mean([low <= 0.3 <= high for _, low, high in found])
    assert 0.90 < covered < 0.98


def test_the_interval_leaves_out_nan_and_needs_two_samples():
    assert interval([1.0, math.nan, 3.0], Bootstrap(samples=100))[0] == 2
    with pytest.raises(ValueError, match="at least 2 samples, got 1"):
        interval([1.0, math.nan], Bootstrap())


def test_nothing_left_to_average_is_nan_and_becomes_null_in_reports():
    assert plain({"a": [nanmean([math.nan]), 0.123456, 3]}) == {"a": [None, 0.1235, 3]}
