"""A trained model with the files of its evaluation, as the promotion gate reads them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from pipeline.core.digest import sha256_of_names
from pipeline.core.layout import Layout
from pipeline.inference.saved_model import model_sha256
from pipeline.params import Params


def write_model(
    layout: Layout,
    lse_d: float,
    fid: float,
    *,
    weight: float,
    evaluator: str = "e",
    trained_on: Collection[str] = (),
    num_failed: int = 0,
) -> None:
    folder = layout.model_dir("train_gan", "lstm_cbam")
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"w": np.array([weight])}, folder / "weights.safetensors")
    info = {"trained_on_sha256": sha256_of_names(trained_on)}
    (folder / "model.json").write_text(json.dumps({"kind": "generator", "config": {}, "info": info}))
    path = layout.metrics_path("evaluate", "lstm_cbam")
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = {"num_clips": 44 - num_failed, "num_failed": num_failed}
    metrics = figures(folder, lse_d, fid, evaluator=evaluator) | numbers
    (path.parent / "clips.csv").write_text(clips_csv(metrics.pop("lse_d_by_video")))
    path.write_text(json.dumps(metrics))


def clips_csv(lse_d_by_video: dict[str, float]) -> str:
    columns = "clip_id,audio_clip_id,lse_d,lse_c,offset_frames,status,mouth_jitter,real_mouth_jitter"
    return "\n".join([columns, *(f"{name},other,{lse_d},5,0,ok,1,1" for name, lse_d in lse_d_by_video.items())])


def figures(folder: Path, lse_d: float, fid: float, *, evaluator: str) -> dict[str, Any]:
    """Metrics of an evaluation of the model in ``folder``, with the same LSE-D for every video."""
    return {
        "lse_d_by_video": {f"v{number}": lse_d for number in range(8)},
        "lse_d": lse_d,
        "lse_c": 5.0,
        "fid": fid,
        "generator_sha256": model_sha256(folder),
        "protocol": {"id": "unseen", "evaluator_sha256": evaluator, "sha256": f"digest-{evaluator}"},
    }


def must_not_be_called(layout: Layout, params: Params, folder: Path) -> dict[str, Any]:
    raise AssertionError("the champion has metrics of the same evaluation")
