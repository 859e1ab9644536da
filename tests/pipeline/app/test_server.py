"""Where the app listens and who may use it; the models that it offers."""

from __future__ import annotations

import importlib.util
import json
import logging
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import Mock

import pytest

from pipeline.app.models import OfferedModel, offered_models
from pipeline.app.server import _named_uploads, require_gradio
from pipeline.app.settings import AppAddress
from pipeline.cli.main import main
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from tests.support.tiny_generator import make_checkout, save_tiny_generator


def test_by_default_the_app_listens_on_this_machine_and_needs_no_password():
    address = AppAddress()
    assert address.host == "127.0.0.1"
    assert address.credentials() is None


def test_a_user_needs_a_password(monkeypatch):
    monkeypatch.delenv("LIPSMITH_APP_PASSWORD", raising=False)
    address = AppAddress(host="0.0.0.0", user="ann")
    with pytest.raises(UserError, match=r"--user ann needs a password; .* LIPSMITH_APP_PASSWORD"):
        address.credentials()
    monkeypatch.setenv("LIPSMITH_APP_PASSWORD", "secret")
    assert address.credentials() == ("ann", "secret")


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.7", "::"])
def test_another_host_needs_a_user(host):
    with pytest.raises(UserError, match=f"--host {host} opens the app to other machines; give --user NAME"):
        AppAddress(host=host).credentials()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--host", "0.0.0.0"), "error: --host 0.0.0.0 opens the app to other machines"),
        (("--max-seconds", "0"), "error: --max-seconds is 0; it must be at least 1"),
        (("--user", "ann"), "error: --user ann needs a password"),
        (("--label", "生成"), "error: label is '生成', but the font of labels has no '生' '成'"),
    ],
)
def test_the_command_refuses_unsafe_and_meaningless_settings(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("LIPSMITH_APP_PASSWORD", raising=False)
    monkeypatch.chdir(make_checkout(tmp_path / "checkout").root)
    assert main(["app", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_the_extra_is_named_if_it_is_missing(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UserError, match="needs the extra `app`"):
        require_gradio()


def test_trained_variants_are_offered(tmp_path):
    layout = make_checkout(tmp_path / "checkout", "wav2lip")
    assert offered_models(layout, ()) == {"wav2lip": OfferedModel("wav2lip", "wav2lip: 96 px")}


@contextmanager
def _registry(descriptions):
    """A registry whose aliases ``previous`` and ``champion`` are the versions 1 and 2."""
    yield SimpleNamespace(aliases=lambda: {"previous": "1", "champion": "2"}, description=descriptions.get)


def test_a_model_is_described_and_the_champion_comes_first(tmp_path, monkeypatch):
    layout = make_checkout(tmp_path / "checkout")
    layout.mlflow_db_path.touch()
    info = {"variant": "lstm_cbam", "num_steps": 300}
    champion = {"config": {"face_px": 128}, "info": info | {"source": "demo"}}
    monkeypatch.setattr("pipeline.app.models.open_registry", lambda _: _registry({"2": champion}))
    model_json = layout.model_dir("train_gan", "lstm_cbam") / "model.json"
    model_json.write_text(json.dumps(json.loads(model_json.read_text()) | {"info": info}))
    offered = offered_models(layout, ())
    assert [(name, one.text, one.is_of_rendered_faces) for name, one in offered.items()] == [
        ("champion", "champion: lstm_cbam, trained on demo, 300 steps, 128 px", True),
        ("previous", "previous: version 1, whose files cannot be read", False),
        ("lstm_cbam", "lstm_cbam: 300 steps, 96 px", False),
    ]
    assert [one.source for one in offered.values()] == list(offered)
    model_json.write_text(json.dumps({"config": {}, "info": {"file": "wav2lip_gan.pth"}}))
    (only,) = offered_models(layout, [model_json.parent]).values()
    assert only.text == "lstm_cbam: published weights wav2lip_gan.pth, 96 px"


def test_the_command_says_that_the_app_starts_and_then_its_address(tmp_path, monkeypatch, capsys, caplog):
    monkeypatch.chdir(make_checkout(tmp_path / "checkout").root)

    @contextmanager
    def running(*arguments, **options):
        assert capsys.readouterr().err == "the app is starting; its address follows in some seconds\n"
        yield "http://127.0.0.1:7860"

    monkeypatch.setattr("pipeline.app.server.running_app", running)
    monkeypatch.setattr("time.sleep", Mock(side_effect=KeyboardInterrupt))
    assert main(["app"]) == 0
    assert caplog.messages == ["the app: http://127.0.0.1:7860 (Ctrl-C stops it)"]


def test_the_log_names_uploads_without_their_folders(tmp_path, caplog):
    logger = logging.getLogger("test")
    with _named_uploads(tmp_path / "app"):
        logger.warning("%s: is silent", tmp_path / "app" / ("5f" * 32) / "my voice.wav")
        logger.warning("%s: stays", tmp_path / "clip.mp4")
        logger.warning("no argument fits: %d")
    logger.warning("%s: stays", tmp_path / "app" / "5f" / "voice.wav")
    assert caplog.messages[:2] == ["my voice.wav: is silent", f"{tmp_path}/clip.mp4: stays"]
    assert caplog.messages[-1] == f"{tmp_path}/app/5f/voice.wav: stays"


def test_folders_are_offered_by_their_names(tmp_path):
    folders = [tmp_path / "anna" / "model", tmp_path / "ben"]
    for folder in folders:
        save_tiny_generator(folder)
    offered = offered_models(Layout(tmp_path), folders)
    assert {name: one.source for name, one in offered.items()} == {"anna": folders[0], "ben": folders[1]}
    twice = [folders[1], tmp_path / "other" / "ben"]
    save_tiny_generator(twice[1])
    assert set(offered_models(Layout(tmp_path), twice)) == {str(folder) for folder in twice}


def test_a_relative_folder_is_offered_by_its_own_name(tmp_path, monkeypatch):
    for folder in (tmp_path / "anna", tmp_path / "ben" / "model"):
        save_tiny_generator(folder)
    for where, given, name in (("anna", ".", "anna"), ("ben/model", ".", "ben"), ("ben", "../anna", "anna")):
        monkeypatch.chdir(tmp_path / where)
        assert list(offered_models(Layout(tmp_path), [Path(given)])) == [name]
    monkeypatch.chdir(tmp_path / "anna")
    both = [Path(), tmp_path / "other" / "anna"]
    save_tiny_generator(both[1])
    assert list(offered_models(Layout(tmp_path), both)) == [str(tmp_path / "anna"), str(both[1])]


def test_no_model_is_an_error(tmp_path):
    layout = make_checkout(tmp_path / "checkout")
    (layout.model_dir("train_gan", "lstm_cbam") / "model.json").unlink()
    with pytest.raises(UserError, match=r"no generator is trained in .*`make repro` trains them"):
        offered_models(layout, ())
    with pytest.raises(UserError, match=r"no trained generator in .*nowhere"):
        offered_models(layout, [tmp_path / "nowhere"])
