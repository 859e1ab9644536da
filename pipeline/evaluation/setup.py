"""One evaluation: the held-out clips, the pairs of video and audio, and the networks that score them.

Models that were scored by the same evaluation can be compared.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

from pipeline.core.choices import Device, Precision
from pipeline.core.layout import Layout
from pipeline.evaluation import protocol
from pipeline.evaluation.generate import CropGenerator
from pipeline.evaluation.lips import LipScorer
from pipeline.evaluation.networks import Networks
from pipeline.evaluation.probes import run_probes
from pipeline.evaluation.real_clips import place_real_clips
from pipeline.evaluation.score import VariantScore, num_paired_frames, score_variant
from pipeline.faces.crops import CROP_PX
from pipeline.inference import saved_model
from pipeline.inference.generator import MouthGenerator
from pipeline.params import Params
from pipeline.shards.clip import Clip
from pipeline.shards.read import read_clips, read_index

logger = logging.getLogger(__name__)

SPLIT = "test"
RING_PAIRING = "each clip with the audio of the next clip of a seeded ring; real keeps its own"
LISTED_PAIRING = "a list of pairs; real keeps its own audio"
GENERATOR_PRECISION: Precision = "fp32"
"""The same on every machine: rows scored on different ones may share a table."""


@dataclass(frozen=True)
class Evaluation:
    """Clips, pairs and scoring networks that all rows of a comparison share."""

    networks: Networks
    clips: Mapping[str, Clip]
    pairs: Sequence[protocol.Pair]
    """Every video and the audio that it is scored with; row ``real`` keeps the own audio."""

    @classmethod
    def open(cls, layout: Layout, params: Params) -> Evaluation:
        """The evaluation that ``params.yaml`` and the files of the checkout describe.

        Raises as ``Networks.open``, as ``read_clips`` for missing clips, UserError for an invalid list of pairs, and
        DataError for fewer than two clips.
        """
        networks = Networks.open(layout, params)  # first, so that missing weights are reported before the long work
        key_of = {row.clip_id: row.key for row in read_index(layout.clips_dir, SPLIT)}
        listed, most = params.evaluate.pairs, params.evaluate.max_clips
        if listed is None:
            pairs = protocol.derange(list(key_of), params.seed, most)
        else:
            pairs = protocol.read_pairs(layout.find(listed), key_of, most)
        named = {name for pair in pairs for name in (pair.video_id, pair.audio_id)}
        keys = {key_of[name] for name in named if name in key_of}
        clips = {clip.clip_id: clip for clip in read_clips(layout.clips_dir, SPLIT, keys=keys)}
        return cls(networks, clips, pairs)

    def recut(self, generate: CropGenerator) -> Evaluation:
        """The evaluation on the same clips with the crops that the generator needs.

        If their geometry differs, or if they are larger, so does the protocol. Raises UserError if these crops cannot
        be cut out of the context crops.
        """
        needed = generate.generator.geometry, generate.crop_px
        return replace(self, clips={name: clip.recut(*needed) for name, clip in self.clips.items()})

    def load_generator(self, model_dir: Path) -> CropGenerator:
        """The trained generator in a folder, with the reference frames of ``evaluate.reference``."""
        generator = MouthGenerator.load(model_dir, cast(Device, self.networks.device.type), GENERATOR_PRECISION)
        return CropGenerator(generator, self.networks.params.reference)

    def score(self, variant: str, generate: CropGenerator | None) -> VariantScore:
        """Score all pairs of video and audio; row ``real`` keeps the own audio. ``generate`` None keeps the videos."""
        params = self.networks.params
        pairs = protocol.self_paired(self.pairs) if variant == protocol.REAL else self.pairs
        logger.info("%s: %d clips, %s evaluator", variant, len(pairs), self.networks.evaluator.name)
        lengths: dict[str, int] = {}  # the shortest length for a video in several pairs
        for pair in self.pairs:
            if pair.video_id in self.clips and pair.audio_id in self.clips:
                num = num_paired_frames(self.clips[pair.video_id], self.clips[pair.audio_id])
                lengths[pair.video_id] = min(num, lengths.get(pair.video_id, num))
        return score_variant(
            self.clips,
            pairs,
            generate=generate,
            embed=self.networks.evaluator,
            fid_frames=protocol.spread_frames(lengths, params.fid.every_n_frames, params.fid.max_frames),
            vshift_frames=params.lse.vshift_frames,
            score_lips=self.networks.lips,
        )

    def metrics(self, score: VariantScore, *, is_generated: bool) -> dict[str, Any]:
        """``Networks.metrics``, the protocol, and the fitness of the evaluator on the row `real`, which is scored once.

        Raises DataError if no clip was scored.
        """
        metrics, described = self.networks.metrics(score, is_generated=is_generated), self.describe_protocol()
        is_real = not is_generated and all(item.pair.video_id == item.pair.audio_id for item in score.results)
        without_lips = replace(self, networks=replace(self.networks, lips=LipScorer()))  # only offsets are used
        score_real = (lambda: score) if is_real else partial(without_lips.score, protocol.REAL, None)
        placed = place_real_clips(self.networks.cache_dir, described["sha256"], score_real)
        fitness = placed.figures(metrics["evaluator"], "none of the real clips could be placed")
        return {**metrics, "protocol": described, "fitness": fitness}

    def score_row(self, name: str, model_dir: Path | None) -> ScoredRow:
        """Score a trained generator, or without ``model_dir`` a bound, which shows real videos.

        The crops have the geometry and size of the generator's training. Raises the errors of ``MouthGenerator.load``,
        ``recut`` and ``metrics``.
        """
        generate = self.load_generator(model_dir) if model_dir else None
        own = self.recut(generate) if generate else self
        score = own.score(name, generate)
        metrics = own.metrics(score, is_generated=generate is not None)
        if model_dir:
            metrics["generator_sha256"] = saved_model.model_sha256(model_dir)
        return ScoredRow(own, generate, score, metrics)

    def probe(self, generate: CropGenerator) -> dict[str, float]:
        """Metrics of the probes (own audio, silence) on the first clips of the protocol; empty without probes."""
        found = run_probes(itertools.islice(self._videos(), self.networks.params.num_probes), generate)
        return found.metrics() if found else {}

    def _videos(self) -> Iterator[Clip]:
        """The clips whose video is scored, each once, in the order of the protocol."""
        names = dict.fromkeys(pair.video_id for pair in self.pairs)
        return (self.clips[name] for name in names if name in self.clips)

    def _audio_only_clips(self) -> Iterator[Clip]:
        """The clips used for their audio only, each once; none if all clips are paired in a ring."""
        names = dict.fromkeys(pair.audio_id for pair in self.pairs)
        with_video = {pair.video_id for pair in self.pairs}
        return (self.clips[name] for name in names if name in self.clips and name not in with_video)

    def describe_protocol(self) -> dict[str, Any]:
        """All settings that must be equal for two results to be comparable, with their digest."""
        clip = next(iter(self.clips.values()))  # all have the same kind of crops
        return protocol.with_digest(
            {
                "id": protocol.PROTOCOL_ID,
                "split": SPLIT,
                "pairing": RING_PAIRING if self.networks.params.pairs is None else LISTED_PAIRING,
                "pairing_sha256": protocol.pairing_sha256(self.pairs),
                "num_pairs": len(self.pairs),
                "clips_sha256": protocol.clips_sha256(self._videos(), self._audio_only_clips()),
                "crop": clip.geometry,
                **({} if clip.cut_px == CROP_PX else {"crop_px": clip.cut_px}),
                "length": "the shorter of video and audio, 25 fps",
                "reference": self.networks.params.reference,
                "generator_precision": GENERATOR_PRECISION,
                "paste": "whole crop, hard edges",
                "num_probes": min(self.networks.params.num_probes, len(list(self._videos()))),
                **self.networks.describe(),
            }
        )


@dataclass(frozen=True)
class ScoredRow:
    """A scored row of a comparison."""

    evaluation: Evaluation
    """With the crops that the generator needs."""
    generate: CropGenerator | None
    """None for a bound."""
    score: VariantScore
    """The results of the pairs."""
    metrics: dict[str, Any]
    """``Evaluation.metrics``, and for a generator the digest of its model."""
