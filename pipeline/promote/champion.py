"""Compares the newly trained model with the champion under one evaluation and moves the registry's aliases."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from models.choices import FACE_SIZE_PX
from pipeline.compare.table import clip_scores, scores_by_video
from pipeline.core import atomic
from pipeline.core.artifacts import read_json
from pipeline.core.choices import UNNAMED_GEOMETRY
from pipeline.core.command_line import RootOption, reported, run_command
from pipeline.core.errors import LipsmithError, UserError
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.core.model_files import MODEL_NAME
from pipeline.params import Params, load_params
from pipeline.promote.gate import GateDecision, ModelScores, Resampling, decide, parse_scores
from pipeline.promote.lineage import REGISTERED_NAME
from pipeline.promote.registry import Registry, open_registry

logger = logging.getLogger(__name__)

ScoreModel = Callable[[Layout, Params, Path], dict[str, Any]]
"""(layout, params, folder of a generator) -> the metrics that ``evaluate`` would write for it now, with LSE-D by video
as ``lse_d_by_video``."""


@dataclass(frozen=True)
class Rescoring:
    """The champion's metrics under the current evaluation. ``fault``: why it could not be scored; empty on success."""

    scores: ModelScores
    fault: str = ""


def score_registered(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
    """Run the current evaluation on the generator in ``folder`` and return its metrics."""
    from pipeline.evaluation.clip_rows import clips_csv
    from pipeline.evaluation.setup import Evaluation

    metrics, score = Evaluation.open(layout, params).score_model("champion", folder)
    return metrics | {"lse_d_by_video": lse_d_by_video(clips_csv(score), "the champion's scores")}


def lse_d_by_video(clips_csv: str, source: str) -> dict[str, float]:
    """LSE-D by video from the content of a ``clips.csv``. Raises DataError for text in another format."""
    return scores_by_video(clip_scores(clips_csv, source), "lse_d")


def read_scores(layout: Layout, variant: str) -> ModelScores:
    """The metrics that ``evaluate`` wrote for the variant's model.

    Raises UserError if the model or its metrics are missing or damaged, or if the metrics are of another model.
    """
    from pipeline.inference.saved_model import model_sha256

    metrics_path = layout.metrics_path("evaluate", variant)
    model_dir = layout.model_dir("train_gan", variant)
    clips_path = metrics_path.with_name("clips.csv")
    if missing := [path for path in (metrics_path, clips_path, model_dir) if not path.exists()]:
        raise UserError(f"{missing[0]} does not exist; `dvc repro evaluate@{variant}` creates it")
    by_video = lse_d_by_video(clips_path.read_text(), str(clips_path))
    metrics = read_json(metrics_path) | {"lse_d_by_video": by_video}
    return parse_scores(metrics, model_sha256(model_dir), str(metrics_path))


def promote(
    layout: Layout, variant: str, params: Params, *, force: bool = False, score_again: ScoreModel = score_registered
) -> dict[str, Any]:
    """Compare the variant's model with the champion, move the aliases, write and return the decision.

    A champion with metrics of another evaluation, or without LSE-D by video, is scored again first. ``force`` promotes
    the challenger even if a rule fails; the decision records this. A second call with the same model leaves the
    registry unchanged and writes its own decision. Raises RegistryError, and the errors of ``read_scores`` and
    ``require_variant``.
    """
    params.require_variant(variant)
    challenger = read_scores(layout, variant)
    with open_registry(layout) as registry:
        before = registry.state()
        champion_version = registry.aliases().get("champion")
        rescoring = None
        champion = registry.scores(champion_version) if champion_version else None
        num_known = _num_known_clips(registry, champion_version, layout) if champion_version else None
        if champion and champion_version and _needs_rescoring(champion, challenger):
            rescoring = _score_champion(registry, champion_version, champion, challenger, layout, params, score_again)
            champion = rescoring.scores
        fault = rescoring.fault if rescoring else ""
        verdict = decide(challenger, champion, params.promote, Resampling(params.compare, params.seed), variant, fault)
        if force and verdict.outcome in ("refused", "not_comparable"):
            verdict = GateDecision("promoted", f"forced; without --force: {verdict.reason}", verdict.rules)
        folder = layout.model_dir("train_gan", variant)
        version = registry.register(layout, folder, variant, challenger, params, _trained_on(layout, folder))
        registry.move_aliases(version, champion_version, verdict.outcome)
        decision = {
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "forced": force,
            "rules": [asdict(check) for check in verdict.rules],
            "variant": variant,
            "challenger": _described(challenger, version),
            "champion": _described_champion(champion, champion_version, num_known),
            "rescoring": rescoring and {"fault": rescoring.fault},
            "aliases": registry.aliases(),
            "registered_model": REGISTERED_NAME,
            "is_registry_changed": registry.state() != before,
        }
    if verdict.outcome == "promoted" and layout.manifest_path.is_file():
        atomic.write_bytes(layout.champion_manifest_path, layout.manifest_path.read_bytes())
    atomic.write_json(layout.decision_path, decision)
    return decision


def _needs_rescoring(champion: ModelScores, challenger: ModelScores) -> bool:
    """Whether the champion has no metrics, or none of every video, under the challenger's evaluation."""
    is_other_model = champion.model_sha256 != challenger.model_sha256
    is_other_evaluation = champion.evaluation_digest != challenger.evaluation_digest
    return is_other_model and (is_other_evaluation or champion.lse_d_by_video is None)


def _score_champion(
    registry: Registry,
    version: str,
    champion: ModelScores,
    challenger: ModelScores,
    layout: Layout,
    params: Params,
    score_again: ScoreModel,
) -> Rescoring:
    """Score the champion with the current evaluation and store the metrics in its version's tags."""
    logger.info("the champion, version %s, has no scores of every video under this evaluation; scoring it", version)
    try:
        with registry.files(version) as folder:
            metrics = score_again(layout, params, folder)
            scores = parse_scores(metrics, champion.model_sha256, f"version {version}", remedy="")
    except LipsmithError as error:  # a model of incompatible code, missing files
        return Rescoring(champion, str(error))
    if scores.evaluation_digest != challenger.evaluation_digest:
        crops = [scored.evaluation.get("crop", UNNAMED_GEOMETRY) for scored in (scores, challenger)]
        if crops[0] != crops[1]:
            return Rescoring(champion, f"its face crops have the geometry {crops[0]}, the challenger's {crops[1]}")
        sizes = [scored.evaluation.get("crop_px", FACE_SIZE_PX) for scored in (scores, challenger)]
        if sizes[0] != sizes[1]:
            return Rescoring(champion, f"its face crops are cut at {sizes[0]} px, the challenger's at {sizes[1]} px")
        return Rescoring(champion, "clips or settings changed after the challenger was scored; run `dvc repro`")
    registry.set_scores(version, scores)
    return Rescoring(scores)


def _num_known_clips(registry: Registry, version: str, layout: Layout) -> int | None:
    """Number of current held-out clips that this version was trained on; None if its clip list is missing."""
    known = registry.trained_on(version)
    return None if known is None else len(known & _clips_of(layout, "test"))


def _clips_of(layout: Layout, split: str) -> set[str]:
    """Ids of the source clips in a split; empty before preprocessing."""
    from pipeline.shards.read import read_index, source_ids

    return source_ids(read_index(layout.clips_dir, split)) if layout.clips_dir.is_dir() else set()


def _trained_on(layout: Layout, folder: Path) -> set[str]:
    """Ids of the clips that the model in ``folder`` was trained on; empty if the training split has changed since."""
    from pipeline.core.digest import sha256_of_names

    info = read_json(folder / MODEL_NAME)["info"]
    clips = _clips_of(layout, "train")
    return clips if info.get("trained_on_sha256") == sha256_of_names(clips) else set()


def _described(scores: ModelScores, version: str) -> dict[str, Any]:
    """A model's entry in the decision. The digest stands for the evaluation's description."""
    described = asdict(scores) | {"evaluation_digest": scores.evaluation_digest, "version": version}
    del described["evaluation"], described["lse_d_by_video"]
    return described


def _described_champion(scores: ModelScores | None, version: str | None, num_known: int | None) -> Any:
    """The champion's entry in the decision; None without a champion or without its scores."""
    if not scores or not version:
        return None
    return _described(scores, version) | {"num_known_clips": num_known}


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m pipeline.promote")


def _command(
    variant: Annotated[
        str | None, typer.Option(help="Variant whose model is the challenger. Default: params.yaml: promote.variant.")
    ] = None,
    root: RootOption = None,
    force: Annotated[bool, typer.Option("--force", help="Promote the challenger even if a rule fails.")] = False,
) -> int:
    """Compare a newly trained model with the champion and move the aliases of the model registry.

    Both models are scored under the same evaluation. The rules are in params.yaml, section promote. Exit code 0 if a
    decision was made, 2 for an invalid argument, setting or file.

    Example: python -m pipeline.promote --variant lstm_cbam
    """
    log_to_stderr()

    def body() -> int:
        layout = Layout(find_root(root))
        params = load_params(layout.params_path)
        decision = promote(layout, variant or params.promote.variant, params, force=force)
        version = decision["challenger"]["version"]
        logger.info("%s, version %s: %s: %s", decision["variant"], version, decision["outcome"], decision["reason"])
        return 0

    return reported(body, lambda error: logger.error("%s", error, exc_info=wants_tracebacks()))
