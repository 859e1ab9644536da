"""A registered version on a real MLflow server: MLflow loads and serves it, and its page shows where it comes from."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import pytest
from typer.testing import CliRunner

from models.generator import Generator, GeneratorConfig
from pipeline.cli.main import app
from pipeline.core.layout import Layout
from pipeline.inference.saved_model import model_sha256, save_model
from pipeline.params import Params, load_params
from pipeline.promote.gate import ModelScores
from pipeline.promote.lineage import REGISTERED_NAME
from pipeline.promote.registry import open_registry
from pipeline.promote.version_files import RegistryError, read_description
from pipeline.tracking.runs import KEY_TAG, identity_of
from pipeline.tracking.store import experiment_id, open_client
from pipeline.tracking.tracker import open_tracker

pytestmark = pytest.mark.slow
LOADS_ALONE = """
import sys
sys.meta_path = [finder for finder in sys.meta_path if "editable" not in repr(finder).lower()]
sys.path = [path for path in sys.path if path not in ({root!r}, "")]
import mlflow
model = mlflow.pyfunc.load_model("models:/lipsmith-generator@champion", model_config={{"device": "cpu"}})
import pipeline
assert not pipeline.__file__.startswith({root!r}), pipeline.__file__

"""


@pytest.fixture(scope="module")
def params(repo_root: Path) -> Params:
    return load_params(repo_root / "params.yaml")


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory, mlflow_address: str, repo_root: Path, params: Params) -> Layout:
    """A checkout with two registered versions of a small generator, the second of them the champion."""
    layout = Layout(tmp_path_factory.mktemp("registered"))
    for name in ("params.yaml", "dvc.yaml"):
        (layout.root / name).write_bytes((repo_root / name).read_bytes())
    (layout.root / "dvc.lock").write_text("stages: {}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", mlflow_address)
        patch.delenv("MLFLOW_REGISTRY_URI", raising=False)
        for width in (0.0625, 0.125):
            register(layout, width, params)
    return layout


@pytest.fixture(autouse=True)
def server(mlflow_address: str, monkeypatch: pytest.MonkeyPatch, layout: Layout) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_address)
    monkeypatch.delenv("MLFLOW_REGISTRY_URI", raising=False)
    monkeypatch.chdir(layout.root)


def register(layout: Layout, width: float, params: Params) -> None:
    """Train nothing, but save, track, register and promote a generator.

    A later run with the key of the training is an evaluation alone, at another commit.
    """
    folder, config = layout.model_dir("train_gan", "no_lstm"), GeneratorConfig(width=width, use_lstm=False)
    info = {"fingerprint": f"w{width}", "crop": "square"}
    save_model(folder, kind="generator", config=asdict(config), state=Generator(config).state_dict(), info=info)
    with open_tracker(layout, "train_gan", "no_lstm", params, f"w{width}", {}) as tracker:
        tracker.log_model_digest(layout.weights_path("train_gan", "no_lstm"))
    client, identity = open_client(layout), identity_of(layout, "evaluate", "no_lstm", params, "e")
    tags = {**identity.tags, KEY_TAG: identity.key, "git_commit": "later"}
    client.create_run(experiment_id(client, layout, params.dataset.source), tags=tags)
    scores = ModelScores(model_sha256(folder), 8.0 - width, 5.0, 20.0, {"id": "unseen", "sha256": "e" * 64}, 4, 0)
    with open_registry(layout) as registry:
        version = registry.register(layout, folder, "no_lstm", scores, params, {"a", "b"})
        registry.make_champion(version)


def test_a_version_has_the_description_of_its_generator(layout: Layout, tmp_path: Path) -> None:
    with open_registry(layout) as registry:
        described = registry.description(registry.aliased("champion"))
    assert described is not None
    assert (described["config"]["width"], described["info"]["fingerprint"]) == (0.125, "w0.125")
    assert read_description((tmp_path / "gone").as_uri()) is None


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["models", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def test_mlflow_dubs_a_video_with_the_champion_and_serves_it(shared_data: Path) -> None:
    import mlflow
    import pandas as pd
    from mlflow.pyfunc.scoring_server import init
    from starlette.testclient import TestClient

    clip = (shared_data / "grid" / "s1" / "lwwm2p.mp4").read_bytes()
    model = mlflow.pyfunc.load_model(f"models:/{REGISTERED_NAME}@champion", model_config={"device": "cpu"})
    signature = model.metadata.signature
    assert (signature.inputs.input_names(), signature.outputs.input_names()) == (["face", "audio"], ["video"])
    (video,) = model.predict(pd.DataFrame({"face": [clip], "audio": [clip]}))["video"]
    assert video[4:8] == b"ftyp"

    text = base64.b64encode(clip).decode()
    body = {"dataframe_records": [{"face": text, "audio": text}]}
    answer = TestClient(init(model)).post("/invocations", json=body)
    assert answer.status_code == 200, answer.text
    assert base64.b64decode(json.loads(answer.text)["predictions"][0]["video"])[4:8] == b"ftyp"


def test_mlflow_loads_the_champion_without_the_checkout(tmp_path: Path, repo_root: Path) -> None:
    code = LOADS_ALONE.format(root=str(repo_root))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_version_shows_where_it_comes_from(layout: Layout) -> None:
    with open_registry(layout) as registry:
        version = registry.find("champion")
        assert registry.trained_on(str(version.version)) == {"a", "b"}
        with registry.files(str(version.version)) as folder:
            assert sorted(path.name for path in folder.iterdir()) == ["model.json", "weights.safetensors"]
    assert open_client(layout).get_run(version.run_id).data.tags["stage"] == "train_gan"
    assert version.tags.get("git_commit") != "later"
    assert {"dvc_lock_sha256", "params_sha256", "protocol", "evaluation_digest", "run_id"} <= set(version.tags)
    assert f"[{version.run_id}](#/experiments/" in version.description
    assert "| `unseen` |" in version.description and "Variant no_lstm: LSE-D 7.875, " in version.description


def test_versions_are_listed_shown_promoted_and_rolled_back(layout: Layout) -> None:
    def aliases() -> dict[str, str]:
        with open_registry(layout) as registry:
            return registry.aliases()

    assert aliases() == {"champion": "2", "previous": "1"}
    lines = shown("list").splitlines()
    assert [line.split()[:3] for line in lines[1:]] == [["2", "champion", "no_lstm"], ["1", "previous", "no_lstm"]]
    assert "7.875" in shown("show", "champion") and "protocol of the evaluation" in shown("show", "2")
    layout.champion_manifest_path.parent.mkdir(exist_ok=True)
    layout.champion_manifest_path.touch()  # the clips of another version's promotion
    assert shown("rollback").startswith("version 1 is the champion; version 2 has the alias previous")
    assert aliases() == {"champion": "1", "previous": "2"} and not layout.champion_manifest_path.exists()
    assert "already the champion" in shown("promote", "champion")
    shown("promote", "2")
    assert aliases() == {"champion": "2", "previous": "1"}


def test_an_unknown_version_is_an_error_that_lists_the_known_ones(layout: Layout) -> None:
    with (
        pytest.raises(RegistryError, match="no version or alias '7'; it has champion, previous, 1, 2"),
        open_registry(layout) as registry,
    ):
        registry.find("7")
    done = CliRunner().invoke(app, ["models", "show", "best"])
    assert done.exit_code == 2
