"""The newly trained model against the champion: score both alike, judge, move the aliases of the model registry."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from pipeline.core import atomic
from pipeline.core.artifacts import read_json
from pipeline.core.command_line import run_command
from pipeline.core.errors import LipsmithError, UserError, exit_code_of
from pipeline.core.layout import Layout, find_root
from pipeline.core.logs import log_to_stderr, wants_tracebacks
from pipeline.params import Params, load_params
from pipeline.promote.gate import GateDecision, ModelScores, judge, parse_scores
from pipeline.promote.registry import REGISTERED_NAME, Registry, open_registry

logger = logging.getLogger(__name__)

ScoreModel = Callable[[Layout, Params, Path], dict[str, Any]]
"""A folder with a generator -> what ``evaluate`` would write into its ``metrics.json`` today."""


@dataclass(frozen=True)
class Rescoring:
    """The champion under today's evaluation, or why there are no such figures."""

    scores: ModelScores
    fault: str = ""


def score_registered(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
    """Run today's evaluation on the generator in a folder."""
    from pipeline.evaluation.judges import Evaluation

    return Evaluation.open(layout, params).score_model("champion", folder)


def read_scores(layout: Layout, variant: str) -> ModelScores:
    """The variant's model and its ``evaluate`` figures as they lie on disk.

    Raises UserError where one is missing or damaged, and where they do not belong together.
    """
    from pipeline.inference.saved_model import model_sha256

    metrics_path = layout.metrics_path("evaluate", variant)
    model_dir = model_folder(layout, variant)
    if not metrics_path.is_file() or not model_dir.is_dir():
        missing = model_dir if metrics_path.is_file() else metrics_path
        raise UserError(f"{missing} does not exist; `dvc repro evaluate@{variant}` makes it")
    return parse_scores(read_json(metrics_path), model_sha256(model_dir), str(metrics_path))


def model_folder(layout: Layout, variant: str) -> Path:
    return layout.stage_dir("train_gan", variant) / "model"


def promote(
    layout: Layout, variant: str, params: Params, *, force: bool = False, score_again: ScoreModel = score_registered
) -> dict[str, Any]:
    """Judge the variant's model against the champion, move the aliases, write and return the decision.

    A champion that was scored differently is scored again first. ``force`` lets the challenger through whatever the
    verdict, which the decision records. Asking twice changes nothing. Raises RegistryError, and as ``read_scores``.
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
        verdict = judge(challenger, champion, params.promote, variant, fault)
        if force and verdict.outcome in ("refused", "not_comparable"):
            verdict = GateDecision("promoted", f"forced; without --force: {verdict.reason}", verdict.rules)
        folder = model_folder(layout, variant)
        version = registry.register(layout, folder, variant, challenger, params, _trained_on(layout, folder))
        registry.move_aliases(version, champion_version, verdict.outcome)
        decision = {
            "outcome": verdict.outcome,
            "reason": verdict.reason,
            "forced": force,
            "rules": [asdict(check) for check in verdict.rules],
            "variant": variant,
            "challenger": _described(challenger, version),
            "champion": champion
            and champion_version
            and _described(champion, champion_version) | {"num_known_clips": num_known},
            "rescoring": rescoring and {"fault": rescoring.fault},
            "aliases": registry.aliases(),
            "registered_model": REGISTERED_NAME,
            "is_registry_changed": registry.state() != before,
        }
    atomic.write_json(layout.stage_dir("promote") / "decision.json", decision)
    return decision


def _needs_rescoring(champion: ModelScores, challenger: ModelScores) -> bool:
    is_other_model = champion.model_sha256 != challenger.model_sha256
    return is_other_model and champion.evaluation_digest != challenger.evaluation_digest


def _score_champion(
    registry: Registry,
    version: str,
    champion: ModelScores,
    challenger: ModelScores,
    layout: Layout,
    params: Params,
    score_again: ScoreModel,
) -> Rescoring:
    """Score the champion as the challenger was and give its version the new figures."""
    logger.info("the champion, version %s, was scored differently: scoring it again", version)
    try:
        with registry.files(version) as folder:
            scores = parse_scores(score_again(layout, params, folder), champion.model_sha256, f"version {version}")
    except LipsmithError as error:  # a model of other code, files that are gone
        return Rescoring(champion, str(error))
    if scores.evaluation_digest != challenger.evaluation_digest:
        return Rescoring(champion, "the files on disk are not those the challenger was scored with; run `dvc repro`")
    registry.set_scores(version, scores)
    return Rescoring(scores)


def _num_known_clips(registry: Registry, version: str, layout: Layout) -> int | None:
    """Held-out clips of today that this version was trained on; None where its list of clips is not there."""
    known = registry.trained_on(version)
    return None if known is None else len(known & _clips_of(layout, "test"))


def _clips_of(layout: Layout, split: str) -> set[str]:
    """Ids of the source clips of a split as the pipeline uses them now; none where nothing has been preprocessed."""
    from pipeline.shards.read import read_index, source_ids

    return source_ids(read_index(layout.clips_dir, split)) if layout.clips_dir.is_dir() else set()


def _trained_on(layout: Layout, folder: Path) -> set[str]:
    """Ids of the clips the model in ``folder`` was trained on; none where they are no longer the training split."""
    from pipeline.core.digest import sha256_of_names

    info = read_json(folder / "model.json")["info"]
    clips = _clips_of(layout, "train")
    return clips if info.get("trained_on_sha256") == sha256_of_names(clips) else set()


def _described(scores: ModelScores, version: str) -> dict[str, Any]:
    """For the decision; the evaluation is named by its digest."""
    described = asdict(scores) | {"evaluation_digest": scores.evaluation_digest, "version": version}
    del described["evaluation"]
    return described


def main(argv: Sequence[str] | None = None) -> int:
    return run_command(_command, argv, "python -m pipeline.promote")


def _command(
    variant: Annotated[
        str | None, typer.Option(help="Variant whose model is the challenger. Default: promote.variant of params.yaml.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="The checkout. Default: the one around the working directory.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Make the challenger the champion whatever the rules say.")
    ] = False,
) -> int:
    """Compare a newly trained model with the champion and move the aliases of the model registry.

    Both are scored alike; the rules of params.yaml, section promote, decide. Exit code 0 whatever they decide, 2 if
    they could not be asked.

    Example: python -m pipeline.promote --variant lstm_cbam
    """
    log_to_stderr()
    try:
        layout = Layout(find_root(root))
        params = load_params(layout.params_path)
        decision = promote(layout, variant or params.promote.variant, params, force=force)
    except (LipsmithError, OSError) as error:
        code = exit_code_of(error)
        if code is None:
            raise
        logger.error("%s", error, exc_info=wants_tracebacks())
        return code
    version = decision["challenger"]["version"]
    logger.info("%s, version %s: %s: %s", decision["variant"], version, decision["outcome"], decision["reason"])
    return 0
