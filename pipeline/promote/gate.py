"""The promotion rules that compare a challenger with the champion: pure functions of both models' metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.core.errors import UserError
from pipeline.params import PromoteParams

GateOutcome = Literal["promoted", "refused", "not_comparable", "already_champion"]


@dataclass(frozen=True)
class ModelScores:
    """One model's metrics under one evaluation.

    ``evaluation`` describes everything besides the model that affects the metrics; its key ``sha256`` is the digest.
    ``num_clips`` and ``num_failed`` count the clips with and without a score. They are None for versions that were
    registered without these counts.
    """

    model_sha256: str
    lse_d: float
    lse_c: float
    fid: float
    evaluation: Mapping[str, Any]
    num_clips: int | None = None
    num_failed: int | None = None

    @property
    def evaluation_digest(self) -> str:
        """Digest of the evaluation. Only metrics with equal digests may be compared."""
        return str(self.evaluation["sha256"])


@dataclass(frozen=True)
class RuleCheck:
    """The result of one rule. ``change`` is the challenger's value minus the champion's.

    The rules are those of ``params.yaml: promote`` and ``no_more_failed``: a mean over fewer clips is not an
    improvement.
    """

    rule: str
    metric: str
    champion: float
    challenger: float
    change: float
    limit: float
    passed: bool

    def __str__(self) -> str:
        verdict = "passed" if self.passed else "failed"
        return (
            f"{self.rule} {verdict}: {self.metric} {self.challenger:.4g} against the champion's "
            f"{self.champion:.4g} ({self.change:+.4g}), limit {self.limit:.4g}"
        )


@dataclass(frozen=True)
class GateDecision:
    outcome: GateOutcome
    reason: str
    rules: tuple[RuleCheck, ...] = ()


def decide(
    challenger: ModelScores, champion: ModelScores | None, rules: PromoteParams, variant: str, fault: str = ""
) -> GateDecision:
    """Apply the rules and return the decision. Lower LSE-D and lower FID are better.

    Without a champion the challenger is promoted. Metrics of different evaluations are not compared; the reason then
    names ``variant``, the challenger's variant, and ``fault``, why the champion could not be scored again.
    """
    if champion is None:
        return GateDecision("promoted", "there was no champion")
    if challenger.model_sha256 == champion.model_sha256:
        return GateDecision("already_champion", "the champion is this model")
    if challenger.evaluation_digest != champion.evaluation_digest:
        differing = ", ".join(differing_settings(challenger.evaluation, champion.evaluation))
        return GateDecision(
            "not_comparable",
            f"champion and challenger were scored under different evaluations (differing: {differing}), so their "
            "metrics cannot be compared"
            + (f"; the champion could not be scored again: {fault}" if fault else "")
            + f". To promote the challenger anyway: `python -m pipeline.promote --variant {variant} --force`",
        )
    checks = check_rules(challenger, champion, rules)
    failed = [check for check in checks if not check.passed]
    if failed:
        return GateDecision("refused", "; ".join(map(str, failed)), checks)
    return GateDecision("promoted", "; ".join(map(str, checks)), checks)


def check_rules(challenger: ModelScores, champion: ModelScores, rules: PromoteParams) -> tuple[RuleCheck, ...]:
    """The results of all rules, passed or failed. A value equal to the limit passes.

    ``no_more_failed`` is included if both models have the count.
    """
    lse_d_change = challenger.lse_d - champion.lse_d
    fid_change = challenger.fid - champion.fid
    lse_d = ("LSE-D", champion.lse_d, challenger.lse_d, lse_d_change)
    fid = ("FID", champion.fid, challenger.fid, fid_change)
    return (
        RuleCheck("min_lse_d_gain", *lse_d, rules.min_lse_d_gain, -lse_d_change >= rules.min_lse_d_gain),
        RuleCheck("max_fid_increase", *fid, rules.max_fid_increase, fid_change <= rules.max_fid_increase),
        *_check_failed(challenger.num_failed, champion.num_failed),
    )


def _check_failed(challenger: int | None, champion: int | None) -> tuple[RuleCheck, ...]:
    if challenger is None or champion is None:
        return ()
    more = challenger - champion
    return (RuleCheck("no_more_failed", "clips without a score", champion, challenger, more, 0, more <= 0),)


def parse_scores(
    metrics: Mapping[str, Any],
    model_digest: str,
    source: str,
    remedy: str = "; run `dvc repro --force --single-item evaluate`",
) -> ModelScores:
    """Metrics of a model from the content of ``evaluate``'s ``metrics.json``.

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
    )


def differing_settings(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[str]:
    """Sorted keys whose values differ between two descriptions of an evaluation, without ``sha256``."""
    keys = sorted({*one, *other} - {"sha256"})
    return [key for key in keys if one.get(key) != other.get(key)]
