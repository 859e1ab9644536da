"""Frechet Inception distance (Heusel et al. 2017) on the features of the published Inception network.

Preprocessing follows mseitzer/pytorch-fid: RGB, bilinear resize to 299 without antialiasing. Pixel values are scaled as
in the published graph, (x - 128) / 128.
"""

from __future__ import annotations

import hashlib
import logging
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional as F

from models.inception import INCEPTION_INPUT_PX, NUM_FEATURES, InceptionFeatures, folded_state
from pipeline.core.atomic import replacing
from pipeline.core.errors import DataError
from pipeline.metrics.exact import full_float32

logger = logging.getLogger(__name__)

BATCH_IMAGES = 16


def load_inception(path: Path, device: torch.device) -> InceptionFeatures:
    """The feature network with the published weights, in eval mode, channels_last, on ``device``.

    ``path`` is the file of ``pipeline.inference.pretrained.ensure_inception``. Only its tensors are used, not its code:
    ``InceptionFeatures`` computes the same about twice as fast on a CPU.
    """
    script = torch.jit.load(str(path), map_location="cpu")
    network = InceptionFeatures()
    network.load_state_dict(folded_state(script.state_dict()))
    network.requires_grad_(False).eval()
    network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


@torch.inference_mode()
def inception_features(images: NDArray[np.uint8], network: nn.Module, batch: int = BATCH_IMAGES) -> NDArray[np.float32]:
    """Features of images: uint8 [N, h, w, 3] BGR, any size -> float32 [N, 2048].

    Runs in float32 on the network's device, ``batch`` images at a time (8 to 16 is fastest on a CPU). Raises ValueError
    for another dtype or shape.
    """
    if images.ndim != 4 or images.shape[3] != 3 or images.dtype != np.uint8:
        raise ValueError(f"images must be uint8 [N, h, w, 3], got {images.dtype} {images.shape}")
    device = next(network.parameters()).device
    features = np.empty((len(images), NUM_FEATURES), np.float32)
    with full_float32():
        for start in range(0, len(images), batch):
            stop = min(start + batch, len(images))
            bgr_NCHW = torch.tensor(images[start:stop], device=device).permute(0, 3, 1, 2)
            # Scaling before the resize, which is linear, is a tenth of the work. The planar layout resizes faster.
            scaled_NCHW = (bgr_NCHW.flip(1).contiguous().float() - 128.0) / 128.0
            size = (INCEPTION_INPUT_PX, INCEPTION_INPUT_PX)
            resized_NCHW = F.interpolate(scaled_NCHW, size=size, mode="bilinear", align_corners=False)
            rgb_NCHW = resized_NCHW.contiguous(memory_format=torch.channels_last)
            features[start:stop] = network(rgb_NCHW).cpu().numpy()
    return features


class FeatureStatistics:
    """Running mean and covariance of features in float64, for any order and grouping; memory does not grow with N.

    The features themselves are kept until there are more images than features, since they are a square root of the
    covariance that needs no eigenvalues.
    """

    def __init__(self, num_features: int = NUM_FEATURES) -> None:
        self.count = 0
        self._sum = np.zeros(num_features)
        self._kept: list[NDArray[np.float64]] = []
        self._outer: NDArray[np.float64] | None = None
        """Sum of the outer products. None while the features are kept."""

    def update(self, features: NDArray[np.floating]) -> None:
        """Add ``features``: float [N, F]. Raises ValueError for another shape."""
        num_features = len(self._sum)
        if features.ndim != 2 or features.shape[1] != num_features:
            raise ValueError(f"features must be [N, {num_features}], got {features.shape}")
        exact = features.astype(np.float64)
        self.count += len(exact)
        self._sum += exact.sum(axis=0)
        if self._outer is not None:
            self._outer += exact.T @ exact
            return
        self._kept.append(exact)
        if self.count > num_features:
            together = np.concatenate(self._kept)
            self._outer, self._kept = together.T @ together, []

    @property
    def mean(self) -> NDArray[np.float64]:
        """Mean, float64 [F]. Raises DataError without features."""
        if not self.count:
            raise DataError("no features: the mean needs at least 1 image")
        return self._sum / self.count

    @property
    def covariance(self) -> NDArray[np.float64]:
        """Unbiased covariance, float64 [F, F]. Raises DataError for fewer than 2 images."""
        self._require_covariance()
        if self._outer is None:
            root = self.square_root
            return root @ root.T
        mean = self.mean
        return (self._outer - self.count * np.outer(mean, mean)) / (self.count - 1)

    @property
    def square_root(self) -> NDArray[np.float64]:
        """R, float64 [F, rank or N], such that R R^T is the covariance. Raises DataError for fewer than 2 images."""
        self._require_covariance()
        if self._outer is None:
            return (np.concatenate(self._kept) - self.mean).T / np.sqrt(self.count - 1)
        return _square_root(self.covariance)

    def _require_covariance(self) -> None:
        if self.count < 2:
            raise DataError(f"the covariance needs at least 2 images, got {self.count}")


def fid_of(a: FeatureStatistics, b: FeatureStatistics) -> float:
    """FID of two sets of images from their statistics."""
    return _frechet_distance(a.mean, a.square_root, b.mean, b.square_root)


def _frechet_distance(
    mean_a: NDArray[np.float64],
    root_a: NDArray[np.float64],
    mean_b: NDArray[np.float64],
    root_b: NDArray[np.float64],
) -> float:
    """Squared Frechet distance of two Gaussians, |m_a - m_b|^2 + tr(A + B - 2 (A B)^(1/2)).

    Means float64 [F]. The covariances A and B are given as square roots, float64 [F, any number of columns].
    tr (A B)^(1/2) is the sum of the singular values of root_a^T root_b, for any square roots. Unlike a matrix square
    root of A B, that sum is real and accurate for singular covariances, so no epsilon is needed.
    """
    product = root_a.T @ root_b
    trace_root = float(np.linalg.svd(product, compute_uv=False).sum()) if product.size else 0.0
    squared_mean = float(((mean_a - mean_b) ** 2).sum())
    distance = squared_mean + float((root_a**2).sum() + (root_b**2).sum()) - 2.0 * trace_root
    return max(distance, 0.0)


def _square_root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """R [F, rank] such that R R^T is the covariance; eigenvalues within rounding error of 0 are left out."""
    values, vectors = np.linalg.eigh(covariance)
    kept = values > max(values[-1], 0.0) * len(values) * np.finfo(np.float64).eps
    return vectors[:, kept] * np.sqrt(values[kept])


class FeatureCache:
    """Cache of features on disk, keyed by the content of the images.

    The evaluations of one comparison have the same real images. ``directory`` is scratch space of the caller.
    ``network_id`` is the hash of the weights and a part of the key. Several processes may share a cache.
    """

    def __init__(self, directory: Path, network_id: str) -> None:
        self._directory = directory
        self._network_id = network_id

    def get(
        self,
        images: NDArray[np.uint8],
        compute: Callable[[NDArray[np.uint8]], NDArray[np.float32]],
    ) -> NDArray[np.float32]:
        """Features of ``images`` (uint8 [N, h, w, 3]) from disk, or from ``compute``, stored on disk."""
        path = self._directory / f"{self._digest(images)}.npz"
        if path.is_file():
            try:
                with np.load(path) as stored:
                    features: NDArray[np.float32] = stored["features"]
                return features
            except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
                logger.warning("cannot read the cached features %s (%s): computing them again", path, error)
        features = compute(images)
        with replacing(path) as temporary:
            np.savez(temporary, features=features)
        return features

    def _digest(self, images: NDArray[np.uint8]) -> str:
        header = f"{self._network_id} {images.dtype} {images.shape}".encode()
        return hashlib.sha256(header + np.ascontiguousarray(images).tobytes()).hexdigest()
