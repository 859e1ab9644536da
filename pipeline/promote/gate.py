"""The promotion rules that compare a challenger with the champion: pure functions of both models' metrics."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.compare.differences import difference, differences
from pipeline.compare.intervals import MIN_INTERVAL_CLIPS, level
from pipeline.core.errors import UserError
from pipeline.core.mappings import differing_keys
from pipeline.params import CompareParams, PromoteParams

GateOutcome = Literal["promoted", "refused", "not_comparable", "already_champion"]


@dataclass(frozen=True)
class ModelScores:
    """One model's metrics under one evaluation.

    ``evaluation`` describes everything besides the model that affects the metrics; its key ``sha256`` is the digest.
    ``num_clips`` and ``num_failed`` count the clips with and without a score. ``lse_d_by_video``: LSE-D of every scored
    video. ``unfit``: why the evaluator cannot judge the clips; empty if it can, or if that is unknown. Versions that
    were registered without a value have None.
    """

    model_sha256: str
    lse_d: float
    lse_c: float
    fid: float
    evaluation: Mapping[str, Any]
    num_clips: int | None = None
    num_failed: int | None = None
    within_one_frame: float | None = None
    jitter_ratio: float | None = None
    unfit: str = ""
    lse_d_by_video: Mapping[str, float] | None = None

    @property
    def evaluation_digest(self) -> str:
        """Digest of the evaluation. Only metrics with equal digests may be compared."""
        return str(self.evaluation["sha256"])


@dataclass(frozen=True)
class RuleCheck:
    """The result of one rule. ``change`` is the challenger's value minus the champion's; for LSE-D, the mean of these
    differences over the videos that both have.

    The rules are those of ``params.yaml: promote`` and ``no_more_failed``: a mean over fewer clips is not an
    improvement. ``note``: what else decided, such as the interval of the change.
    """

    rule: str
    metric: str
    champion: float
    challenger: float
    change: float
    limit: float
    passed: bool
    note: str = ""

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "failed"
        text = (
            f"{self.rule} {verdict}: {self.metric} {self.challenger:.4g} against the champion's "
            f"{self.champion:.4g} ({self.change:+.4g}), limit {self.limit:.4g}"
        )
        return f"{text}, {self.note}" if self.note else text


@dataclass(frozen=True)
class GateDecision:
    outcome: GateOutcome
    reason: str
    rules: tuple[RuleCheck, ...] = ()


@dataclass(frozen=True)
class Resampling:
    """How the interval of a paired difference is computed: the section ``compare`` and the seed."""

    compare: CompareParams
    seed: int


def decide(
    challenger: ModelScores,
    champion: ModelScores | None,
    rules: PromoteParams,
    resampling: Resampling,
    variant: str,
    fault: str = "",
) -> GateDecision:
    """Apply the rules and return the decision. Lower LSE-D and lower FID are better.

    Without a champion the challenger is promoted. Metrics of different evaluations are not compared; the reason then
    names ``variant``, the challenger's variant, and ``fault``, why the champion could not be scored again; so does the
    rule on LSE-D if its scores by video are missing. Without an evaluator that can judge the clips there is no gain in
    sync to be shown, so the challenger is not promoted either.
    """
    if champion is None:
        return GateDecision("promoted", "there was no champion")
    if challenger.model_sha256 == champion.model_sha256:
        return GateDecision("already_champion", "the champion is this model")
    anyway = f"To promote the challenger anyway: `python -m pipeline.promote --variant {variant} --force`"
    if challenger.evaluation_digest != champion.evaluation_digest:
        differing = ", ".join(differing_keys(challenger.evaluation, champion.evaluation, ["sha256"]))
        return GateDecision(
            "not_comparable",
            f"champion and challenger were scored under different evaluations (differing: {differing}), so their "
            "metrics cannot be compared" + (f"; {_unscored(fault)}" if fault else "") + f". {anyway}",
        )
    checks = check_rules(challenger, champion, rules, resampling, fault)
    if failed := [check for check in checks if not check.passed]:
        return GateDecision("refused", "; ".join(map(str, failed)), checks)
    if challenger.unfit:
        return GateDecision("not_comparable", f"LSE is not compared: {challenger.unfit} {anyway}", checks)
    return GateDecision("promoted", "; ".join(map(str, checks)), checks)


def _unscored(fault: str) -> str:
    return f"the champion could not be scored again: {fault}"


def check_rules(
    challenger: ModelScores, champion: ModelScores, rules: PromoteParams, resampling: Resampling, fault: str = ""
) -> tuple[RuleCheck, ...]:
    """The results of all rules, passed or failed. A value equal to the limit passes.

    ``fault``: why the champion could not be scored again; the note of the rule on LSE-D names it.
    The rules on LSE-D and on the share within one frame are left out if the evaluator cannot judge the clips. A rule
    is also left out if the metric of one model is not recorded.
    """
    checks = [] if challenger.unfit else [_check_gain(challenger, champion, rules.min_lse_d_gain, resampling, fault)]
    checks += _check_bounds(challenger, champion, rules)
    return tuple(checks)


def _check_gain(
    challenger: ModelScores, champion: ModelScores, least: float, resampling: Resampling, fault: str
) -> RuleCheck:
    """The rule ``min_lse_d_gain`` on the differences of the videos that both models have scores of.

    The gain must be at least ``least``, and the interval of the gain must be above 0, or above ``least`` if that is
    negative. Without an interval no gain is shown.
    """
    runs = {"lse_d": {"challenger": [challenger.lse_d_by_video or {}], "champion": [champion.lse_d_by_video or {}]}}
    found = differences(runs, resampling.compare.confidence, resampling.compare.num_resamples, resampling.seed)
    paired = difference(found, "challenger", "champion", "lse_d")
    change = challenger.lse_d - champion.lse_d
    if paired is None:
        shared = len((challenger.lse_d_by_video or {}).keys() & (champion.lse_d_by_video or {}).keys())
        passed = False
        note = f"no interval: both models have scores of {shared} videos, and {MIN_INTERVAL_CLIPS} are required"
        note += f"; {_unscored(fault)}" if fault else ""
    else:
        change, interval = paired.mean, paired.interval
        passed = -change >= least and interval.high < max(0.0, -least)
        name = f"{level(resampling.compare.confidence)} interval of the change"
        note = f"{name} {interval.low:+.4g} to {interval.high:+.4g} over {paired.num_videos} videos"
        note += ", which contains 0" if interval.has_zero else ""
    return RuleCheck("min_lse_d_gain", "LSE-D", champion.lse_d, challenger.lse_d, change, least, passed, note)


def _check_bounds(challenger: ModelScores, champion: ModelScores, rules: PromoteParams) -> Iterator[RuleCheck]:
    """The rules that bound how much worse one metric may be."""

    def at_most(rule: str, metric: str, new: float | None, old: float | None, limit: float) -> Iterator[RuleCheck]:
        if new is not None and old is not None:
            yield RuleCheck(rule, metric, old, new, new - old, limit, new - old <= limit)

    if not challenger.unfit and challenger.within_one_frame is not None and champion.within_one_frame is not None:
        change = challenger.within_one_frame - champion.within_one_frame
        limit = rules.max_within_one_frame_drop
        figures = (champion.within_one_frame, challenger.within_one_frame, change, limit, -change <= limit)
        yield RuleCheck("max_within_one_frame_drop", "share within one frame", *figures)
    yield from at_most("max_fid_increase", "FID", challenger.fid, champion.fid, rules.max_fid_increase)
    jitter = challenger.jitter_ratio, champion.jitter_ratio
    yield from at_most("max_jitter_increase", "jitter / real", *jitter, rules.max_jitter_increase)
    failed = challenger.num_failed, champion.num_failed
    yield from at_most("no_more_failed", "clips without a score", *failed, 0)


def parse_scores(
    metrics: Mapping[str, Any],
    model_digest: str,
    source: str,
    remedy: str = "; run `dvc repro --force --single-item evaluate`",
) -> ModelScores:
    """Metrics of a model from the content of ``evaluate``'s ``metrics.json``, and ``lse_d_by_video`` if it is added.

    ``model_digest``: digest of the model on disk. ``source``: name of the file in error messages. ``remedy``: end of
    the message about a metric that is not finite. Raises UserError if a metric is missing or not finite, or if the
    metrics are of another model.
    """
    evaluation = metrics.get("protocol", {})
    absent = [key for key in ("lse_d", "lse_c", "fid", "generator_sha256") if key not in metrics]
    absent += [] if "sha256" in evaluation else ["protocol.sha256"]
    if absent:
        raise UserError(
            f"{source} lacks {', '.join(absent)}, which the gate compares; run `dvc repro` to evaluate the model again"
        )
    figures = {key: metrics[key] for key in ("lse_d", "lse_c", "fid")}
    unusable = {k: v for k, v in figures.items() if not isinstance(v, int | float) or not math.isfinite(v)}
    if unusable:
        values = ", ".join(f"{key} is {value}" for key, value in unusable.items())
        raise UserError(f"{source}: {values}, but the gate needs finite numbers{remedy}")
    fitness = metrics.get("fitness", {})
    scored = metrics["generator_sha256"]
    if scored != model_digest:
        raise UserError(
            f"{source} is of model {scored[:12]}, but the model on disk is {model_digest[:12]}; run `dvc repro`"
        )
    return ModelScores(
        model_digest,
        float(figures["lse_d"]),
        float(figures["lse_c"]),
        float(figures["fid"]),
        evaluation,
        metrics.get("num_clips"),
        metrics.get("num_failed"),
        metrics.get("within_one_frame"),
        metrics.get("jitter_ratio"),
        fitness["text"] if fitness.get("is_fit") is False else "",
        metrics.get("lse_d_by_video"),
    )
