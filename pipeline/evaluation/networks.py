"""The networks that score generators and videos, and their settings."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from pipeline.core.digest import sha256_of
from pipeline.core.layout import Layout
from pipeline.core.versions import metric_package_versions
from pipeline.evaluation.cache import open_cache
from pipeline.evaluation.lips import LipScorer, missing_sentence
from pipeline.evaluation.score import VariantScore, distances, score_summary
from pipeline.inference.device import select_device, set_threads
from pipeline.inference.lse_evaluator import Evaluator, load_evaluator
from pipeline.inference.pretrained import ensure_inception
from pipeline.metrics import MIN_FID_IMAGES
from pipeline.metrics.fid import FeatureCache, inception_features, load_inception
from pipeline.metrics.kid import ESTIMATOR as KID_ESTIMATOR
from pipeline.params import EvaluateParams, Params

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Networks:
    """The networks that score, and their settings."""

    params: EvaluateParams
    seed: int
    evaluator: Evaluator
    inception_path: Path
    inception_sha256: str
    cache_dir: Path
    device: torch.device
    lips: LipScorer = field(default_factory=LipScorer)

    @classmethod
    def open(cls, layout: Layout, params: Params) -> Networks:
        """The networks that ``params.yaml`` and the files of the checkout describe.

        Raises WeightsError if the weights of Inception are not available, and UserError if there is no evaluator.
        """
        set_threads(params.runtime.num_threads)
        device = select_device(params.runtime.device)
        inception_path = ensure_inception(layout.weights_dir)
        weights = params.evaluate.lse.weights
        return cls(
            params=params.evaluate,
            seed=params.seed,
            evaluator=load_evaluator(
                layout.find(weights) if isinstance(weights, Path) else weights,
                layout.model_dir("train_evaluator"),
                device,
                params.evaluate.lse.precision,
            ),
            inception_path=inception_path,
            inception_sha256=sha256_of(inception_path),
            cache_dir=open_cache(layout.scratch_dir),
            device=device,
            lips=LipScorer.open(layout.weights_dir),
        )

    def metrics(self, score: VariantScore, *, is_generated: bool) -> dict[str, Any]:
        """LSE-D, LSE-C, FID and KID, with evaluator, weights, number of images and package versions.

        ``is_generated``: whether the shown crops differ from the real ones. Raises DataError if no clip was scored.
        """
        summary = score_summary(score)
        inception = load_inception(self.inception_path, self.device)
        cache = FeatureCache(self.cache_dir, self.inception_sha256)
        features = partial(inception_features, network=inception)
        cached_features = partial(cache.get, compute=features)
        num_images = len(score.real_crops)
        if num_images < MIN_FID_IMAGES:
            logger.warning(
                "FID is computed from %d images a side; below %d it is biased upward", num_images, MIN_FID_IMAGES
            )
        # The crops of a bound are real ones and may be cached.
        shown_features = features if is_generated else cached_features
        return {
            **summary,
            **distances(score.real_crops, score.generated_crops, shown_features, cached_features, self.seed),
            "evaluator": self.evaluator.name,
            "evaluator_sha256": self.evaluator.sha256,
            "fid_num_images": num_images,
            "fid_weights_sha256": self.inception_sha256,
            "lips_missing": missing_sentence(self.lips, [item.lips for item, _ in score.scored]),
            "versions": metric_package_versions(),
        }

    def describe(self) -> dict[str, Any]:
        """The part of the protocol that concerns the scoring networks."""
        return {
            "seed": self.seed,
            "evaluator": self.evaluator.name,
            "evaluator_sha256": self.evaluator.sha256,
            "evaluator_width": self.evaluator.width,
            "evaluator_input": "context crops, bilinear to 224 in 8 bits",
            "vshift_frames": self.params.lse.vshift_frames,
            "edge": "zero",
            "lse_precision": self.evaluator.precision,
            "fid_images": "96x96 face crops",
            "fid_weights_sha256": self.inception_sha256,
            "every_n_frames": self.params.fid.every_n_frames,
            "max_frames": self.params.fid.max_frames,
            "kid": KID_ESTIMATOR,
        }
