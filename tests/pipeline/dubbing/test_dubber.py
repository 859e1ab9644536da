"""The Python interface of dubbing, with a small untrained generator."""

from __future__ import annotations

import json
import re
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest
import torch
import yaml
from threadpoolctl import threadpool_info

from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.dubbing import Dubber, DubSegment, DubSummary
from pipeline.dubbing.dubber import OF_RENDERED_FACES
from pipeline.dubbing.generator_folder import is_of_rendered_faces
from pipeline.inference.generator import MouthGenerator
from pipeline.media.writer import VideoWriter
from tests.support.drawn_face import draw_face
from tests.support.media_readers import read_frames
from tests.support.tiny_generator import make_checkout, save_tiny_generator

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory) -> Layout:
    return make_checkout(tmp_path_factory.mktemp("checkout"))


@pytest.fixture
def clip(tmp_path) -> Path:
    """Ten frames of a face that the real detector detects."""
    path = tmp_path / "clip.mp4"
    with VideoWriter(path, 25, (160, 160), preset="ultrafast") as writer:
        for _ in range(10):
            writer.write(draw_face(80, 76))
    return path


@pytest.fixture(autouse=True)
def keep_number_of_threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_a_dubber_is_loaded_once_and_dubs_again(checkout, clip, make_sound, tmp_path, monkeypatch):
    loads, load = [], MouthGenerator.load
    monkeypatch.setattr(MouthGenerator, "load", lambda *arguments: (loads.append(arguments), load(*arguments))[1])
    dubber = Dubber.load("lstm_cbam", device="cpu", root=checkout.root)
    first = dubber(str(clip), make_sound(0.4), tmp_path / "first.mp4")
    again = dubber(clip, make_sound(0.4), tmp_path / "again.mp4")
    short = dubber(clip, make_sound(0.2, name="short.wav"), tmp_path / "short.mp4", length="video", reference="same")
    assert len(loads) == 1
    assert isinstance(first, DubSummary)
    assert (first.num_frames, first.num_missing, first.path) == (10, 0, tmp_path / "first.mp4")
    assert short.num_frames == 10
    assert first.path.read_bytes() == again.path.read_bytes()


def test_a_generator_of_rendered_faces_says_so(checkout, clip, make_sound, tmp_path):
    folder = tmp_path / "model"
    save_tiny_generator(folder)
    assert not is_of_rendered_faces(folder) and not is_of_rendered_faces(tmp_path / "mouth.onnx")
    described = json.loads((folder / "model.json").read_text())
    described["info"]["source"] = "demo"
    (folder / "model.json").write_text(json.dumps(described))
    dubber = Dubber.load(folder, device="cpu", root=checkout.root).with_detectors(lambda detectors: detectors)
    assert dubber(clip, make_sound(0.4), tmp_path / "out.mp4").notes == (OF_RENDERED_FACES,)


def test_a_generator_is_found_by_alias_variant_and_folder(checkout, tmp_path, monkeypatch):
    folders = []

    class Registry:
        def aliased(self, alias):
            return {"champion": "7"}[alias]

        @contextmanager
        def files(self, version):
            assert version == "7"
            yield tmp_path / "registered"

    @contextmanager
    def open_registry(layout):
        assert layout == checkout
        yield Registry()

    save_tiny_generator(tmp_path / "registered")
    save_tiny_generator(tmp_path / "my models")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("pipeline.promote.registry.open_registry", open_registry)
    monkeypatch.setattr(MouthGenerator, "load", lambda folder, device: folders.append(folder) or Mock())
    for model in ("champion", "lstm_cbam", tmp_path / "my models", "my models", "./my models"):
        Dubber.load(model, root=checkout.root)
    assert folders == [
        tmp_path / "registered",
        checkout.model_dir("train_gan", "lstm_cbam"),
        tmp_path / "my models",
        Path("my models"),
        Path("my models"),
    ]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("best", "no variant 'best' in params.yaml; its variants are lstm_cbam, "),
        ("wav2lip", r"no trained generator in .*wav2lip.*`dvc repro train_gan@wav2lip` trains it"),
        ("no/where", "no trained generator in no/where; give another --model"),
        (Path("nowhere"), "no trained generator in nowhere; give another --model"),
    ],
)
def test_a_generator_that_does_not_exist(checkout, model, message):
    with pytest.raises(UserError, match=message):
        Dubber.load(model, root=checkout.root)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"length": "longest"}, "length is 'longest'; allowed: audio, video"),
        ({"fill": "black"}, "fill is 'black'; allowed: pingpong, loop"),
        ({"on_missing": None}, "on_missing is None; allowed: auto, keep, error"),
        ({"start_s": 0.5}, "start_s is no option of a dub; allowed: length, .* start, end, segments"),
        ({"start": "soon"}, "the time 'soon' is not understood; allowed: seconds such as 62.5, or 1:02.5"),
        ({"end": -1}, "the time -1 is not understood"),
        ({"start": True}, "the time True is not understood"),
        ({"detail": "much"}, "detail is 'much'; allowed: a number"),
        ({"min_dubbed": "0.5"}, "min_dubbed is '0.5'; allowed: a number or None"),
        ({"audio_track": 1.5}, "audio_track is 1.5; allowed: a whole number or None"),
        ({"label": 7}, "label is 7; allowed: a text or None"),
        ({"drive": 7}, "drive is 7; allowed: a path or None"),
        ({"on_progress": "print"}, "on_progress is 'print'; allowed: a function or None"),
        ({"segments": "lines.csv"}, "segments is 'lines.csv'; allowed: a list of DubSegment"),
        ({"segments": ["a.wav"]}, "segments contains 'a.wav'; allowed: DubSegment"),
        ({"segments": [DubSegment(audio=None)]}, "audio of a segment is None; allowed: a path"),
        ({"segments": [DubSegment(audio="a.wav", start_s=None)]}, "the time None is not understood"),
        ({"segments": [DubSegment(audio="a.wav", who="bob")]}, "who is 'bob'; allowed: largest"),
    ],
)
def test_an_option_that_cannot_be_used(clip, make_sound, tmp_path, option, message):
    dubber = Dubber(SimpleNamespace(geometry="square"), lambda side: [], None)
    with pytest.raises(UserError, match=message):
        dubber(clip, make_sound(0.4), tmp_path / "out.mp4", **option)


@pytest.mark.parametrize(
    ("name", "value"), [("face", None), ("audio", 1.0), ("out", b"out.mp4")], ids=["face", "audio", "out"]
)
def test_a_file_that_is_no_path(clip, make_sound, tmp_path, name, value):
    files = {"face": clip, "audio": make_sound(0.2), "out": tmp_path / "out.mp4"} | {name: value}
    with pytest.raises(UserError, match=rf"^{name} is {value!r}; allowed: a path$"):
        Dubber(SimpleNamespace(geometry="square"), lambda side: [], None)(**files)


@pytest.mark.parametrize("num_threads", [1, 2])
def test_the_number_of_threads_is_that_of_the_settings(checkout, clip, make_sound, tmp_path, monkeypatch, num_threads):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    params["runtime"]["num_threads"] = num_threads
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    seen = []

    def watch(*arguments: object) -> None:
        blas = {pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"}
        seen.append((torch.get_num_threads(), blas))

    monkeypatch.setattr("pipeline.dubbing.dub._dub", watch)
    dubber = Dubber.load(checkout.model_dir("train_gan", "lstm_cbam"), device="cpu", root=tmp_path)
    dubber(clip, make_sound(0.1), tmp_path / "out.mp4")
    assert seen == [(num_threads, {1})]


def test_the_example_of_the_documentation(checkout, clip, make_sound, tmp_path, monkeypatch, capsys):
    text = (ROOT / "docs" / "dubbing.md").read_text()
    examples = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    assert examples
    make_sound(0.4)
    monkeypatch.chdir(make_checkout(tmp_path).root)
    for example in examples:
        exec(compile(example, "docs/dubbing.md", "exec"), {})
    assert "10 frames" in capsys.readouterr().out
    assert len(read_frames("out.mp4", None)) == 10
