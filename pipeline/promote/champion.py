"""Compares the newly trained model with the champion under one evaluation and moves the registry's aliases."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, TypeVar

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
from pipeline.promote.version_files import RegistryError

logger = logging.getLogger(__name__)

T = TypeVar("T")
ScoreModel = Callable[[Layout, Params, Path], dict[str, Any]]
"""(layout, params, folder of a generator) -> the metrics that ``evaluate`` would write for it now, with LSE-D by video
as ``lse_d_by_video``."""


def score_registered(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
    """Run the current evaluation on the generator in ``folder`` and return its metrics."""
    from pipeline.evaluation.bounds import with_fitness_of_bounds
    from pipeline.evaluation.clip_rows import clips_csv
    from pipeline.evaluation.setup import Evaluation

    row = Evaluation.open(layout, params).score_row("champion", folder)
    return with_fitness_of_bounds(layout, row.metrics) | {
        "lse_d_by_video": lse_d_by_video(clips_csv(row.score), "the champion's scores")
    }


def lse_d_by_video(clips_csv: str, source: str) -> dict[str, float]:
    """LSE-D by video from the content of a ``clips.csv``. Raises DataError for text in another format."""
    return scores_by_video(clip_scores(clips_csv, source), "lse_d")


def read_scores(layout: Layout, variant: str) -> ModelScores:
    """The metrics that ``evaluate`` wrote for the variant's model.

    Raises UserError if the model or its metrics are missing or damaged, or if the metrics are of another model.
    """
    from pipeline.evaluation.bounds import with_fitness_of_bounds
    from pipeline.inference.saved_model import model_sha256

    metrics_path = layout.metrics_path("evaluate", variant)
    model_dir = layout.model_dir("train_gan", variant)
    clips_path = metrics_path.with_name("clips.csv")
    if missing := [path for path in (metrics_path, clips_path, model_dir) if not path.exists()]:
        raise UserError(f"{missing[0]} does not exist; `dvc repro evaluate@{variant}` creates it")
    by_video = lse_d_by_video(clips_path.read_text(), str(clips_path))
    metrics = with_fitness_of_bounds(layout, read_json(metrics_path)) | {"lse_d_by_video": by_video}
    return parse_scores(metrics, model_sha256(model_dir), str(metrics_path))


def promote(
    layout: Layout, variant: str, params: Params, *, force: bool = False, score_again: ScoreModel = score_registered
) -> dict[str, Any]:
    """Compare the variant's model with the champion, move the aliases, write and return the decision.

    A champion with metrics of another evaluation, or without LSE-D by video, is scored again first. ``force`` promotes
    the challenger even if a rule fails or the champion's files cannot be read; the decision records this. A second call
    with the same model leaves the registry unchanged and writes its own decision. Raises RegistryError, the errors of
    ``read_scores`` and ``require_variant``, and TemporaryError if another process changes the champion meanwhile.
    """
    params.require_variant(variant)
    challenger = read_scores(layout, variant)
    with open_registry(layout) as registry:
        before = registry.state()
        champion_version = registry.aliases().get("champion")
        champion, num_known, rescoring = None, None, None
        if champion_version:
            champion = registry.scores(champion_version)
            by_video = _read_unless_forced(partial(registry.lse_d_by_video, champion_version, champion), force)
            champion = replace(champion, lse_d_by_video=by_video)
            num_known = _read_unless_forced(partial(_num_known_clips, registry, champion_version, layout), force)
            if cause := _cause_of_rescoring(champion, challenger):
                logger.info("the champion, version %s, is scored again: %s", champion_version, cause)
                champion, fault = _score_champion(
                    registry, champion_version, champion, challenger, layout, params, score_again
                )
                rescoring = {"cause": cause, "fault": fault}
        fault = rescoring["fault"] if rescoring else ""
        verdict = decide(challenger, champion, params.promote, Resampling(params.compare, params.seed), variant, fault)
        if force and verdict.outcome in ("refused", "not_comparable"):
            verdict = GateDecision("promoted", f"forced; without --force: {verdict.reason}", verdict.rules)
        folder = layout.model_dir("train_gan", variant)
        version = registry.register(layout, folder, variant, challenger, params, _trained_on(layout, folder))
        if verdict.outcome == "promoted":  # an interruption must not leave the former champion's
            layout.champion_manifest_path.unlink(missing_ok=True)
        registry.move_aliases(version, champion_version, verdict.outcome)
        decision = {
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "forced": force,
            "rules": [asdict(check) for check in verdict.rules],
            "variant": variant,
            "challenger": _described(challenger, version),
            "champion": _described_champion(champion, champion_version, num_known),
            "rescoring": rescoring,
            "aliases": registry.aliases(),
            "registered_model": REGISTERED_NAME,
            "is_registry_changed": registry.state() != before,
        }
    if verdict.outcome in ("promoted", "already_champion"):
        _keep_manifest(layout)
    atomic.write_json(layout.decision_path, decision)
    return decision


def _read_unless_forced(read: Callable[[], T], force: bool) -> T | None:
    """``read()``. With ``force`` an artifact store that cannot be read is a warning, and the result None."""
    try:
        return read()
    except RegistryError as error:
        if not force:
            raise
        logger.warning("%s; --force goes on without it", error)
        return None


def _cause_of_rescoring(champion: ModelScores, challenger: ModelScores) -> str:
    """Why the champion has to be scored again before the comparison; empty if it has not."""
    if champion.model_sha256 == challenger.model_sha256:
        return ""
    if champion.evaluation_digest != challenger.evaluation_digest:
        return "it had been scored under another evaluation"
    return "its scores by video were missing" if champion.lse_d_by_video is None else ""


def _keep_manifest(layout: Layout) -> None:
    """Keep the list of clips of the champion's promotion, unless there is one: `promote` removes that of another."""
    if layout.manifest_path.is_file() and not layout.champion_manifest_path.exists():
        atomic.write_bytes(layout.champion_manifest_path, layout.manifest_path.read_bytes())


def _score_champion(
    registry: Registry,
    version: str,
    champion: ModelScores,
    challenger: ModelScores,
    layout: Layout,
    params: Params,
    score_again: ScoreModel,
) -> tuple[ModelScores, str]:
    """Score the champion with the current evaluation and store the metrics in its version's tags.

    Returns the new metrics and "", or the known ones and why it could not be scored.
    """
    try:
        with registry.files(version) as folder:
            metrics = score_again(layout, params, folder)
            scores = parse_scores(metrics, champion.model_sha256, f"version {version}", remedy="")
    except LipsmithError as error:  # a model of incompatible code, missing files
        return champion, str(error)
    if scores.evaluation_digest != challenger.evaluation_digest:
        crops = [scored.evaluation.get("crop", UNNAMED_GEOMETRY) for scored in (scores, challenger)]
        if crops[0] != crops[1]:
            return champion, f"its face crops have the geometry {crops[0]}, the challenger's {crops[1]}"
        sizes = [scored.evaluation.get("crop_px", FACE_SIZE_PX) for scored in (scores, challenger)]
        if sizes[0] != sizes[1]:
            return champion, f"its face crops are cut at {sizes[0]} px, the challenger's at {sizes[1]} px"
        return champion, "clips or settings changed after the challenger was scored; run `dvc repro`"
    registry.set_scores(version, scores)
    return scores, ""


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
