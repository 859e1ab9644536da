"""``benchmarks/gpu.sh``: what it packs, its run with torch, numpy and the packed wheels only, and its parts."""

from __future__ import annotations

import csv
import importlib.metadata
import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from benchmarks.gpu_clips import PackedStream, load_clips
from benchmarks.gpu_pack import main as pack_main
from benchmarks.gpu_pack import pack
from pipeline.core.errors import UserError
from pipeline.inference.generator import MouthGenerator
from pipeline.media.mjpeg import decode_mjpeg, encode_mjpeg
from pipeline.params.edit import replace_values
from pipeline.shards.read import read_clips
from tests.golden.clips import write_clips
from tests.support.small_expert import EXPERT, save_expert

ROOT = Path(__file__).resolve().parents[1]
MIB = 1 << 20


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with shards (clips) and an expert (expert)."""
    folder = tmp_path_factory.mktemp("source")
    write_clips(folder / "clips")
    save_expert(folder / "expert", 1.0)
    return folder


def gpu_sh(
    *arguments: str | Path, cwd: Path | None = None, **variables: str | Path
) -> subprocess.CompletedProcess[str]:
    command = ["bash", str(ROOT / "benchmarks" / "gpu.sh"), *map(str, arguments)]
    environment = os.environ | {"PYTHON": sys.executable} | {name: str(value) for name, value in variables.items()}
    return subprocess.run(command, env=environment, cwd=cwd, capture_output=True, text=True)


def parts(out: Path) -> dict[str, str]:
    """Exit codes by part."""
    with (out / "parts.tsv").open() as file:
        return {row["part"]: row["exit_code"] for row in csv.DictReader(file, delimiter="\t")}


FAKE_PYTHON = """#!/usr/bin/env bash
echo "$*" >> "$CALLS"
[[ "$2" != "import PIL"* ]] || exit ${IMPORTS:-0}
[ "$2" != benchmarks.gpu_speed ] || exit 3
[ "$2" = benchmarks.gpu_train ] || exit 0
[[ "${KILLED:-}" != "$3 "* || "${KILLED#* } $*" == "once "*"--device cpu"* ]] ||
  { touch "$5/$3/last.pt"; echo "no memory"; exit 137; }
mkdir -p "$5/$3/model"
touch "$5/$3/curve.csv" "$5/$3/model/model.json"
head -c 2500000 /dev/zero > "$5/$3/model/weights.safetensors"
"""


@pytest.fixture
def fake(tmp_path: Path) -> dict[str, Path]:
    """Variables with an interpreter that writes its arguments to CALLS, and imitates the results of a training."""
    python = tmp_path / "python"
    python.write_text(FAKE_PYTHON)
    python.chmod(0o755)
    return {"PYTHON": python, "CALLS": tmp_path / "calls", "STATE": tmp_path / "state"}


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def test_packed_clips_are_those_of_the_shards_and_fit(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert pack(source / "clips", source / "expert", tmp_path / "all", 99 * MIB, 95, 0.9) == {"train": 6, "val": 2}
    limit = 0.7 * size_of(tmp_path / "all")
    monkeypatch.setattr("benchmarks.gpu_pack.SHARES", {"train": 0.6, "val": 0.4})
    counts = pack(source / "clips", source / "expert", tmp_path / "some", limit, 95, 0.9)
    assert 2 <= counts["train"] < 6 and 1 <= counts["val"] <= 2
    assert 0.6 * limit < size_of(tmp_path / "some") <= limit
    packed = load_clips(tmp_path / "some" / "clips.npz")
    assert {split: len(clips) for split, clips in packed.items()} == counts
    for split, clips in packed.items():
        stored = {clip.key: clip for clip in read_clips(source / "clips", split)}
        for clip in clips:
            original = stored[clip.key]
            assert clip.geometry == original.geometry
            np.testing.assert_array_equal(clip.mel, original.mel)
            expected = decode_mjpeg(*encode_mjpeg(original.crops(), 95))
            assert np.abs(clip.crops(np.arange(30)).astype(int) - expected).max() <= 2


def test_what_cannot_be_packed_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"0\.02 MiB are too few for a clip of the split train .*; raise --max-mib"):
        pack(source / "clips", source / "expert", tmp_path / "small", 0.02 * MIB, 95, 0.9)
    save_expert(tmp_path / "weak", 0.7)
    with pytest.raises(UserError, match=r"pairwise accuracy is 0\.70"):
        pack(source / "clips", tmp_path / "weak", tmp_path / "box", MIB, 95, 0.9)


def test_the_stream_shuffles_and_resumes(source: Path, tmp_path: Path) -> None:
    pack(source / "clips", source / "expert", tmp_path, 99 * MIB, 80, 0.0)
    clips = load_clips(tmp_path / "clips.npz")["train"]
    stream = PackedStream(clips, seed=1)
    draws = [(clip.key, clip.rng.integers(1 << 30)) for clip in itertools.islice(stream, 8)]
    state = stream.state_dict()
    draws += [(clip.key, clip.rng.integers(1 << 30)) for clip in itertools.islice(stream, 10)]
    epochs = [[key for key, _ in draws[start : start + 6]] for start in (0, 6, 12)]
    assert all(sorted(epoch) == sorted(clip.key for clip in clips) for epoch in epochs)
    assert len(set(map(tuple, epochs))) == 3 and len({number for _, number in draws}) == 18
    resumed = PackedStream(clips, seed=1)
    resumed.load_state_dict(state)
    assert [(clip.key, clip.rng.integers(1 << 30)) for clip in itertools.islice(resumed, 10)] == draws[8:]


def distributions_without(names: list[str]) -> set[str]:
    """Import names of the installed packages that neither ``names`` nor their requirements contain."""
    allowed: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower().replace("_", "-")
        if name in allowed:
            continue
        allowed.add(name)
        try:
            needed = map(Requirement, importlib.metadata.requires(name) or [])
        except importlib.metadata.PackageNotFoundError:  # a requirement of another system
            continue
        waiting += [each.name for each in needed if each.marker is None or each.marker.evaluate({"extra": ""})]
    return {
        module
        for module, owners in importlib.metadata.packages_distributions().items()
        if not {owner.lower().replace("_", "-") for owner in owners} & {*allowed, "lipsmith", "setuptools", "pip"}
    }


ON_THE_GPU_MACHINE = """
import json
from pathlib import Path
import pipeline
assert Path(pipeline.__path__[0]).parent == Path.cwd()
from benchmarks import gpu_speed, gpu_train
options = "--steps 4 --width 0.0625 --clips-per-batch 2 --device cpu --checkpoint-every 2".split()
for seconds in ("0", "60"):
    code = gpu_train.main(["lstm_cbam", ".", "state", "--seconds", seconds, *options])
    assert code == 0
    print("steps", json.loads(Path("state/lstm_cbam/model/model.json").read_text())["info"]["num_steps"])
gpu_speed.WARM_UP_STEPS = 0
assert gpu_speed.main("speed.json --width 0.0625 --clips 2 --steps 1 --device cpu".split()) == 0
import pytest
assert pytest.main(["-q", "-p", "no:cacheprovider", "tests/gpu"]) == 0
"""


@pytest.mark.slow
def test_a_packed_folder_trains_and_resumes_with_torch_numpy_and_its_wheels_only(
    source: Path, tmp_path: Path, fake: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    box = tmp_path / "box"
    for _ in range(2):
        done = gpu_sh("pack", box, source / "clips", source / "expert", **fake | {"WHEELS": "0", "MAX_MIB": "8"})
    assert done.returncode == 2 and "name a new folder" in done.stderr
    module, clips, expert, unfinished, *options = fake["CALLS"].read_text().split()[1:]
    assert module == "benchmarks.gpu_pack" and Path(unfinished).parent == tmp_path
    assert not Path(unfinished).exists()  # it has become the box
    assert pack_main([clips, expert, str(box), *options]) == 0
    assert "set BATCH to at most 6 on the other machine" in capsys.readouterr().err
    losses = {f"train_gan.losses.{name}.start_step": 0 for name in ("sync", "adversarial", "feature_matching")}
    ramps = {f"train_gan.losses.{name}.ramp_steps": 0 for name in ("sync", "adversarial")}
    small = {"train_gan.num_validation_windows": 2, "train_gan.warmup_steps": 1}
    params, _ = replace_values((box / "params.yaml").read_text(), losses | ramps | small)
    (box / "params.yaml").write_text(params)

    requirements = (box / "benchmarks" / "gpu_requirements.txt").read_text().splitlines()
    names = [Requirement(line).name for line in requirements if not line.startswith("#")]
    blocked = distributions_without(["torch", "numpy", *names])
    assert {"cv2", "pyarrow", "webdataset", "scipy", "matplotlib", "av", "mlflow"} <= blocked
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules.update(dict.fromkeys({blocked}))\n")
    environment = os.environ | {
        "PYTHONPATH": f"{tmp_path}:{box}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-c", ON_THE_GPU_MACHINE]
    run = subprocess.run(command, cwd=box, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert [line for line in run.stdout.splitlines() if line.startswith("steps")] == ["steps 1", "steps 4"]
    with (box / "state" / "lstm_cbam" / "curve.csv").open() as file:
        assert [row["step"] for row in csv.DictReader(file)] == ["1", "4"]
    results = json.loads((box / "speed.json").read_text())
    for network in ("syncnet", "lstm_cbam", "lipgan"):
        assert results["speed"][network]["fp32"]["share_of_peak"] > 0
        assert results["difference_from_cpu"][network]["fp32"]["largest"] == 0  # a CPU compared with itself
    generator = MouthGenerator.load(box / "state" / "lstm_cbam" / "model", "cpu", "fp32")
    assert generator.width == EXPERT.width and generator.geometry == "square"


def test_a_part_that_fails_stops_no_other_and_weights_come_in_pieces(tmp_path: Path, fake: dict[str, Path]) -> None:
    done = gpu_sh("run", OUT=tmp_path / "out", MINUTES="10", **fake)
    assert done.returncode == 1, done.stdout + done.stderr
    trainings = {"train_lstm_cbam": "0", "train_no_lstm_cbam": "0"}
    assert parts(tmp_path / "out") == {"install": "0", "tests": "0", "speed": "3"} | trainings | {"weights": "0"}
    trained = [line.split() for line in (tmp_path / "calls").read_text().splitlines() if "gpu_train" in line]
    first, second = (int(words[words.index("--seconds") + 1]) for words in trained)
    assert 215 <= first <= 225 and 500 <= second <= 510  # all the time is left: the networks before took none
    for network in ("lstm_cbam", "no_lstm_cbam"):
        kept = sorted(path.name for path in (tmp_path / "out" / network).iterdir())
        assert kept == ["curve.csv", "model.json", "weights.safetensors"]

    some = {"PARTS": "weights", "NETWORKS": "lstm_cbam", "OUT": tmp_path / "pieces"}
    for pieces in ({"PIECE_MIB": "1", "PIECES": "00 02"}, {"PIECE_MIB": "2"}, {}):
        assert gpu_sh("run", **some, **pieces, **fake).returncode == 0
        found = sorted(path.name for path in (tmp_path / "pieces" / "lstm_cbam").glob("weights*"))
        expected = {"1": [".00", ".02"], "2": [".00", ".01"]}.get(pieces.get("PIECE_MIB", ""), [""])
        assert found == [f"weights.safetensors{end}" for end in expected]  # none of an earlier run


def test_results_of_an_earlier_run_are_not_those_of_a_killed_training(tmp_path: Path, fake: dict[str, Path]) -> None:
    some = {"PARTS": "train weights", "MINUTES": "10"} | fake
    assert gpu_sh("run", OUT=tmp_path / "one", **some).returncode == 0
    done = gpu_sh("run", OUT=tmp_path / "two", KILLED="lstm_cbam twice", **some)
    assert done.returncode == 1 and "no memory" in done.stderr and "train_lstm_cbam made no curve" in done.stdout
    expected = {"train_lstm_cbam": "137", "train_no_lstm_cbam": "0", "weights": "1"}
    assert parts(tmp_path / "two") == expected
    assert not (tmp_path / "two" / "lstm_cbam").exists()
    assert (tmp_path / "two" / "no_lstm_cbam" / "weights.safetensors").exists()
    assert "older than" in (tmp_path / "two" / "weights.log").read_text()

    done = gpu_sh("run", OUT=tmp_path / "three", KILLED="lstm_cbam once", **some)
    assert parts(tmp_path / "three") == expected | {"weights": "0"}  # made from the checkpoint
    assert " --seconds 0 --device cpu" in fake["CALLS"].read_text().splitlines()[-1]
    assert (tmp_path / "three" / "lstm_cbam" / "weights.safetensors").exists()


def test_a_training_without_time_does_not_start(tmp_path: Path, fake: dict[str, Path]) -> None:
    done = gpu_sh("run", OUT=tmp_path / "out", PARTS="train", MINUTES="2", **fake)
    assert done.returncode == 1 and "no time is left; raise MINUTES" in done.stderr
    assert parts(tmp_path / "out") == {"train_lstm_cbam": "124", "train_no_lstm_cbam": "0"}
    assert fake["CALLS"].read_text().count("gpu_train") == 1


def test_missing_wheels_are_installed_and_wheels_that_do_not_fit_end_the_run(
    tmp_path: Path, fake: dict[str, Path]
) -> None:
    done = gpu_sh("run", OUT=tmp_path / "out", PARTS="tests", IMPORTS="1", **fake)
    assert done.returncode == 2 and "PYTHON_VERSIONS set to its version" in done.stderr
    assert parts(tmp_path / "out") == {"install": "0"}


def test_relative_paths_start_at_the_folder_of_the_caller(tmp_path: Path, fake: dict[str, Path]) -> None:
    (tmp_path / "box.part").mkdir()
    relative = fake | {"PYTHON": "./python", "WHEELS": "0"}
    assert gpu_sh("pack", "box", "clips", "expert", cwd=tmp_path, **relative).returncode == 0
    clips, expert, unfinished = fake["CALLS"].read_text().split()[2:5]
    assert (clips, expert) == (f"{tmp_path}/clips", f"{tmp_path}/expert") and unfinished.startswith(f"{tmp_path}/box.")
    assert (tmp_path / "box" / "benchmarks" / "gpu.sh").exists() and (tmp_path / "box.part").exists()
    here = {"PARTS": "train weights", "MINUTES": "10", "NETWORKS": "lstm_cbam", "OUT": "out", "STATE": "kept"}
    assert gpu_sh("run", cwd=tmp_path, **relative | here).returncode == 0
    assert (tmp_path / "out" / "lstm_cbam" / "model.json").exists() and (tmp_path / "kept" / "lstm_cbam").exists()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({}, "set OUT to the folder for the results"),
        ({"OUT": "out", "MINUTES": "9.5"}, "MINUTES is 9.5; it must be a whole number from 1"),
        ({"OUT": "out", "PARTS": "tests sped"}, "PARTS has no part sped; it has install, tests, speed, train and"),
    ],
)
def test_wrong_variables(variables: dict[str, str], message: str, tmp_path: Path, fake: dict[str, Path]) -> None:
    done = gpu_sh("run", cwd=tmp_path, **fake, **variables)
    assert done.returncode in (1, 2) and message in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [(), ("pack",), ("train",), ("run", "there")])
def test_wrong_usage(arguments: tuple[str, ...]) -> None:
    done = gpu_sh(*arguments)
    assert done.returncode == 2 and "usage: benchmarks/gpu.sh pack FOLDER" in done.stderr
