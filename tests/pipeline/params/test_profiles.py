"""Profiles change their own values only; the other bytes of params.yaml stay unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from pipeline.params import ParamsError, parse_params
from pipeline.params.edit import _scalar
from pipeline.params.profiles import PROFILES, apply_profile, next_step

COMMITTED = (Path(__file__).parents[3] / "params.yaml").read_text()
OWNED_BY_THE_USER = re.compile(
    r"seed|runtime\.|weights\.|variants\.|promote\.|compare\.|evaluate\.lse\.(?!weights$)"
    r"|dataset\.(?!source$)"
)


def without_values(text: str) -> list[str]:
    """Return the lines with keys and comments, without values."""
    return [re.sub(r": [^#\s][^#]*?(?=\s*(#|$))", ": _", line) for line in text.splitlines()]


def with_discriminator(line: str) -> str:
    """Return the committed file with ``line`` in place of the discriminator's width."""
    return re.sub(r"discriminator_width: \S+", line, COMMITTED)


def test_the_committed_file_has_the_profile_demo():
    text, changes = apply_profile("demo", COMMITTED)
    assert text == COMMITTED
    assert changes == []


@pytest.mark.parametrize("name", PROFILES)
def test_the_result_is_valid_and_has_every_value(name):
    content = yaml.safe_load(apply_profile(name, COMMITTED)[0])
    params = parse_params(content)
    assert params.profile == name
    assert params.dataset.source == name
    for key, value in PROFILES[name].items():
        node = content
        for part in key.split("."):
            node = node[int(part) if part.isdigit() else part]
        assert node == value
        assert type(node) is type(value)


@pytest.mark.parametrize("name", PROFILES)
def test_changing_the_profile_and_back_restores_every_byte(name):
    scaled, _ = apply_profile(name, COMMITTED)
    assert without_values(scaled) == without_values(COMMITTED)
    back, _ = apply_profile("demo", scaled)
    assert back == COMMITTED


@pytest.mark.parametrize("name", PROFILES)
def test_profiles_have_the_same_keys_and_none_of_the_users(name):
    assert [key for key in PROFILES[name] if OWNED_BY_THE_USER.match(key)] == []
    assert PROFILES[name].keys() == PROFILES["demo"].keys()


def test_the_users_paths_comments_and_line_ends_are_kept():
    mine = (
        COMMITTED.replace("root: null  # folder that holds s1", "root: '/data/my grid'  # MINE")
        .replace("speakers: []", "speakers: [s1, s26]")
        .replace("weights: judge-1", "weights: /w/syncnet_v2.model")
        .replace("seed: 1234", "seed: 7")
        .replace("device: auto", "device: cpu")
        .replace("\n", "\r\n")
    )
    text, changes = apply_profile("grid", mine)
    content = yaml.safe_load(text)
    assert content["dataset"]["grid"]["root"] == "/data/my grid"
    assert content["dataset"]["grid"]["speakers"] == ["s1", "s26"]
    assert content["evaluate"]["lse"]["weights"] == "/w/syncnet_v2.model"
    assert (content["seed"], content["runtime"]["device"]) == (7, "cpu")
    assert "# MINE" in text
    assert text.count("\r\n") == text.count("\n") == COMMITTED.count("\n")
    assert {change.key for change in changes} >= {"dataset.source", "train_gan.num_steps"}


def test_a_judge_or_null_is_replaced() -> None:
    text, changes = apply_profile("grid", COMMITTED)
    assert yaml.safe_load(text)["evaluate"]["lse"]["weights"] is None
    assert [(c.old, c.new) for c in changes if c.key == "evaluate.lse.weights"] == [("judge-1", None)]
    assert yaml.safe_load(apply_profile("demo", text)[0])["evaluate"]["lse"]["weights"] == "judge-1"


def test_changes_have_the_old_and_the_new_value():
    _, changes = apply_profile("grid", with_discriminator("discriminator_width: 0.99"))
    [change] = [c for c in changes if c.key == "train_gan.discriminator_width"]
    assert (change.old, change.new) == (0.99, PROFILES["grid"]["train_gan.discriminator_width"])


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("tiny", COMMITTED, "'tiny'.*demo, grid, lrs2, folder"),
        ("grid", with_discriminator(""), "no train_gan.discriminator_width.*git restore"),
        ("grid", "", "git restore"),
        ("grid", "a: [", "not valid YAML"),
        ("grid", with_discriminator("discriminator_width: [1]"), "must be a single value"),
        ("grid", COMMITTED + "surprise: 1\n", "surprise: unknown key"),
    ],
)
def test_errors_have_a_remedy(name, text, message):
    with pytest.raises(ParamsError, match=message):
        apply_profile(name, text)


@pytest.mark.parametrize("value", [1e-5, 0.0005, 1.0, 0.375, 3, "demo", "@list.csv", "a: b", "3"])
def test_scalars_are_read_back_unchanged(value):
    assert yaml.safe_load(_scalar(value)) == value
    assert type(yaml.safe_load(_scalar(value))) is type(value)


def test_next_step_names_a_missing_root_first():
    content = yaml.safe_load(apply_profile("grid", COMMITTED)[0])
    assert "dataset.grid.root" in next_step(content)
    assert "or dataset.grid.url" in next_step(content)
    content["dataset"]["grid"]["url"] = "https://zenodo.org/api/records/3625687"
    assert next_step(content) == "python -m pipeline doctor; then: make repro"
    content["dataset"]["grid"] |= {"url": None, "root": "/data/grid"}
    assert next_step(content) == "python -m pipeline doctor; then: make repro"
    assert next_step(yaml.safe_load(COMMITTED)).endswith("make repro")
