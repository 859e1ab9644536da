"""Where a registered version comes from: tags and a description on the version, readable in MLflow's page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipeline.core.layout import Layout
from pipeline.params import Params
from pipeline.promote.gate import ModelScores
from pipeline.report.tables import Table
from pipeline.tracking.runs import state_tags
from pipeline.tracking.view import run_address

if TYPE_CHECKING:
    from mlflow import MlflowClient

REGISTERED_NAME = "lipsmith-generator"
LINEAGE = {
    # Tag of a version -> how the description calls it.
    "git_commit": "git commit",
    "git_dirty": "uncommitted changes",
    "dvc_lock_sha256": "SHA-256 of dvc.lock",
    "data_sha256": "SHA-256 of the list of clips",
    "params_sha256": "SHA-256 of the parameters",
    "model_sha256": "SHA-256 of the model",
    "protocol": "protocol of the evaluation",
    "evaluation_digest": "SHA-256 of the evaluation",
    "profile": "profile",
    "seed": "seed",
    "run_id": "run",
}
_OF_CHECKOUT = ("dvc_lock_sha256",)
"""Tags whose value at registration counts: DVC writes the lock file after the training."""
_USE = f"""How to use it, in an environment with lipsmith or with the packages of `requirements.txt`:

    import mlflow
    model = mlflow.pyfunc.load_model("models:/{REGISTERED_NAME}@champion")
    result = model.predict(pandas.DataFrame({{"face": [video_bytes], "audio": [speech_bytes]}}))
    result["video"][0]  # content of an MP4 file

Champion and previous champion: `python -m pipeline models list`.
"""


def describe_version(client: MlflowClient, version: str, layout: Layout, scores: ModelScores, params: Params) -> None:
    """Set tags and description of a version: commit, data, parameters, evaluation and run.

    They are those of the run that trained the model; without such a run, those of the checkout.
    """
    found = client.get_model_version(REGISTERED_NAME, version)
    here = state_tags(layout, params)
    trained, run = _run_tags(client, str(found.run_id or ""))
    lineage = {name: trained.get(name) or here.get(name, "") for name in LINEAGE}
    lineage |= {name: here[name] for name in _OF_CHECKOUT if name in here}
    lineage |= {
        "model_sha256": scores.model_sha256,
        "protocol": str(scores.evaluation.get("id", "")),
        "evaluation_digest": scores.evaluation_digest,
        "run_id": str(found.run_id or ""),
    }
    lineage = {name: value for name, value in lineage.items() if value}
    for name, value in lineage.items():
        client.set_model_version_tag(REGISTERED_NAME, version, name, value)
    variant = str(found.tags.get("variant", ""))
    client.update_model_version(REGISTERED_NAME, version, version_note(variant, scores, lineage, run))
    client.update_registered_model(REGISTERED_NAME, f"Generators that passed or failed the gate. {_USE}")


def version_note(variant: str, scores: ModelScores, lineage: Mapping[str, str], run: str) -> str:
    """The description of a version. Markdown. ``run``: address of its run; empty if the run is gone."""
    cells = [
        [name, f"[{lineage[tag]}]({run})" if tag == "run_id" and run else f"`{lineage[tag]}`"]
        for tag, name in LINEAGE.items()
        if tag in lineage
    ]
    origin = Table(["", ""], cells, num_text=2).markdown()
    lse = "" if scores.unfit else f"LSE-D {scores.lse_d:.3f}, LSE-C {scores.lse_c:.3f}, "
    shown = f"{lse}FID {scores.fid:.2f}"
    return f"Variant {variant}: {shown}.\n\n{origin}\n"


def _run_tags(client: MlflowClient, run_id: str) -> tuple[Mapping[str, str], str]:
    """Tags and address of a run; empty if it is gone."""
    from mlflow.exceptions import MlflowException

    if not run_id:
        return {}, ""
    try:
        run = client.get_run(run_id)
    except MlflowException:
        return {}, ""
    return run.data.tags, run_address(str(run.info.experiment_id), run_id)
