"""The model registry: register the newly trained model and, where the gate lets it through, make it the champion.

python -m pipeline.promote --variant lstm_cbam

The registered model is ``lipsmith-generator``; a version is plain files (safetensors and JSON) of an MLflow run.
Aliases: ``champion``; ``previous``, the champion before it; ``challenger``, the last one that was not let through.
"""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import atomic
from pipeline.gate import Outcome, Scores, Verdict, judge, parse_scores
from pipeline.layout import Layout, find_root
from pipeline.params import Params, load_params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

logger = logging.getLogger(__name__)

REGISTERED_NAME = "lipsmith-generator"
EXIT_USER_ERROR = 2


def read_scores(layout: Layout, variant: str) -> Scores:
    """The variant's model and its ``evaluate`` figures as they lie on disk.

    Raises FileNotFoundError where one is missing and ValueError where they do not belong together.
    """
    from pipeline.checkpoint import model_sha256

    metrics_path = layout.metrics_path("evaluate", variant)
    model_dir = model_folder(layout, variant)
    if not metrics_path.is_file() or not model_dir.is_dir():
        missing = model_dir if metrics_path.is_file() else metrics_path
        raise FileNotFoundError(f"{missing} does not exist; `dvc repro evaluate@{variant}` makes it")
    return parse_scores(json.loads(metrics_path.read_text()), model_sha256(model_dir), str(metrics_path))


def model_folder(layout: Layout, variant: str) -> Path:
    return layout.stage_dir("train_gan", variant) / "model"


def promote(layout: Layout, variant: str, params: Params, *, force: bool = False) -> dict[str, Any]:
    """Judge the variant's model against the champion, move the aliases, write and return the decision.

    ``force`` lets it through whatever the verdict, which the decision records. Asking twice changes nothing.
    """
    from pipeline.tracking import open_client

    params.require_variant(variant)
    challenger = read_scores(layout, variant)
    registry = Registry(open_client(layout))
    before = registry.state()
    champion_version = registry.aliased("champion")
    champion = scores_of(champion_version.tags) if champion_version else None
    verdict = judge(challenger, champion, params.promote, variant)
    if force and verdict.outcome in ("refused", "not_comparable"):
        verdict = Verdict("promoted", f"forced; without --force: {verdict.reason}", verdict.rules)
    version = registry.register(layout, variant, challenger, params)
    registry.move_aliases(version, champion_version and str(champion_version.version), verdict.outcome)
    decision = {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        "forced": force,
        "rules": [asdict(check) for check in verdict.rules],
        "variant": variant,
        "challenger": _described(challenger) | {"version": version},
        "champion": champion and champion_version and _described(champion) | {"version": str(champion_version.version)},
        "aliases": registry.aliases(),
        "registered_model": REGISTERED_NAME,
        "is_registry_changed": registry.state() != before,
    }
    atomic.write_json(layout.stage_dir("promote") / "decision.json", decision)
    return decision


class Registry:
    """The versions and aliases of ``lipsmith-generator``."""

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def state(self) -> dict[str, Any]:
        """Aliases and every version's tags: equal before and after means nothing changed."""
        return {"aliases": self.aliases(), "tags": {v.version: dict(v.tags) for v in self._versions()}}

    def aliases(self) -> dict[str, str]:
        """Alias -> version."""
        found = self._client.search_registered_models(f"name = '{REGISTERED_NAME}'")
        return {alias: str(version) for alias, version in found[0].aliases.items()} if found else {}

    def aliased(self, alias: str) -> ModelVersion | None:
        version = self.aliases().get(alias)
        return self._client.get_model_version(REGISTERED_NAME, version) if version else None

    def register(self, layout: Layout, variant: str, scores: Scores, params: Params) -> str:
        """The version of this model, made on first sight; its tags get the latest figures."""
        known = [v for v in self._versions() if v.tags.get("model_sha256") == scores.model_sha256]
        version = str(known[0].version) if known else self._create(layout, variant, scores, params)
        for name, value in _tags(variant, scores).items():
            self._client.set_model_version_tag(REGISTERED_NAME, version, name, value)
        return version

    def move_aliases(self, version: str, champion: str | None, outcome: Outcome) -> None:
        """``previous`` is set before ``champion``: a crash between the two leaves the old champion in place."""
        set_alias = self._client.set_registered_model_alias
        aliases = self.aliases()
        if outcome == "promoted":
            if champion:
                set_alias(REGISTERED_NAME, "previous", champion)
            set_alias(REGISTERED_NAME, "champion", version)
        if outcome in ("refused", "not_comparable"):
            set_alias(REGISTERED_NAME, "challenger", version)
        elif "challenger" in aliases:
            self._client.delete_registered_model_alias(REGISTERED_NAME, "challenger")

    def _versions(self) -> list[ModelVersion]:
        return list(self._client.search_model_versions(f"name = '{REGISTERED_NAME}'"))

    def _create(self, layout: Layout, variant: str, scores: Scores, params: Params) -> str:
        if not self._client.search_registered_models(f"name = '{REGISTERED_NAME}'"):
            self._client.create_registered_model(REGISTERED_NAME)
        run_id = self._run_of(layout, variant, params)
        folder = f"generator/{scores.model_sha256[:12]}"
        self._client.log_artifacts(run_id, str(model_folder(layout, variant)), folder)
        source = f"{self._client.get_run(run_id).info.artifact_uri}/{folder}"
        made = self._client.create_model_version(REGISTERED_NAME, source=source, run_id=run_id)
        return str(made.version)

    def _run_of(self, layout: Layout, variant: str, params: Params) -> str:
        """The run that trained the model, or a new one where training was not tracked."""
        from pipeline.tracking import experiment_id, run_key

        experiment = experiment_id(self._client, layout, params.dataset.source)
        key = run_key(layout, "evaluate", variant, "")
        found = self._client.search_runs([experiment], f"tags.`lipsmith.run_key` = '{key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        run_id = str(self._client.create_run(experiment, run_name=f"promote-{variant}").info.run_id)
        self._client.set_terminated(run_id)
        return run_id


def scores_of(tags: Mapping[str, str]) -> Scores:
    """The figures that a registered version carries."""
    return Scores(
        model_sha256=tags["model_sha256"],
        lse_d=float(tags["lse_d"]),
        lse_c=float(tags["lse_c"]),
        fid=float(tags["fid"]),
        evaluation=json.loads(tags["evaluation"]),
    )


def _tags(variant: str, scores: Scores) -> dict[str, str]:
    return {
        "variant": variant,
        "model_sha256": scores.model_sha256,
        "lse_d": repr(scores.lse_d),
        "lse_c": repr(scores.lse_c),
        "fid": repr(scores.fid),
        "evaluation": json.dumps(scores.evaluation, sort_keys=True),
        "evaluation_digest": scores.evaluation_digest,
    }


def _described(scores: Scores) -> dict[str, Any]:
    """For the decision; the evaluation is named by its digest."""
    described = asdict(scores) | {"evaluation_digest": scores.evaluation_digest}
    del described["evaluation"]
    return described


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m pipeline.promote", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--variant", help="default: promote.variant of params.yaml")
    parser.add_argument("--root", type=Path, help="the checkout (default: around the working directory)")
    parser.add_argument("--force", action="store_true", help="let it through whatever the rules say")
    arguments = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    for noisy in ("alembic", "mlflow"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        layout = Layout(find_root(arguments.root))
        params = load_params(layout.params_path)
        decision = promote(layout, arguments.variant or params.promote.variant, params, force=arguments.force)
    except (ValueError, FileNotFoundError) as error:
        logger.error("%s", error)
        return EXIT_USER_ERROR
    logger.info("%s: %s", decision["outcome"], decision["reason"])
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
