"""Speed of scoring clips, compared with a direct implementation on the same networks. All numbers are from one run.

python benchmarks/evaluate.py [--num-clips 12] [--full-size]

Needs the clips and the evaluator of a run (`dvc repro`). Prints:
- LSE: time of whole clips in float32 and bfloat16 compared with one window at a time in float32, share of the time
  outside the network, largest difference between the scores;
- FID and KID: time compared with the Inception passes alone.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Annotated, get_args

import numpy as np
import torch
import typer
from numpy.typing import NDArray
from timing import timed

from models.choices import WINDOW_FRAMES
from models.lse_syncnet import LseSyncNet
from pipeline.core.choices import LsePrecision
from pipeline.core.command_line import run_and_report
from pipeline.core.layout import Layout, find_root
from pipeline.evaluation.networks import Networks
from pipeline.evaluation.score import distances
from pipeline.evaluation.setup import SPLIT
from pipeline.features.mfcc import mfcc
from pipeline.inference.lse_evaluator import Evaluator
from pipeline.metrics.fid import inception_features, load_inception
from pipeline.metrics.lse import WINDOWS_PER_PASS, LseScore, evaluator_frames, lse_scores, mfcc_windows, num_windows
from pipeline.params import load_params
from pipeline.shards.clip import Clip
from pipeline.shards.read import read_clips

Embeddings = tuple[NDArray[np.float32], NDArray[np.float32]]


def main(argv: Sequence[str] | None = None) -> int:
    return run_and_report(_command, argv, "python benchmarks/evaluate.py")


def _command(
    num_clips: Annotated[int, typer.Option(help="Held-out clips to score.")] = 12,
    full_size: Annotated[
        bool, typer.Option("--full-size", help="Use an evaluator of the published size with random weights.")
    ] = False,
) -> int:
    """Measure the speed of scoring clips, compared with a direct implementation on the same networks."""
    layout = Layout(find_root())
    networks = Networks.open(layout, load_params(layout.params_path))
    if full_size:
        network = LseSyncNet(1.0).eval().requires_grad_(False).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        networks = replace(networks, evaluator=replace(networks.evaluator, network=network, width=1.0))
    clips = list(itertools.islice(read_clips(layout.clips_dir, SPLIT), num_clips))
    print(f"{len(clips)} clips, {torch.get_num_threads()} threads, evaluator of width {networks.evaluator.width:g}")
    show_lse(clips, networks)
    show_fid(clips, networks)
    return 0


def show_lse(clips: list[Clip], networks: Networks) -> None:
    plain = LseSyncNet(networks.evaluator.width)
    plain.load_state_dict(networks.evaluator.network.state_dict())
    plain.eval()
    window_by_window(plain, clips[0])  # warm-up
    slow, slow_s = timed(lambda: [lse_scores(*window_by_window(plain, clip)) for clip in clips])
    print(f"LSE window by window in fp32: {slow_s / len(clips):.2f} s per clip")
    for precision in get_args(LsePrecision):
        evaluator = replace(networks.evaluator, precision=precision)
        evaluator(clips[0].context(), clips[0].audio)  # warm-up
        fast, fast_s = timed(partial(score_all, evaluator, clips))
        network_s = networks_alone(evaluator, clips)
        worst = max(max(abs(a.lse_d - b.lse_d), abs(a.lse_c - b.lse_c)) for a, b in zip(slow, fast, strict=True))
        print(
            f"LSE of whole clips in {precision}: {fast_s / len(clips):.2f} s per clip, {slow_s / fast_s:.2f} times as "
            f"fast; scores differ by at most {worst:.1e}; {100 * (1 - network_s / fast_s):.0f} % of the time is "
            "outside the network"
        )


def score_all(evaluator: Evaluator, clips: list[Clip]) -> list[LseScore]:
    return [lse_scores(*evaluator(clip.context(), clip.audio)) for clip in clips]


@torch.inference_mode()
def window_by_window(network: LseSyncNet, clip: Clip) -> Embeddings:
    """The usual implementation: each window of 5 frames is resized and embedded alone, in contiguous float32."""
    frames, num = clip.context(), num_windows(clip.num_frames, clip.num_samples)
    steps = mfcc_windows(mfcc(clip.audio), num)
    device = torch.device("cpu")
    lips = [network.embed_lips(evaluator_frames(frames[v : v + WINDOW_FRAMES], device)[None])[0, 0] for v in range(num)]
    sounds = [network.embed_audio(torch.from_numpy(steps[v : v + 1]))[0] for v in range(num)]
    return torch.stack(lips).numpy(), torch.stack(sounds).numpy()


@torch.inference_mode()
def networks_alone(evaluator: Evaluator, clips: list[Clip]) -> float:
    """Seconds that the network takes for all windows of the clips, without the preparation of its inputs.

    The inputs are real clips: on images of zeros the network takes less time.
    """
    chunk, cpu, seconds = WINDOWS_PER_PASS["cpu"], torch.device("cpu"), 0.0
    with torch.autocast("cpu", torch.bfloat16, enabled=evaluator.precision == "bf16"):
        for clip in clips:
            num = num_windows(clip.num_frames, clip.num_samples)
            frames = evaluator_frames(clip.context(), cpu)[None]
            steps = torch.from_numpy(mfcc_windows(mfcc(clip.audio), num))
            for start in range(0, num, chunk):
                stop = min(start + chunk, num)
                images, sounds = frames[:, :, start : stop + WINDOW_FRAMES - 1].contiguous(), steps[start:stop]
                _, lips_s = timed(partial(evaluator.network.embed_lips, images))
                _, audio_s = timed(partial(evaluator.network.embed_audio, sounds))
                seconds += lips_s + audio_s
    return seconds


def show_fid(clips: list[Clip], networks: Networks) -> None:
    real = np.concatenate([clip.crops()[:: networks.params.fid.every_n_frames] for clip in clips])
    mirrored = real[:, :, ::-1].copy()
    network = load_inception(networks.inception_path, networks.device)

    def features(images: NDArray[np.uint8]) -> NDArray[np.float32]:
        return inception_features(images, network)

    features(real[:16])  # warm-up
    _, bare_s = timed(lambda: [features(side) for side in (real, mirrored)])
    _, whole_s = timed(lambda: distances(real, mirrored, features, features, seed=0))
    print(f"FID and KID of {len(real)} images per side: {whole_s / bare_s:.2f} times the Inception passes alone")


if __name__ == "__main__":
    raise SystemExit(main())
