"""FID: closed forms, the running statistics, the exact preprocessing, the real network's features."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy.linalg
import torch

from models.inception import NUM_FEATURES
from pipeline.core.errors import DataError
from pipeline.metrics import MIN_FID_IMAGES
from pipeline.metrics.fid import (
    FeatureCache,
    FeatureStatistics,
    _frechet_distance,
    _square_root,
    fid_of,
    inception_features,
    load_inception,
)


def random_covariance(dim: int, seed: int, rank: int | None = None) -> np.ndarray:
    factor = np.random.default_rng(seed).normal(size=(dim, rank or 2 * dim))
    return factor @ factor.T / dim


def distance_of(mean_a: np.ndarray, cov_a: np.ndarray, mean_b: np.ndarray, cov_b: np.ndarray) -> float:
    """The distance of Gaussians with these covariances."""
    return _frechet_distance(mean_a, _square_root(cov_a), mean_b, _square_root(cov_b))


def statistics(features: np.ndarray) -> FeatureStatistics:
    stats = FeatureStatistics(features.shape[1])
    stats.update(features)
    return stats


def test_fid_needs_as_many_images_as_there_are_features() -> None:
    assert MIN_FID_IMAGES == NUM_FEATURES


def test_gaussians_with_diagonal_covariances_have_a_closed_form() -> None:
    mean_a, mean_b = np.array([1.0, 2.0, 3.0]), np.array([1.5, 0.0, 3.0])
    sigma_a, sigma_b = np.array([1.0, 2.0, 0.0]), np.array([3.0, 2.0, 0.5])
    expected = 0.25 + 4.0 + ((sigma_a - sigma_b) ** 2).sum()
    distance = distance_of(mean_a, np.diag(sigma_a**2), mean_b, np.diag(sigma_b**2))
    assert distance == pytest.approx(expected, abs=1e-12)


def test_general_covariances_equal_the_matrix_square_root() -> None:
    cov_a, cov_b = random_covariance(12, 1), random_covariance(12, 2)
    mean_a, mean_b = np.random.default_rng(3).normal(size=(2, 12))
    root = scipy.linalg.sqrtm(cov_a @ cov_b)
    expected = ((mean_a - mean_b) ** 2).sum() + np.trace(cov_a + cov_b) - 2 * np.trace(root).real
    assert distance_of(mean_a, cov_a, mean_b, cov_b) == pytest.approx(expected, rel=1e-10)
    assert distance_of(mean_b, cov_b, mean_a, cov_a) == pytest.approx(expected, rel=1e-10)


def test_singular_covariances_need_no_epsilon() -> None:
    cov, mean = random_covariance(40, 4, rank=5), np.zeros(40)
    assert distance_of(mean, cov, mean, cov) == pytest.approx(0.0, abs=1e-10)
    assert distance_of(mean, cov, mean, 4 * cov) == pytest.approx(np.trace(cov), rel=1e-10)
    nothing = np.zeros((40, 40))
    assert distance_of(mean, cov, mean, nothing) == pytest.approx(np.trace(cov), rel=1e-12)


def test_identical_sets_are_at_distance_zero_and_a_shift_adds_its_square() -> None:
    features = np.random.default_rng(5).gamma(1.0, 0.4, size=(30, 64)).astype(np.float32)
    assert fid_of(statistics(features), statistics(features[::-1])) == pytest.approx(0.0, abs=1e-8)
    shifted = features.astype(np.float64) + 0.5
    assert fid_of(statistics(features), statistics(shifted)) == pytest.approx(64 * 0.25, abs=1e-8)


def test_statistics_do_not_depend_on_order_or_grouping() -> None:
    rng = np.random.default_rng(6)
    features = rng.gamma(1.0, 0.4, size=(200, 8)).astype(np.float32)
    whole = FeatureStatistics(8)
    for chunk in np.array_split(features[rng.permutation(200)], 13):
        whole.update(chunk)
    assert whole.count == 200
    assert whole.mean == pytest.approx(features.astype(np.float64).mean(axis=0), rel=1e-12)
    assert whole.covariance == pytest.approx(np.cov(features.astype(np.float64), rowvar=False), abs=1e-12)


@pytest.mark.parametrize("nums", [(12, 20), (12, 70), (65, 20), (64, 65)])
def test_few_and_many_images_give_the_distance_of_their_covariances(nums: tuple[int, int]) -> None:
    """Up to 64 images of 64 features, the covariance is not factorised."""
    rng = np.random.default_rng(9)
    sets = [rng.gamma(1.0, 0.4, size=(num, 64)) + shift for num, shift in zip(nums, (0.0, 0.1), strict=True)]
    gaussians = [(found.mean(axis=0), np.cov(found, rowvar=False)) for found in sets]
    expected = distance_of(*gaussians[0], *gaussians[1])
    assert fid_of(*map(statistics, sets)) == pytest.approx(expected, rel=1e-9)
    for found, (_, covariance) in zip(sets, gaussians, strict=True):
        assert statistics(found).covariance == pytest.approx(covariance, abs=1e-12)


def test_statistics_of_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least 1"):
        _ = FeatureStatistics(4).mean
    with pytest.raises(DataError, match="at least 2 images, got 1"):
        _ = statistics(np.ones((1, 4))).covariance
    with pytest.raises(DataError, match="at least 2 images, got 1"):
        fid_of(statistics(np.ones((1, 4))), statistics(np.ones((3, 4))))
    with pytest.raises(ValueError, match=r"\[N, 4\]"):
        FeatureStatistics(4).update(np.ones((3, 5)))


class Seen(torch.nn.Module):
    """Stands for the network and keeps what it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(1))
        self.batches: list[torch.Tensor] = []

    def forward(self, images_NCHW: torch.Tensor) -> torch.Tensor:
        self.batches.append(images_NCHW.clone())
        return torch.arange(len(images_NCHW))[:, None].expand(-1, 2048).float()


def test_images_reach_the_network_as_scaled_rgb() -> None:
    bgr = np.broadcast_to(np.array([0, 64, 255], np.uint8), (5, 96, 96, 3))
    network = Seen()
    features = inception_features(bgr, network, batch=2)
    assert [len(b) for b in network.batches] == [2, 2, 1]
    assert features[:, 0].tolist() == [0, 1, 0, 1, 0]
    assert features.dtype == np.float32
    seen = network.batches[0]
    assert seen.shape == (2, 3, 299, 299)
    for channel, value in enumerate([255, 64, 0]):
        assert seen[:, channel].unique().numpy() == pytest.approx((value - 128) / 128, abs=1e-6)


@pytest.mark.slow
def test_resize_is_bilinear_between_pixel_centres_without_antialiasing() -> None:
    image = np.random.default_rng(7).integers(0, 256, (1, 598, 598, 3), dtype=np.uint8)
    network = Seen()
    inception_features(image, network)
    exact = image[0, :, :, ::-1].astype(np.float64)
    exact = (exact[::2] + exact[1::2]) / 2  # half size: halfway between two neighbours, no wider
    exact = (exact[:, ::2] + exact[:, 1::2]) / 2
    seen = network.batches[0][0].permute(1, 2, 0).double().numpy()
    assert seen * 128 + 128 == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("shape", [(96, 96, 3), (2, 96, 96, 1)])
def test_images_of_another_form_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="uint8"):
        inception_features(np.zeros(shape, np.uint8), Seen())


@pytest.mark.slow
def test_features_equal_those_of_the_published_graph(inception_path: Path) -> None:
    images = np.random.default_rng(8).integers(0, 256, (2, 20, 20, 3), dtype=np.uint8)
    network = load_inception(inception_path, torch.device("cpu"))
    features = inception_features(images, network)
    assert features.shape == (2, 2048)
    script = torch.jit.load(str(inception_path), map_location="cpu").eval()
    rgb = torch.from_numpy(images[..., ::-1].copy()).permute(0, 3, 1, 2) / 255
    resized = torch.nn.functional.interpolate(rgb, size=(299, 299), mode="bilinear", align_corners=False)
    with torch.inference_mode():
        expected = script((resized * 255 - 128) / 128).numpy()
    assert np.abs(features - expected).max() < 1e-4
    assert expected.max() > 0.5


class Counter:
    """Computes features and counts how often it is asked."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: np.ndarray) -> np.ndarray:
        self.calls += 1
        return images.reshape(len(images), -1)[:, :4].astype(np.float32)


def test_cache_computes_each_content_once(tmp_path: Path) -> None:
    images = np.random.default_rng(10).integers(0, 256, (3, 8, 8, 3), dtype=np.uint8)
    compute = Counter()
    first = FeatureCache(tmp_path / "cache", "abc").get(images, compute)
    again = FeatureCache(tmp_path / "cache", "abc").get(images.copy(), compute)
    assert compute.calls == 1
    assert np.array_equal(first, again)
    assert again.dtype == np.float32
    FeatureCache(tmp_path / "cache", "other weights").get(images, compute)
    FeatureCache(tmp_path / "cache", "abc").get(images[:2], compute)
    FeatureCache(tmp_path / "cache", "abc").get(images[:, ::-1], compute)
    assert compute.calls == 4


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half a file", b"nothing like it"])
def test_cache_survives_a_damaged_file(tmp_path: Path, damage: bytes) -> None:
    images = np.zeros((2, 4, 4, 3), np.uint8)
    compute, cache = Counter(), FeatureCache(tmp_path, "abc")
    expected = cache.get(images, compute)
    (stored,) = tmp_path.iterdir()
    stored.write_bytes(damage)
    assert np.array_equal(cache.get(images, compute), expected)
    assert np.array_equal(cache.get(images, compute), expected)
    assert compute.calls == 2
