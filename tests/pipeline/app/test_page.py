"""Tests of what the app's page does between its components. They skip without the extra `app`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.core.errors import UserError

gr = pytest.importorskip("gradio", reason="the extra `app` is not installed")


def test_the_faces_of_an_earlier_video_cannot_be_chosen_while_and_after_a_search_that_fails(tmp_path, monkeypatch):
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    from pipeline.app.jobs import FaceListing
    from pipeline.app.page import _Events

    def list_faces(path, on_progress):
        raise UserError(f"{path}: no video")

    updates = _Events(SimpleNamespace(list_faces=list_faces)).show_faces("new.mp4")
    listing, sheet, who, _ = next(updates)
    assert listing == FaceListing((), None)
    assert not sheet.visible
    assert who.value == "largest" and [value for _, value in who.choices] == ["largest"]
    with pytest.raises(gr.Error, match="no video"):
        list(updates)
