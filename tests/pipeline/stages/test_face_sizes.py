"""Preprocessing, training, evaluation, dub and export with face crops of 128 px, at the smallest size."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from pipeline.core import atomic
from pipeline.core.layout import Layout
from pipeline.corpora.manifest import record_of
from pipeline.dubbing import Dubber
from pipeline.dubbing.dubber import OF_RENDERED_FACES
from pipeline.evaluation import lips, networks
from pipeline.inference.saved_model import load_model
from pipeline.media.writer import VideoWriter
from pipeline.params import Params, load_params
from pipeline.shards.write import write_index, write_rejects, write_shard
from pipeline.stage import StageContext
from pipeline.stages import evaluate, train_gan, train_syncnet
from pipeline.tracking.tracker import Tracker
from pipeline.training import session
from tests.support.drawn_face import FPS, draw_face, tone
from tests.support.media_readers import read_frames
from tests.support.processed_clips import sample_of

pytestmark = pytest.mark.slow

FACE_PX, VARIANT = 128, "no_cbam"
ALWAYS = {"start_step": 0, "ramp_steps": 0}
SMALLEST: dict[str, dict[str, Any]] = {
    "train_syncnet": {"width": 0.0625, "num_steps": 1, "clips_per_batch": 2, "windows_per_clip": 2},
    "train_gan": {
        "face_px": FACE_PX,
        "width": 0.0625,
        "discriminator_width": 0.03,
        "num_steps": 2,
        "clips_per_batch": 2,
        "predicts": "image",
        "audio_start": "random",
        "min_expert_accuracy": 0.0,
        "num_validation_windows": 1,
        "losses": {
            "sync": {"weight": 0.1, **ALWAYS},
            "adversarial": {"weight": 0.1, **ALWAYS},
            "perceptual": {"weight": 0.1, **ALWAYS},
            "feature_matching": {"weight": 0.1, **ALWAYS},
            "temporal": {"weight": 0.1, **ALWAYS},
            "mouth": {"weight": 0.1, **ALWAYS},
        },
    },
    "evaluate": {"num_strips": 1, "num_probes": 1},
    "runtime": {"num_threads": 1, "device": "cpu"},
}


@pytest.fixture
def layout(tmp_path: Path, repo_root: Path) -> Layout:
    """A checkout with a video, and clips that preprocessing makes of it."""
    content = yaml.safe_load((repo_root / "params.yaml").read_text())
    for section, values in SMALLEST.items():
        content[section].update(values)
    layout = Layout(tmp_path)
    atomic.write_text(layout.params_path, yaml.safe_dump(content))
    shutil.copy(repo_root / "dvc.yaml", tmp_path)
    face = tmp_path / "face.mp4"
    with VideoWriter(face, FPS, (160, 160), tone(30 / FPS), match="video") as writer:
        for frame in range(30):
            writer.write(draw_face(80 + 6 * np.sin(frame / 8), 80))
    sample = sample_of(record_of("s1/a", "s1", "train", face, ""), load_params(layout.params_path).preprocess, FACE_PX)
    rows = []
    for split, num_clips in (("train", 2), ("val", 1), ("test", 2)):
        copies = [replace(sample, clip_id=f"{split}/{number}", split=split) for number in range(num_clips)]
        rows += write_shard(layout.clips_dir, f"{split}/{split}-00000.tar", copies)
    write_index(layout.clips_dir, rows)
    write_rejects(layout.clips_dir, [])
    return layout


def run_stage(layout: Layout, params: Params, stage: str, body: Any, variant: str | None = None) -> dict[str, Any]:
    context = StageContext(stage, variant, params, layout, Tracker(None, None), "0" * 16, layout.scratch_dir / stage)
    return dict(body(context))


def test_a_generator_of_128_px_is_trained_scored_exported_and_dubs(
    layout: Layout, block_means: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    params, weights = load_params(layout.params_path), layout.weights_dir / "inception.pt"
    atomic.write_bytes(weights, b"weights")
    monkeypatch.setattr(session, "plot_curve", lambda *_: None)
    monkeypatch.setattr(lips, "has_speech_detector", lambda: False)
    monkeypatch.setattr(networks, "open_cache", lambda folder: folder)
    monkeypatch.setattr(networks, "ensure_inception", lambda folder: weights)
    monkeypatch.setattr(networks, "load_inception", lambda path, device: None)
    monkeypatch.setattr(networks, "inception_features", lambda images, network: block_means(images))

    run_stage(layout, params, "train_syncnet", train_syncnet._body)
    trained = run_stage(layout, params, "train_gan", partial(train_gan._body, VARIANT), VARIANT)
    assert np.isfinite(trained["val_loss"])
    model_dir = layout.model_dir("train_gan", VARIANT)
    saved = load_model(model_dir)
    assert saved.config["face_px"] == FACE_PX
    assert saved.info["source"] == params.dataset.source == "demo"  # a dub says that its faces are rendered

    rows = {
        name: run_stage(layout, params, "evaluate", partial(evaluate._body, name), name)
        for name in (VARIANT, "copy_input")
    }
    assert [row["protocol"]["crop_px"] for row in rows.values()] == [FACE_PX, FACE_PX]
    assert len({row["protocol"]["sha256"] for row in rows.values()}) == 1
    assert np.isfinite([rows[VARIANT][name] for name in ("lse_d", "fid", "reconstruction_ssim", "jitter_ratio")]).all()

    outputs = []
    for runtime in ("torch", "onnx"):
        dubber = Dubber.load(model_dir, device="cpu", runtime=runtime, root=layout.root)
        out = layout.root / f"{runtime}.mp4"
        summary = dubber(layout.root / "face.mp4", layout.root / "face.mp4", out)
        assert summary.num_dubbed == 30 and OF_RENDERED_FACES in summary.notes
        outputs.append(read_frames(out, None).astype(int))
    source = read_frames(layout.root / "face.mp4", None).astype(int)
    changes = np.abs(outputs[0] - source).mean(axis=(0, 3))
    assert changes[90:120, 60:100].mean() > 5 > changes[:40].mean()
    assert np.abs(outputs[0] - outputs[1]).mean() < 0.5
