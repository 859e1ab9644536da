"""Where the app listens and who may use it; the models that it offers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from pipeline.app.models import offered_models
from pipeline.app.server import require_gradio
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
    assert offered_models(layout, ()) == {"wav2lip": "wav2lip"}


def test_folders_are_offered_by_their_names(tmp_path):
    folders = [tmp_path / "anna" / "model", tmp_path / "ben"]
    for folder in folders:
        save_tiny_generator(folder)
    assert offered_models(Layout(tmp_path), folders) == {"anna": folders[0], "ben": folders[1]}
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
