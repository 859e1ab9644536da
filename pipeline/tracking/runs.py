"""Identities of MLflow runs: which run a stage logs to, its tags, and its parent.

A comparison is one parent run for each state of commit, data and parameters. Its children are the variants and the rows
without a network. Training and evaluation of a variant share a child. The other stages are children of a second parent,
so that the variants stand together.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.core.artifacts import read_json
from pipeline.core.choices import BOUNDS
from pipeline.core.git import git_output
from pipeline.core.layout import Layout
from pipeline.core.locks import locked
from pipeline.core.model_files import MODEL_NAME
from pipeline.params import Params

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

KEY_TAG = "lipsmith.run_key"
PARENT_TAG = "mlflow.parentRunId"
MODEL_TAG = "model_sha256"
"""Tag of the run of a training: digest of the weights that it saved."""
_NO_RESULT = ("compare", "promote", "drift", "share", "weights", "runtime")
"""Sections of ``params.yaml`` that change no score, and therefore no comparison's identity."""


@dataclass(frozen=True)
class RunIdentity:
    """A run as it is found again: ``key`` is the value of the tag ``lipsmith.run_key``, unique below ``parent``."""

    key: str
    name: str
    tags: Mapping[str, str]
    parent: RunIdentity | None = None


def identity_of(layout: Layout, stage: str, variant: str | None, params: Params, fingerprint: str) -> RunIdentity:
    """The identity of a stage's run. The run of the stage ``compare`` is the parent of the variants' runs."""
    tags = {**state_tags(layout, params), **_stage_tags(stage, variant, params)}
    parent = _parent(layout, params, tags, is_comparison=variant is not None or stage == "compare")
    if stage == "compare":
        return parent
    return RunIdentity(run_key(layout, stage, variant, fingerprint), variant or stage, tags, parent)


def run_key(layout: Layout, stage: str, variant: str | None, fingerprint: str) -> str:
    """Key of a run: the stage's computation, or for an evaluation the training of the model that it scores."""
    if stage == "evaluate" and variant:
        model = layout.model_dir("train_gan", variant) / MODEL_NAME
        if model.is_file():
            trained = read_json(model)["info"].get("fingerprint")
            if trained:
                return f"train_gan:{variant}:{trained}"
    return f"{stage}:{variant or ''}:{fingerprint}"


def find_run(client: MlflowClient, experiment: str, key: str) -> str | None:
    """Id of the latest run with this key; None if there is none."""
    found = _with_key(client, experiment, key)
    return str(found[0].info.run_id) if found else None


def find_training(client: MlflowClient, experiment: str, key: str, model_sha256: str) -> str | None:
    """Id of the run that trained the model with this digest; None if the training was not tracked.

    Runs of earlier releases lack the digest. Of these, the latest run with ``key`` that a training created is taken;
    runs of later evaluations have the same key.
    """
    newest = ["attributes.start_time DESC"]
    tagged = client.search_runs([experiment], f"tags.`{MODEL_TAG}` = '{model_sha256}'", order_by=newest)
    older = [
        run
        for run in _with_key(client, experiment, key)
        if run.data.tags.get("stage") == "train_gan" and MODEL_TAG not in run.data.tags
    ]
    return next((str(run.info.run_id) for run in [*tagged, *older]), None)


def identity_from(described: Mapping[str, Any]) -> RunIdentity:
    """The identity that ``dataclasses.asdict`` made a mapping of. Further keys are ignored."""
    parent = described["parent"]
    return RunIdentity(described["key"], described["name"], described["tags"], parent and identity_from(parent))


def open_run(
    client: MlflowClient, experiment: str, identity: RunIdentity, layout: Layout, start_ms: int | None = None
) -> tuple[str, str | None]:
    """Ids of the run and of its parent. Each is created if it is missing, and set to RUNNING.

    ``start_ms``: start of a created run, in milliseconds since 1970; None is now.

    A run below another parent is used only if it never finished: a training that resumes after a commit continues its
    run. One process of a checkout at a time looks for a parent, so that processes do not create it twice.
    """
    parent = None
    if identity.parent:
        with locked(Layout(layout.home).scratch_dir / "mlflow-parent.lock", "opening a parent run in MLflow"):
            parent, _ = open_run(client, experiment, identity.parent, layout, start_ms)
    found = _with_key(client, experiment, identity.key)
    below = [run for run in found if run.data.tags.get(PARENT_TAG) == parent]
    unfinished = [run for run in found if run.info.status != "FINISHED"]
    for run in [*below, *unfinished]:
        run_id = str(run.info.run_id)
        client.update_run(run_id, status="RUNNING")
        return run_id, run.data.tags.get(PARENT_TAG)
    tags = {**identity.tags, KEY_TAG: identity.key, **({PARENT_TAG: parent} if parent else {})}
    created = client.create_run(experiment, start_time=start_ms, tags=tags, run_name=identity.name)
    return str(created.info.run_id), parent


def status_of_children(client: MlflowClient, parent: str) -> str:
    """Status of a parent run: the worst one of its children, or "" while one of them runs."""
    experiment = str(client.get_run(parent).info.experiment_id)
    found: set[str] = set()
    page: str | None = None
    while page is None or page:
        runs = client.search_runs([experiment], f"tags.`{PARENT_TAG}` = '{parent}'", page_token=page)
        found |= {run.info.status for run in runs}
        page = runs.token or ""
    if found & {"RUNNING", "SCHEDULED"}:
        return ""
    return next((status for status in ("FAILED", "KILLED") if status in found), "FINISHED")


def _with_key(client: MlflowClient, experiment: str, key: str) -> list[Run]:
    """All runs with this key, the latest first."""
    found = client.search_runs([experiment], f"tags.`{KEY_TAG}` = '{key}'", order_by=["attributes.start_time DESC"])
    return list(found)


def _parent(layout: Layout, params: Params, tags: Mapping[str, str], *, is_comparison: bool) -> RunIdentity:
    """The comparison or, for the other stages, the run ``auxiliary`` of the same state.

    The data are the result of auxiliary stages and are no part of that run's key.
    """
    commit, settings = tags.get("git_commit", "")[:7] or "no-commit", tags["params_sha256"][:6]
    kind = "comparison" if is_comparison else "auxiliary"
    data = tags.get("data_sha256", "")[:12] if is_comparison else ""
    shared = {name: value for name, value in tags.items() if name not in ("stage", "variant", "seed", "kind")}
    return RunIdentity(
        key=f"{kind}:{commit}:{data}:{tags['params_sha256'][:16]}",
        name=f"{kind}-{commit}-{settings}",
        tags={**shared, "kind": kind},
    )


def _stage_tags(stage: str, variant: str | None, params: Params) -> dict[str, str]:
    """``kind`` is what the run holds: a variant, a row without a network (bound), or an auxiliary stage."""
    own_seed = params.variants[variant].seed if variant in params.variants else None
    kind = "auxiliary" if variant is None else "bound" if variant in BOUNDS else "variant"
    return {
        "variant": variant or stage,
        "stage": stage,
        "kind": kind,
        "seed": str(params.seed if own_seed is None else own_seed),
    }


def state_tags(layout: Layout, params: Params) -> dict[str, str]:
    """The state that a run belongs to: commit, data, parameters, and the machine."""
    commit = git_output(layout.root, "rev-parse", "HEAD")
    tags = {
        "profile": params.profile,
        "host": platform.node(),
        "device": params.runtime.device,
        "git_commit": commit,
        "git_dirty": str(bool(git_output(layout.root, "status", "--porcelain"))).lower(),
        "dvc_lock_sha256": _sha256(layout.root / "dvc.lock"),
        "data_sha256": _sha256(layout.clips_dir / "index.parquet"),
        "params_sha256": params_sha256(params),
        "mlflow.user": _user(),
        "mlflow.source.name": "lipsmith",
        "mlflow.source.type": "PROJECT",
        "mlflow.source.git.commit": commit,
    }
    return {name: value for name, value in tags.items() if value}


def params_sha256(params: Params) -> str:
    """Hex SHA-256 of the parameters that can change a score."""
    plain: dict[str, Any] = params.model_dump(mode="json")
    content = {name: section for name, section in plain.items() if name not in _NO_RESULT}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no entry for this user id, as in some containers
        return ""


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else ""
