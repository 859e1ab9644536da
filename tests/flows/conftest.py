"""Small DVC repositories with real stages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from tests.support.prefect_database import empty_prefect_database

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def _no_inherited_dvc_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove DVC's variables, which are set if the tests run inside a DVC stage."""
    for name in [name for name in os.environ if name.startswith("DVC_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def own_git_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of the machine: no identity, no hooks."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    for name in ("GIT_AUTHOR_NAME", "GIT_AUTHOR_EMAIL", "GIT_COMMITTER_NAME", "GIT_COMMITTER_EMAIL", "EMAIL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def empty_repo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `dvc init` makes, to be copied: the command takes a second."""
    root = tmp_path_factory.mktemp("dvc")
    subprocess.run([sys.executable, "-m", "dvc", "init", "--no-scm", "-q"], cwd=root, check=True)
    (root / ".dvc" / "config").write_text(
        "[core]\n    analytics = false\n    check_update = false\n    no_scm = true\n"
    )
    return root


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a Prefect server without runs."""
    base = tmp_path_factory.getbasetemp()
    return empty_prefect_database(base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)


@pytest.fixture
def prefect_home(tmp_path: Path, empty_database: Path) -> Path:
    """A PREFECT_HOME with a database, so that the server need not make one."""
    home = tmp_path / "prefect-home"
    home.mkdir()
    shutil.copy(empty_database, home)
    return home


def _init(root: Path, dvc_yaml: str, empty_repo: Path) -> Path:
    shutil.copytree(empty_repo, root)
    (root / "dvc.yaml").write_text(dedent(dvc_yaml))
    return root


@pytest.fixture
def tiny_repo(tmp_path: Path, empty_repo: Path) -> Path:
    """``prepare -> train@a, train@b -> compare``, each a shell command."""
    root = _init(
        tmp_path / "tiny",
        """
        stages:
          prepare:
            cmd: cat in.txt > prepared.txt
            deps: [in.txt]
            params: [seed]
            outs: [prepared.txt]
          train:
            foreach: ${variants}
            do:
              cmd: mkdir -p models && cat prepared.txt > models/${key}.txt && echo ${item.width} >> models/${key}.txt
              deps: [prepared.txt]
              params: ["variants.${key}"]
              outs: ["models/${key}.txt"]
          compare:
            cmd: cat models/a.txt models/b.txt > compared.txt
            deps: [models/a.txt, models/b.txt]
            outs: [compared.txt]
        """,
        empty_repo,
    )
    (root / "params.yaml").write_text("seed: 1\nvariants: {a: {width: 1}, b: {width: 2}}\n")
    (root / "in.txt").write_text("in\n")
    return root


@pytest.fixture
def edit() -> Callable[[Path, str, str], None]:
    """Replace text in a file. Fails if the file does not contain it."""

    def replace(path: Path, old: str, new: str) -> None:
        text = path.read_text()
        assert old in text, f"{old!r} is not in {path}"
        path.write_text(text.replace(old, new))

    return replace


_STUB = '''
"""Writes a model and its metrics in the project's layout. quality.json sets the metrics."""
import hashlib, json, pathlib, sys, time
import numpy as np
from safetensors.numpy import load_file, save_file

stage, variant = sys.argv[1:]
if stage == "download":
    clips = sorted(path.name for path in pathlib.Path("clips").iterdir())
    pathlib.Path("manifest.json").write_text(json.dumps(clips))
    raise SystemExit
folder = pathlib.Path("artifacts") / stage / variant
model = pathlib.Path("artifacts/train_gan") / variant / "model"
if stage == "train_gan":
    quality = json.loads(pathlib.Path("quality.json").read_text())
    if "sleep_s" in quality:
        pathlib.Path("sleeping").touch()
        time.sleep(quality["sleep_s"])
    model.mkdir(parents=True, exist_ok=True)
    save_file({"figures": np.array([quality["lse_d"], quality["fid"]])}, model / "weights.safetensors")
    info = {"kind": "generator", "config": {}, "info": {"fingerprint": "f"}}
    (model / "model.json").write_text(json.dumps(info))
    metrics = {"l1": 0.1}
else:
    lse_d, fid = load_file(model / "weights.safetensors")["figures"].tolist()
    metrics = {
        "lse_d": lse_d, "lse_c": 5.0, "fid": fid, "protocol": {"id": "unseen-audio", "sha256": "p"},
        "generator_sha256": hashlib.sha256((model / "weights.safetensors").read_bytes()).hexdigest(),
    }
    columns = "clip_id,audio_clip_id,lse_d,lse_c,offset_frames,status,mouth_jitter,real_mouth_jitter"
    lines = [columns, *(f"v{number},a,{lse_d},5,0,ok,1,1" for number in range(8))]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "clips.csv").write_text("\\n".join(lines))
folder.mkdir(parents=True, exist_ok=True)
(folder / "metrics.json").write_text(json.dumps(metrics))
'''


@pytest.fixture(scope="module")
def stub_pipeline(tmp_path_factory: pytest.TempPathFactory, empty_repo: Path) -> Path:
    """A stub pipeline that the tests of a module share."""
    return _make_stub_pipeline(tmp_path_factory.mktemp("stub") / "checkout", empty_repo)


@pytest.fixture
def own_stub_pipeline(tmp_path: Path, empty_repo: Path) -> Path:
    return _make_stub_pipeline(tmp_path / "checkout", empty_repo)


def _make_stub_pipeline(folder: Path, empty_repo: Path) -> Path:
    """Stub stages (download, one variant's training and evaluation) with values from the project's ``params.yaml``."""
    root = _init(
        folder,
        """
        stages:
          download:
            cmd: python stub.py download all
            deps: [stub.py]
            params: [dataset]
            outs: [manifest.json]
          train_gan:
            foreach: ${variants}
            do:
              cmd: python stub.py train_gan ${key}
              deps: [stub.py, quality.json, manifest.json]
              params: ["variants.${key}"]
              outs: ["artifacts/train_gan/${key}/model"]
              metrics: ["artifacts/train_gan/${key}/metrics.json": {cache: false}]
          evaluate:
            foreach: ${variants}
            do:
              cmd: python stub.py evaluate ${key}
              deps: [stub.py, "artifacts/train_gan/${key}/model"]
              outs: ["artifacts/evaluate/${key}/clips.csv"]
              metrics: ["artifacts/evaluate/${key}/metrics.json": {cache: false}]
        """,
        empty_repo,
    )
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["variants"] = {"lstm_cbam": params["variants"]["lstm_cbam"]}
    params["dataset"]["source"] = "folder"
    params["dataset"]["folder"]["root"] = str(root / "clips")
    params["promote"] = {
        "variant": "lstm_cbam",
        "max_fid_increase": 5.0,
        "min_lse_d_gain": 0.0,
        "max_within_one_frame_drop": 0.05,
        "max_jitter_increase": 0.2,
        "branch": "results",
    }
    params["runtime"]["retrain_cron"] = "0 3 1 1 *"
    (root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    (root / "stub.py").write_text(_STUB)
    (root / "clips").mkdir()
    (root / "clips" / "a.mp4").touch()
    (root / "quality.json").write_text(json.dumps({"lse_d": 8.0, "fid": 20.0}))
    (root / ".gitignore").write_text("/artifacts/\n/.scratch/\n/mlflow.db*\n/mlruns/\n")
    identity = (["config", "user.name", "Anna"], ["config", "user.email", "anna@example.org"])
    for arguments in (["init", "-q"], *identity, ["add", "."], ["commit", "-q", "-m", "start"]):
        subprocess.run(["git", *arguments], cwd=root, check=True)
    return root


@pytest.fixture
def two_long_trainings() -> Callable[[Path], None]:
    """A function that gives a stub pipeline two variants, ``a`` and ``b``, which train at once for five minutes."""

    def change(root: Path) -> None:
        params = yaml.safe_load((root / "params.yaml").read_text())
        params["variants"] = {name: params["variants"]["lstm_cbam"] | {"seed": seed} for seed, name in enumerate("ab")}
        params["promote"]["variant"] = "a"
        params["runtime"]["num_jobs"] = 2
        (root / "params.yaml").write_text(yaml.safe_dump(params))
        (root / "quality.json").write_text(json.dumps({"lse_d": 8.0, "fid": 20.0, "sleep_s": 300}))

    return change
