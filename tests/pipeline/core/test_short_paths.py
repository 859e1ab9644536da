"""Paths in messages for people."""

from __future__ import annotations

import io
import logging
import sys

import pytest

from pipeline.core.logs import StderrHandler
from pipeline.core.short_paths import short_paths


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    """A working directory in the user's folder."""
    (tmp_path / "ann" / "videos").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(tmp_path / "ann"))
    monkeypatch.chdir(tmp_path / "ann" / "videos")


@pytest.mark.parametrize(
    ("text", "short"),
    [
        ("{0}/ann/videos/a b.wav: is silent", "a b.wav: is silent"),
        ("{0}/ann/x.wav and '{0}/ann/videos/y.wav'", "~/x.wav and 'y.wav'"),
        ("{0}/ann/videos2/x.wav, {0}/other/x.wav", "~/videos2/x.wav, {0}/other/x.wav"),
        ("file://{0}/ann/videos/mlruns", "file://{0}/ann/videos/mlruns"),
        ("/data{0}/ann/videos/x.wav", "/data{0}/ann/videos/x.wav"),
    ],
)
def test_paths_below_the_working_directory_and_the_users_folder_are_short(text, short, tmp_path):
    assert short_paths(text.format(tmp_path)) == short.format(tmp_path)


def test_root_as_a_folder_changes_nothing(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    monkeypatch.chdir("/")
    assert short_paths("/data/x.wav") == "/data/x.wav"


def test_without_a_working_directory_paths_stay(tmp_path):
    (tmp_path / "ann" / "videos").rmdir()
    assert short_paths(f"{tmp_path}/ann/videos/x.wav") == "~/videos/x.wav"


def test_the_log_has_short_paths(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    record = logging.makeLogRecord({"msg": "%s: a note", "args": (tmp_path / "ann" / "videos" / "clip.mp4",)})
    StderrHandler().emit(record)
    assert sys.stderr.getvalue() == "clip.mp4: a note\n"
