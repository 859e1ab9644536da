"""Validation of params.yaml: every error has the key, the value and the allowed values."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params import ParamsError, load_params, parse_params

TWO_SPEAKERS = {
    "num_speakers": 2,
    "num_clips_per_speaker": 10,
    "clip_seconds": 3.0,
    "size_px": 160,
    "head_motion": 1.0,
    "split_by": "speaker",
    "val_fraction": 0.1,
    "test_fraction": 0.2,
}


@pytest.fixture
def content(repo_root: Path) -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load((repo_root / "params.yaml").read_text()))


def test_the_committed_file_is_valid(repo_root: Path) -> None:
    arms, baselines = ("lstm_cbam", "no_lstm", "no_cbam", "no_lstm_cbam"), ("wav2lip", "lipgan", "speech2vid")
    assert tuple(load_params(repo_root / "params.yaml").variants) == (*arms, *baselines)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("train_gan.num_step", 3, "train_gan.num_step: unknown key; did you mean num_steps?"),
        ("trian_gan", {}, "trian_gan: unknown key; did you mean train_gan?"),
        ("variants.no_lstm.use_lstmm", True, "variants.no_lstm.use_lstmm: unknown key; did you mean use_lstm?"),
        ("dataset.grid.rot", "x", "dataset.grid.rot: unknown key; did you mean root?"),
        ("dataset.source", "youtube", "dataset.source: Input should be 'demo', 'grid', 'lrs2' or 'folder'"),
        ("train_gan.ema_decay", 1.5, "given 1.5"),
        ("promote.variant", "best", "promote.variant is 'best', which must be one of the variants: lstm_cbam"),
        ("train_gan.betas", [0.5, 1.0], "train_gan.betas.1"),
        ("promote.min_lse_d_gain", float("nan"), "promote.min_lse_d_gain"),
        ("promote.branch", "-f", "promote.branch: must be a name for a git branch, such as results"),
        ("promote.branch", "results.lock", "promote.branch: must be a name for a git branch"),
        ("promote.branch", "a..b", "promote.branch: must be a name for a git branch"),
        ("seed", -1, "given -1"),
        ("seed", 2**32, "less than or equal to 4294967295 (given 4294967296)"),
        ("variants.no_cbam.seed", 2**32, "less than or equal to 4294967295 (given 4294967296)"),
        ("variants", {"real": {"network": "speech2vid", "seed": None}}, "'real' cannot name a variant"),
        ("variants", {"a.b": {"network": "speech2vid", "seed": None}}, "'a.b' cannot name a variant"),
        ("variants.LipGAN", {"network": "speech2vid", "seed": None}, "lipgan and LipGAN differ in case only"),
        ("variants.lipgan.use_lstm", True, "variants.lipgan.use_lstm: unknown key"),
        ("variants.lipgan.contrastive_weight", -1, "variants.lipgan.contrastive_weight: Input should be greater"),
        ("variants.lipgan.network", "gan", "variants.lipgan.network: must be wav2lip, lipgan, speech2vid (given gan)"),
        ("train_gan.losses.sync.start_step", 300, "losses.sync.start_step 300 must be below num_steps 300"),
        (
            "train_gan.losses.sync.ramp_steps",
            251,
            "losses.sync.start_step 60 + ramp_steps 251 must be at most num_steps 300",
        ),
        ("train_evaluator.windows_per_clip", 5, "need clips of 26 frames, but preprocess.min_frames is 25"),
        ("preprocess.min_audio_rms", 5, "preprocess.min_audio_rms: Input should be less than or equal to 1"),
        ("train_gan.width", 0.5, "train_gan.width is 0.5 and train_syncnet.width is 0.25; make them"),
        ("train_gan.face_px", 100, "train_gan.face_px: Input should be 96, 128 or 192 (given 100)"),
        (
            "train_gan.use_decoder_cbam",
            True,
            "train_gan.use_decoder_cbam: the key is now train_gan.cbam_in; write encoders in place of false, both in",
        ),
        ("train_gan.cbam_in", "output", "train_gan.cbam_in: Input should be 'encoders', 'decoder' or 'both'"),
        ("train_gan.cbam_reduction", 0, "train_gan.cbam_reduction: Input should be greater than or equal to 1"),
        ("train_gan.mel_window", 27, "train_gan.mel_window: Input should be 'own', 'short' or 'long' (given 27)"),
        ("train_gan.window_frames", 7, "train_gan.window_frames: Input should be a multiple of 5"),
        ("train_gan.window_frames", 25, "need clips of 51 frames, but preprocess.min_frames is 25"),
        (
            "runtime.num_processes",
            3,
            "train_evaluator.clips_per_batch 16 into 3 (set it to 15 or 18), train_gan.clips_per_batch 4 into 3",
        ),
        ("variants", {}, "variants: must have at least one variant"),
        ("train_gan.micro_batches", 3, "train_gan.clips_per_batch 4 into 3 (set it to 3 or 6)"),
        ("train_gan.micro_batches", 4, "leaves one clip per micro-batch, but LipGAN's discriminator"),
        ("train_gan.losses.sync.weight", 0.999, "sync.weight + adversarial.weight must be below 1"),
        ("dataset.demo.test_fraction", 0.93, "val_fraction + test_fraction must be below 1"),
        ("dataset.demo", TWO_SPEAKERS, "with split_by speaker it must be at least 3"),
        ("weights.syncnet_v2.urls", ["/mnt/syncnet_v2.model"], "weights.syncnet_v2.urls.0: must be an http or https"),
        ("weights.syncnet_v2.urls", [], "weights.syncnet_v2.urls"),
        ("weights.syncnet_v2.sha256", "961e", "weights.syncnet_v2.sha256"),
    ],
)
def test_a_wrong_value_is_an_error_with_its_key(content: dict[str, Any], path: str, value: Any, expected: str) -> None:
    *parents, key = path.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[key] = value
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert expected in str(caught.value)


def test_several_trainings_at_a_time_cannot_have_several_processes_each(content: dict[str, Any]) -> None:
    content["runtime"]["num_jobs"] = 2
    parse_params(content)
    content["runtime"]["num_processes"] = 2
    with pytest.raises(ParamsError, match="num_jobs is 2 and num_processes is 2: several training runs"):
        parse_params(content)


def test_a_sync_loss_without_negative_audio_is_an_error(content: dict[str, Any]) -> None:
    content["variants"].pop("lipgan")
    content["train_gan"] |= {"micro_batches": 4, "sync_negatives": 0}
    with pytest.raises(ParamsError, match=r"no negative audio; raise train_gan\.sync_negatives"):
        parse_params(content)
    for change in ({"sync_negatives": 1}, {"micro_batches": 2}, {"sync_objective": "bce"}):
        parse_params(content | {"train_gan": content["train_gan"] | change})


def test_feature_matching_needs_a_discriminator(content: dict[str, Any]) -> None:
    losses = content["train_gan"]["losses"]
    losses["adversarial"]["weight"] = 0.0
    parse_params(content)
    losses["feature_matching"]["weight"] = 0.1
    with pytest.raises(ParamsError, match=r"only trained with adversarial\.weight above 0"):
        parse_params(content)


def test_two_variants_with_the_same_training_are_an_error(content: dict[str, Any]) -> None:
    content["variants"]["again"] = content["variants"]["no_cbam"] | {"seed": content["seed"]}
    with pytest.raises(
        ParamsError, match=r"variants\.again repeats the training of variants\.no_cbam, with .* seed 1234"
    ):
        parse_params(content)
    content["variants"]["again"]["seed"] = 2
    assert "again" in parse_params(content).variants


def test_a_variant_without_a_network_is_an_error(content: dict[str, Any]) -> None:
    del content["variants"]["no_lstm"]["network"]
    with pytest.raises(ParamsError, match=r"variants\.no_lstm\.network: must be wav2lip.*given nothing"):
        parse_params(content)


def test_a_missing_key_is_an_error(content: dict[str, Any]) -> None:
    del content["evaluate"]["fid"]["max_frames"]
    with pytest.raises(ParamsError, match=r"evaluate\.fid\.max_frames: missing"):
        parse_params(content)


def test_a_renamed_key_is_one_error_that_names_the_new_key(content: dict[str, Any]) -> None:
    del content["train_gan"]["cbam_in"]
    content["train_gan"]["use_decoder_cbam"] = True
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert str(caught.value) == (
        "params.yaml: train_gan.use_decoder_cbam: the key is now train_gan.cbam_in; write encoders in place of false, "
        "both in place of true"
    )


def test_all_errors_are_reported_together(content: dict[str, Any]) -> None:
    content["seed"] = "many"
    content["compare"]["confidence"] = 2
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert "seed" in str(caught.value)
    assert "compare.confidence" in str(caught.value)


def test_a_repeated_key_is_an_error_with_its_lines(tmp_path: Path, repo_root: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (repo_root / "params.yaml").read_text()
    path.write_text(text + "compare:\n  confidence: 0.9\n  num_resamples: 100\n")
    with pytest.raises(ParamsError, match=r"key compare is repeated, in lines \d+ and \d+"):
        load_params(path)
    path.write_text(text.replace("root: null", "root: {{GRID}}", 1))
    with pytest.raises(ParamsError, match=r"cannot be a key; check for doubled braces"):
        load_params(path)
    path.write_bytes(b"seed: \xff")
    with pytest.raises(ParamsError, match="cannot be read"):
        load_params(path)


def test_a_missing_file_is_an_error_with_the_command(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="git restore"):
        load_params(tmp_path / "params.yaml")
