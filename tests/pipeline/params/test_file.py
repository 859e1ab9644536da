"""params.yaml: every mistake is named with its key and what is allowed."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml

from pipeline.params import ParamsError, load_params, parse_params


@pytest.fixture
def content(repo_root: Path) -> dict[str, Any]:
    return copy.deepcopy(yaml.safe_load((repo_root / "params.yaml").read_text()))


def test_the_committed_file_is_valid(repo_root: Path) -> None:
    arms, rivals = ("lstm_cbam", "no_lstm", "no_cbam", "no_lstm_cbam"), ("wav2lip", "lipgan", "speech2vid")
    assert tuple(load_params(repo_root / "params.yaml").variants) == (*arms, *rivals)


@pytest.mark.parametrize(
    ("path", "value", "expected"),
    [
        ("train_gan.num_step", 3, "train_gan.num_step: unknown key; did you mean num_steps?"),
        ("trian_gan", {}, "trian_gan: unknown key; did you mean train_gan?"),
        ("variants.no_lstm.use_lstmm", True, "variants.no_lstm.use_lstmm: unknown key; did you mean use_lstm?"),
        ("dataset.grid.rot", "x", "dataset.grid.rot: unknown key; did you mean root?"),
        ("dataset.source", "youtube", "dataset.source: Input should be 'demo', 'grid', 'lrs2' or 'folder'"),
        ("train_gan.ema_decay", 1.5, "given 1.5"),
        ("promote.variant", "best", "promote.variant is 'best'; variants has lstm_cbam"),
        ("train_gan.betas", [0.5, 1.0], "train_gan.betas.1"),
        ("promote.min_lse_d_gain", float("nan"), "promote.min_lse_d_gain"),
        ("seed", -1, "given -1"),
        ("variants", {"real": {"network": "speech2vid", "seed": None}}, "'real' cannot name a variant"),
        ("variants", {"a.b": {"network": "speech2vid", "seed": None}}, "'a.b' cannot name a variant"),
        ("variants.LipGAN", {"network": "speech2vid", "seed": None}, "lipgan and LipGAN differ in capitals only"),
        ("variants.lipgan.use_lstm", True, "variants.lipgan.use_lstm: unknown key"),
        ("variants.lipgan.contrastive_weight", -1, "variants.lipgan.contrastive_weight: Input should be greater"),
        ("variants.lipgan.network", "gan", "variants.lipgan.network: must be wav2lip, lipgan, speech2vid (given gan)"),
        ("train_gan.losses.sync.start_step", 300, "losses.sync.start_step 300 is not below num_steps 300"),
        (
            "train_gan.losses.sync.ramp_steps",
            181,
            "takes 181 steps to its full weight, which num_steps 300 ends before",
        ),
        ("train_evaluator.windows_per_clip", 5, "need clips of 26 frames, and preprocess.min_frames 25"),
        ("preprocess.min_audio_rms", 5, "preprocess.min_audio_rms: Input should be less than or equal to 1"),
        ("train_gan.width", 0.5, "train_gan.width is 0.5, train_syncnet.width 0.25; make them equal"),
        ("train_gan.window_frames", 7, "train_gan.window_frames: Input should be a multiple of 5"),
        ("train_gan.window_frames", 25, "need clips of 51 frames, and preprocess.min_frames 25"),
        (
            "runtime.num_processes",
            3,
            "train_evaluator.clips_per_batch 16 into 3 (make it 15 or 18), train_gan.clips_per_batch 4 into 3",
        ),
        ("variants", {}, "variants: there is none"),
        ("train_gan.micro_batches", 3, "train_gan.clips_per_batch 4 into 3 (make it 3 or 6)"),
        ("train_gan.micro_batches", 4, "leaves one clip in a part, and LipGAN's discriminator"),
        ("train_gan.losses.sync.weight", 0.999, "must be below 1 together"),
        ("dataset.demo.num_test_speakers", 12, "leave no training speaker"),
        ("weights.syncnet_v2.urls", ["/mnt/syncnet_v2.model"], "weights.syncnet_v2.urls.0: must be an http or https"),
        ("weights.syncnet_v2.urls", [], "weights.syncnet_v2.urls"),
        ("weights.syncnet_v2.sha256", "961e", "weights.syncnet_v2.sha256"),
    ],
)
def test_a_bad_value_is_named(content: dict[str, Any], path: str, value: Any, expected: str) -> None:
    *parents, key = path.split(".")
    section = content
    for parent in parents:
        section = section[parent]
    section[key] = value
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert expected in str(caught.value)


def test_several_trainings_at_once_are_not_of_several_processes_each(content: dict[str, Any]) -> None:
    content["runtime"]["num_jobs"] = 2
    parse_params(content)
    content["runtime"]["num_processes"] = 2
    with pytest.raises(ParamsError, match="num_jobs is 2 and num_processes 2: either several trainings"):
        parse_params(content)


def test_a_sync_loss_without_other_audio_is_named(content: dict[str, Any]) -> None:
    content["variants"].pop("lipgan")
    content["train_gan"] |= {"micro_batches": 4, "sync_negatives": 0}
    with pytest.raises(ParamsError, match="no other audio to compare with: raise sync_negatives"):
        parse_params(content)
    for change in ({"sync_negatives": 1}, {"micro_batches": 2}, {"sync_objective": "bce"}):
        parse_params(content | {"train_gan": content["train_gan"] | change})


def test_matching_features_needs_a_discriminator(content: dict[str, Any]) -> None:
    losses = content["train_gan"]["losses"]
    losses["adversarial"]["weight"] = 0.0
    parse_params(content)
    losses["feature_matching"]["weight"] = 0.1
    with pytest.raises(ParamsError, match=r"it needs an adversarial\.weight"):
        parse_params(content)


def test_one_training_under_two_names_is_named(content: dict[str, Any]) -> None:
    content["variants"]["again"] = content["variants"]["no_cbam"] | {"seed": content["seed"]}
    with pytest.raises(ParamsError, match=r"variants\.again is the training of variants\.no_cbam once more, seed 1234"):
        parse_params(content)
    content["variants"]["again"]["seed"] = 2
    assert "again" in parse_params(content).variants


def test_a_variant_without_a_network_is_named(content: dict[str, Any]) -> None:
    del content["variants"]["no_lstm"]["network"]
    with pytest.raises(ParamsError, match=r"variants\.no_lstm\.network: must be wav2lip.*given nothing"):
        parse_params(content)


def test_a_missing_key_is_named(content: dict[str, Any]) -> None:
    del content["evaluate"]["fid"]["max_frames"]
    with pytest.raises(ParamsError, match=r"evaluate\.fid\.max_frames: missing"):
        parse_params(content)


def test_every_mistake_is_reported_at_once(content: dict[str, Any]) -> None:
    content["seed"] = "many"
    content["compare"]["confidence"] = 2
    with pytest.raises(ParamsError) as caught:
        parse_params(content)
    assert "seed" in str(caught.value)
    assert "compare.confidence" in str(caught.value)


def test_a_key_that_is_there_twice_is_named_with_its_lines(tmp_path: Path, repo_root: Path) -> None:
    path = tmp_path / "params.yaml"
    text = (repo_root / "params.yaml").read_text()
    path.write_text(text + "compare:\n  confidence: 0.9\n  num_resamples: 100\n")
    with pytest.raises(ParamsError, match=r"compare is there twice, in lines \d+ and \d+"):
        load_params(path)
    path.write_text(text.replace("root: null", "root: {{GRID}}", 1))
    with pytest.raises(ParamsError, match=r"cannot be a key: are braces doubled"):
        load_params(path)
    path.write_bytes(b"seed: \xff")
    with pytest.raises(ParamsError, match="cannot be read"):
        load_params(path)


def test_a_file_that_is_not_there_says_how_to_write_it(tmp_path: Path) -> None:
    with pytest.raises(ParamsError, match="git restore"):
        load_params(tmp_path / "params.yaml")
