"""Evaluation folders as the stage ``evaluate`` leaves them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest

PROTOCOL: dict[str, Any] = {
    "id": "lipsmith-unseen-1",
    "sha256": "f" * 64,
    "pairing": "each clip with another one's audio",
    "pairing_sha256": "a" * 64,
    "num_pairs": 4,
    "evaluator": "trained",
    "evaluator_sha256": "e" * 64,
    "evaluator_width": 0.125,
    "every_n_frames": 5,
}


@pytest.fixture
def protocol() -> dict[str, Any]:
    return dict(PROTOCOL)


@pytest.fixture
def write_result(tmp_path: Path) -> Callable[..., Path]:
    def write(
        variant: str,
        lse_d: Sequence[float] = (6.0, 7.0, 8.0) * 3,
        lse_c: Sequence[float] = (3.0, 2.0, 1.0) * 3,
        fid: float = 10.0,
        failures: Sequence[dict[str, str]] = (),
        protocol: dict[str, Any] | None = None,
        num_images: int = 60,
        within_one_frame: float = 1.0,
        versions: Mapping[str, str] = MappingProxyType({"numpy": "2.1.0", "torch": "2.11.0"}),
    ) -> Path:
        folder = tmp_path / "evaluate" / variant
        folder.mkdir(parents=True)
        metrics = {
            "variant": variant,
            "lse_d": sum(lse_d) / len(lse_d),
            "lse_c": sum(lse_c) / len(lse_c),
            "lse_d_valid": 1.01 * sum(lse_d) / len(lse_d),
            "lse_c_valid": 1.02 * sum(lse_c) / len(lse_c),
            "fid": fid,
            "num_clips": len(lse_d),
            "num_failed": len(failures),
            "num_rejected": 0,
            "seconds": 12.5,
            "num_short_clips": 0,
            "offset_mean_frames": 0.0,
            "offset_median_frames": -1.0,
            "share_at_limit": 0.125,
            "within_one_frame": within_one_frame,
            "offset_histogram": {str(k): len(lse_d) * (k == 0) for k in range(-15, 16)},
            "jitter_ratio": 1.0,
            "opening_correlation": 0.375,
            "pause_motion_px": 0.125,
            "num_opening_clips": len(lse_d),
            "num_pause_clips": len(lse_d),
            "lips_missing": "",
            "kid": 0.0125,
            "fid_num_images": num_images,
            "versions": dict(versions),
            "failures": list(failures),
            "protocol": PROTOCOL if protocol is None else protocol,
        }
        if variant not in ("real", "copy_input"):
            metrics |= {"reconstruction_ssim": 0.9, "reconstruction_psnr_db": 31.0, "silence_motion": 0.25}
            metrics |= {"reconstruction_warping_error": 1.5, "real_warping_error": 2.0, "num_probes": 4}
        (folder / "metrics.json").write_text(json.dumps(metrics))
        lines = ["clip_id,audio_clip_id,lse_d,lse_c,offset_frames,num_frames,status,reason"]
        lines[0] += ",mouth_jitter,real_mouth_jitter,opening_correlation,pause_motion_px,num_pause_steps"
        lines += [
            f"c{k},x,{d},{c},0,75,ok,,2.0,2.0,0.375,0.125,20" for k, (d, c) in enumerate(zip(lse_d, lse_c, strict=True))
        ]
        lines += [f"{item['clip_id']},x,,,,,failed,{item['reason']}" for item in failures]
        (folder / "clips.csv").write_text("\n".join(lines) + "\n")
        return folder

    return write
