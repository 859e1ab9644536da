"""A training that is killed and resumed gives bit-identical outputs to an undisturbed one.

The tests use real processes and SIGKILL. Exact equality requires one torch thread, float32 and the CPU, which fix the
order of summation.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
import yaml

from pipeline.core.layout import Layout
from pipeline.features.alignment import num_samples_of
from pipeline.features.mel import mel_spectrogram
from pipeline.features.samples import int16_to_float
from pipeline.media.mjpeg import encode_mjpeg
from pipeline.shards.write import ClipSample, shard_name, write_index, write_shard
from tests.support.checkouts import copy_checkout, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

STAGE_FORKS = Path(__file__).parents[2] / "support" / "stage_forks.py"  # its imports take seconds
NUM_STEPS = 12
CHECKPOINT_EVERY = 3
NUM_CLIPS = {"train": (3, 3), "val": (1, 2), "test": (1, 2)}
"""Split -> number of shards, number of clips per shard."""
SCHEDULE: dict[str, Any] = {
    "width": 0.0625,
    "num_steps": NUM_STEPS,
    "clips_per_batch": 2,
    "warmup_steps": 5,
    "precision": "fp32",
    "validate_every": 4,
    "checkpoint_every": CHECKPOINT_EVERY,
}
SYNC: dict[str, Any] = {"windows_per_clip": 2, "num_validation_pairs": 16}
LOSSES = {
    "sync": {"weight": 0.01, "start_step": 3, "ramp_steps": 6},
    "adversarial": {"weight": 0.005, "start_step": 6, "ramp_steps": 4},
    "perceptual": {"weight": 0.1, "start_step": 0, "ramp_steps": 0},
    "feature_matching": {"weight": 0.1, "start_step": 8, "ramp_steps": 0},
    "temporal": {"weight": 0.1, "start_step": 10, "ramp_steps": 0},
    "mouth": {"weight": 0.3, "start_step": 0, "ramp_steps": 0},
}
CHANGED: dict[str, dict[str, Any]] = {
    "train_syncnet": SCHEDULE | SYNC | {"embedding_dim": 16},
    "train_evaluator": SCHEDULE | SYNC,
    "train_gan": SCHEDULE
    | {"discriminator_width": 0.0625, "losses": LOSSES, "min_expert_accuracy": 0.0, "num_validation_windows": 4},
    "runtime": {"device": "cpu", "num_threads": 1, "log_every_steps": 2},
}
OF_THIS_RUN = {"seconds", "data_wait_share", "resumed_from_step"}
"""Entries of metrics.json that depend on the course of a run and not only on its result."""
STEP_LINE = re.compile(rf": step (\d+)/{NUM_STEPS} ")


def _sample(clip_id: str, split: str) -> ClipSample:
    """A clip of random blocks that change with every frame, and noise as sound."""
    rng = np.random.default_rng(list(clip_id.encode()))
    num_frames = int(rng.integers(16, 24))
    crops = rng.integers(0, 256, (num_frames, 12, 12, 3), np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    pictures, sizes = encode_mjpeg(crops)
    audio = (3000 * rng.standard_normal(num_samples_of(num_frames))).astype(np.int16)
    return ClipSample(
        clip_id=clip_id,
        speaker=clip_id.split("/")[0],
        split=split,
        fps=25.0,
        frames_mjpeg=pictures,
        frame_bytes=sizes,
        context_mjpeg=pictures,
        context_bytes=sizes,
        crop_in_context=np.tile([0.0, 0.0, 96.0, 96.0], (num_frames, 1)),
        mel=mel_spectrogram(int16_to_float(audio)),
        audio=audio,
    )


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory, repo_root: Path) -> Layout:
    """A checkout with tiny clips and the smallest settings."""
    layout = Layout(copy_checkout(repo_root, tmp_path_factory.mktemp("alone") / "lipsmith"))
    params = yaml.safe_load(layout.params_path.read_text())
    for section, values in CHANGED.items():
        params[section].update(values)
    params["evaluate"]["lse"]["weights"] = None  # train an evaluator
    layout.params_path.write_text(yaml.safe_dump(params, sort_keys=False))
    rows = []
    for split, (num_shards, num_clips) in NUM_CLIPS.items():
        for number in range(num_shards):
            samples = [_sample(f"{split}{number}/{clip}", split) for clip in range(num_clips)]
            rows += write_shard(layout.shards_dir, shard_name(split, number), samples)
    write_index(layout.shards_dir, rows)
    write_index(layout.clips_dir, [replace(row, shard=f"../shards/{row.shard}") for row in rows])
    return layout


class Stages:
    """Runs stages in processes that are forked from a process which has made their imports."""

    def __init__(self, forks: subprocess.Popen[str]) -> None:
        assert forks.stdin is not None
        assert forks.stdout is not None
        self._commands, self._output = forks.stdin, forks.stdout

    def run(self, layout: Layout, command: list[str]) -> str:
        """Run a stage, which must succeed, and return its log."""
        self._begin(layout, command)
        return self._read_until("ended 0\n".__eq__)

    def kill(self, layout: Layout, command: list[str], step: int, folders: Sequence[Path]) -> str:
        """Kill a stage when its log reaches ``step`` and return its log.

        With ``folders``, the stage is killed when one of them changes after that step.
        """
        pid = self._begin(layout, command)
        log = self._read_until(lambda line: (found := STEP_LINE.search(line)) is not None and int(found[1]) >= step)
        times = [_changed_ns(folder) for folder in folders]
        while folders and psutil.pid_exists(pid) and times == [_changed_ns(folder) for folder in folders]:
            time.sleep(0.0002)  # leaves the core to the stage
        os.kill(pid, signal.SIGKILL)
        return log + self._read_until(f"ended {-signal.SIGKILL}\n".__eq__)

    def _begin(self, layout: Layout, command: list[str]) -> int:
        self._commands.write(json.dumps([str(layout.root), *command]) + "\n")
        self._commands.flush()
        return int(self._output.readline().removeprefix("started "))

    def _read_until(self, is_last: Callable[[str], bool]) -> str:
        log = ""
        for line in self._output:
            log += line
            if is_last(line):
                return log
            assert not line.startswith("ended "), log[-6000:]
        raise AssertionError(log[-6000:])


@pytest.fixture(scope="module")
def stages(checkout: Layout) -> Iterator[Stages]:
    process = start(checkout.root, "python", str(STAGE_FORKS), stdin=subprocess.PIPE)
    yield Stages(process)
    process.communicate(timeout=60)


@pytest.fixture(scope="module")
def undisturbed(checkout: Layout, stages: Stages) -> Layout:
    """The checkout with a trained expert. Its training runs are not killed."""
    stages.run(checkout, ["train_syncnet"])
    return checkout


@pytest.mark.parametrize(
    ("stage", "variant", "num_kills"),
    [
        ("train_syncnet", None, 3),
        ("train_evaluator", None, 1),
        ("train_gan", "lstm_cbam", 3),
        ("train_gan", "lipgan", 1),
    ],
)
def test_a_killed_training_equals_an_undisturbed_one(
    stage: str, variant: str | None, num_kills: int, undisturbed: Layout, stages: Stages, tmp_path: Path
) -> None:
    """The first kill is at a step, the second while a checkpoint and the third while the outputs are written.

    One kill is enough for a network whose training has the loop of another one.
    """
    killed = Layout(tmp_path / "killed")
    shutil.copytree(undisturbed.root, killed.root)
    shutil.rmtree(killed.stage_dir(stage), ignore_errors=True)
    command = [stage, *(["--variant", variant] if variant else [])]
    if not undisturbed.stage_dir(stage, variant).exists():
        stages.run(undisturbed, command)

    rng = np.random.default_rng(list(" ".join(command).encode()))
    first = rng.integers(CHECKPOINT_EVERY + 1, NUM_STEPS - CHECKPOINT_EVERY)
    steps = [int(first), int(rng.integers(first + 1, NUM_STEPS)), NUM_STEPS][:num_kills]
    checkpoints = killed.scratch_dir / (f"{stage}-{variant}" if variant else stage)
    saved = 0
    for number, step in enumerate(steps):
        folders = [*checkpoints.glob("*"), killed.stage_dir(stage, variant)] if number > 0 else []
        assert _resumed_from(stages.kill(killed, command, step, folders)) >= saved
        saved = (step - 1) // CHECKPOINT_EVERY * CHECKPOINT_EVERY  # last checkpoint before the logged step
    assert _resumed_from(stages.run(killed, command)) >= saved > 0

    before, after = (layout.stage_dir(stage, variant) for layout in (undisturbed, killed))
    assert _names(after) == _names(before)
    for name in _names(before) - {"metrics.json"}:
        assert (after / name).read_bytes() == (before / name).read_bytes(), name
    assert _outcome(after) == _outcome(before)
    assert not list(killed.scratch_dir.rglob("*.pt*"))


def _resumed_from(log: str) -> int:
    found = re.search(r"resumed from the checkpoint of step (\d+) of", log)
    return int(found[1]) if found else 0


def _changed_ns(folder: Path) -> int:
    return folder.stat().st_mtime_ns if folder.exists() else 0


def _names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def _outcome(folder: Path) -> dict[str, Any]:
    metrics = json.loads((folder / "metrics.json").read_text())
    return {name: value for name, value in metrics.items() if name not in OF_THIS_RUN}
