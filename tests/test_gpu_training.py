"""``benchmarks/gpu_train.py`` and ``gpu_speed.py``: time limits, settings, memory, and errors, on a CPU at toy size."""

from __future__ import annotations

import csv
import json
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from benchmarks.gpu_networks import NETWORKS, build, make_sensitive, relative_error
from benchmarks.gpu_pack import pack
from benchmarks.gpu_speed import main as speed_main
from benchmarks.gpu_state import TimedStore, TimeUpError
from benchmarks.gpu_train import main as train_main
from pipeline.core.signals import exit_on_signals
from pipeline.params.edit import replace_values
from pipeline.training.gan import GanTrainee
from tests.golden.clips import write_clips
from tests.support.small_expert import save_expert

ROOT = Path(__file__).resolve().parents[1]
CPU = torch.device("cpu")
SETTINGS = {"train_gan.num_validation_windows": 2} | {
    f"train_gan.losses.{name}.weight": 0 for name in ("sync", "adversarial", "feature_matching")
}
OPTIONS = {
    "--steps": 3,
    "--width": 0.0625,
    "--clips-per-batch": 2,
    "--device": "cpu",
    "--seconds": 300,
    "--checkpoint-every": 2,
}


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A packed folder: clips.npz, expert, params.yaml."""
    folder = tmp_path_factory.mktemp("box")
    write_clips(folder / "clips")
    save_expert(folder / "trained", 1.0)
    pack(folder / "clips", folder / "trained", folder / "box", 1 << 30, 80, 0.0)
    write_params(folder / "box", SETTINGS)
    return folder / "box"


def write_params(folder: Path, values: dict[str, Any]) -> None:
    text, _ = replace_values((ROOT / "params.yaml").read_text(), values)
    (folder / "params.yaml").write_text(text)


Train = Callable[..., int]


@pytest.fixture
def train(box: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Train:
    """Trains lstm_cbam with ``OPTIONS`` in ``tmp_path``, or with those given instead. Returns the exit code."""
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", False)  # restored afterwards

    def run(*options: str, box: Path = box) -> int:
        given = [str(word) for pair in OPTIONS.items() for word in pair]
        return train_main(["lstm_cbam", str(box), str(tmp_path), *given, *options])

    return run


def results(tmp_path: Path) -> tuple[dict[str, Any], list[str]]:
    """The information in the model, and the steps of the curve."""
    folder = tmp_path / "lstm_cbam"
    with (folder / "curve.csv").open() as file:
        return json.loads((folder / "model" / "model.json").read_text())["info"], [
            row["step"] for row in csv.DictReader(file)
        ]


def test_the_store_writes_each_nth_step_and_the_last_one_before_the_deadline(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def steps(num: int, seconds: float) -> list[int]:
        """Steps that were written if each takes ``seconds`` and the time limit is 9.5 s."""
        store = TimedStore(tmp_path, every=3, num_steps=num, deadline=now[0] + 9.5)
        written: list[int] = []
        for step in range(1, num + 1):
            now[0] += seconds
            (tmp_path / "last.pt").unlink(missing_ok=True)
            try:
                store.save({"step": step, "curve": [{"step": float(step)}]})
            except TimeUpError:
                return [*written, step, 0]
            finally:
                written += [step] if (tmp_path / "last.pt").exists() else []
        return written

    assert steps(7, 1.0) == [3, 6, 7]  # the final one, too
    assert steps(20, 1.0) == [3, 6, 8, 0]  # another two steps would end after the limit
    assert steps(20, 20.0) == [1, 0]


def test_a_training_stops_in_time_and_goes_on_with_the_same_settings_only(
    train: Train, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train("--seconds", "0") == 0
    info, curve = results(tmp_path)
    assert info["num_steps"] == info["validation_step"] == 1 and curve == ["1"]

    assert train("--learning-rate", "0.0002") == 2
    assert "train_gan.learning_rate, --learning-rate (LEARNING_RATE), was 0.0001 and is now 0.0002" in (
        capsys.readouterr().err
    )
    assert train("--width", "0.125") == 2
    assert "train_gan.width, --width (gpu.sh: WIDTH), was 0.0625 and is now 0.125" in capsys.readouterr().err
    assert results(tmp_path) == (info, curve)

    assert train("--seconds", "300", "--started", str(time.time() - 301)) == 0  # the time was over at the start
    assert results(tmp_path)[0] == info | {"validation": {}, "validation_step": 0} and results(tmp_path)[1] == curve

    abandoned = tmp_path / "lstm_cbam" / ".next.999999999.pt"
    abandoned.touch()
    assert train("--checkpoint-every", "3") == 0
    info, curve = results(tmp_path)
    assert info["num_steps"] == 3 and curve == ["1", "3"] and not abandoned.exists()


@pytest.mark.parametrize("ending", ["error", "signal"])
def test_a_training_that_ends_early_leaves_curve_and_model_of_its_last_checkpoint(
    ending: str, train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    original = GanTrainee.step

    def fail(self: GanTrainee, batch: Any, step: int) -> Any:
        if step == 2:
            if ending == "signal":
                signal.raise_signal(signal.SIGTERM)
            raise FloatingPointError("the loss is nan")
        return original(self, batch, step)

    monkeypatch.setattr(GanTrainee, "step", fail)
    if ending == "signal":
        handlers = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)}
        exit_on_signals()
        try:
            with pytest.raises(SystemExit):
                train()
        finally:
            for each, handler in handlers.items():
                signal.signal(each, handler)
    else:
        assert train() == 3
        message = capsys.readouterr().err
        assert "step 3: the loss is nan" in message and "--learning-rate (LEARNING_RATE) replace" in message
    info, curve = results(tmp_path)
    assert info["num_steps"] == 2 and info["validation_step"] == 0 and curve == ["1"]


def test_a_batch_that_does_not_fit_is_computed_in_parts(
    train: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes: list[int] = []
    original = GanTrainee._generate

    def generate(self: GanTrainee, generator: Any, batch: Any) -> Any:
        sizes.append(len(batch["target"]))
        if len(batch["target"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(self, generator, batch)

    monkeypatch.setattr(GanTrainee, "_generate", generate)
    options = ["--clips-per-batch", "4", "--steps", "2"]
    assert train(*options, "--seconds", "0") == 0
    assert sizes[:3] == [4, 2, 2]
    sizes.clear()
    assert train(*options) == 0 and 4 not in sizes  # the next run starts with parts that fit
    assert results(tmp_path)[0]["num_steps"] == 2
    shutil.rmtree(tmp_path / "lstm_cbam")
    assert train("--clips-per-batch", "3") == 2
    assert "too small for 1 micro-batches of 3 clips" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        ({"train_gan.micro_batches": 3, "train_gan.clips_per_batch": 6}, [], "--clips-per-batch (BATCH) 2"),
        ({}, ["--width", "0"], "--width (gpu.sh: WIDTH) 0"),
        ({}, ["--clips-per-batch", "9"], "the options --width (gpu.sh: WIDTH), --steps (STEPS), --clips-per-batch"),
        ({"train_gan.face_px": 128}, [], "face crops of 96 px"),
        ({"variants.lstm_cbam.network": "speech2vid"}, [], "use_lstm"),
    ],
)
def test_impossible_settings_are_refused(
    values: dict[str, Any],
    options: list[str],
    message: str,
    train: Train,
    box: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "box"
    folder.mkdir()
    for name in ("clips.npz", "expert"):
        (folder / name).symlink_to(box / name)
    write_params(folder, SETTINGS | values)
    assert train(*options, box=folder) == 2
    assert message in capsys.readouterr().err


def test_damaged_clips_are_refused(train: Train, box: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "box"
    folder.mkdir()
    for name in ("params.yaml", "expert"):
        (folder / name).symlink_to(box / name)
    (folder / "clips.npz").write_bytes((box / "clips.npz").read_bytes()[:-1000])
    assert train(box=folder) == 2
    assert "is damaged or incomplete" in capsys.readouterr().err


def test_outputs_depend_on_audio_lstm_and_cbam_where_they_are_compared() -> None:
    with torch.no_grad():
        for name in NETWORKS:
            network, (audio, faces) = build(name, 0.125, 4)
            make_sensitive(network, (audio, faces))
            expected = network(audio, faces)
            assert relative_error(expected, expected) == 0
            assert relative_error(network(audio.flip(0), faces), expected) > 0.1
            for part in ("mel_lstm", "face_cbam", "audio_cbam") if name == "lstm_cbam" else ():
                before = [parameter.clone() for parameter in getattr(network, part).parameters()]
                for parameter in getattr(network, part).parameters():
                    parameter.mul_(1.5)
                assert relative_error(network(audio, faces), expected) > 0.05, part
                for parameter, value in zip(getattr(network, part).parameters(), before, strict=True):
                    parameter.copy_(value)


def test_a_measurement_that_fails_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def speed(network: str, mode: str, width: float, clips: int, *_: Any) -> dict[str, float]:
        if mode == "bf16":
            raise RuntimeError("no compiler")
        if network == "lipgan" and clips > 8:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return {"samples_per_s": 100.0 if network != "syncnet" else float("nan")}

    monkeypatch.setattr("benchmarks.gpu_speed.speed", speed)
    monkeypatch.setattr("benchmarks.gpu_speed.difference", lambda *_: {"largest": float("inf"), "mean": 0.0})
    assert speed_main([str(tmp_path / "speed.json"), "--clips", "32", "--device", "cpu"]) == 0
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found["speed"]["syncnet"]["fp32"] == {"error": "samples_per_s is nan"}
    assert found["speed"]["lstm_cbam"]["fp32"] == {"clips": 32, "samples_per_s": 100}
    assert found["speed"]["lipgan"]["fp32"] == {"clips": 8, "samples_per_s": 100}
    assert found["speed"]["lipgan"]["bf16"] == {"error": "RuntimeError: no compiler"}
    assert found["difference_from_cpu"]["lipgan"]["fp32"] == {"error": "largest is inf"}
