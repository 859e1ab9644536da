"""Tests of what the app's page does between its components. They skip without the extra `app`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.app.models import OfferedModel
from pipeline.core.errors import UserError

gr = pytest.importorskip("gradio", reason="the extra `app` is not installed")


@pytest.fixture
def events(tmp_path, monkeypatch):
    from pipeline.app.page import _Events

    def fail(*values):
        raise UserError("no_video.mp4: <no> video")

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    models = {name: OfferedModel(name, name, name == "drawn") for name in ("drawn", "real")}
    return _Events(SimpleNamespace(list_faces=fail, preview=fail, dub=fail, check_voice=fail, models=models))


def is_without_result(update):
    preview, results, before, after, download = update
    return not (preview.visible or results.visible or download.visible) and before is None and after is None


def explained(updates):
    """All values that are yielded. Outside a request Gradio warns instead of showing the notice."""
    with pytest.warns(UserWarning, match="no_video.mp4: &lt;no&gt; video"):
        return list(updates)


REASON = r"**Not done:** no\_video.mp4: \<no\> video"


def test_faces_consent_and_result_of_an_earlier_video_are_gone_while_and_after_a_search_that_fails(events):
    from pipeline.app.jobs import FaceListing

    first, *_, last = explained(events.show_faces("new.mp4"))
    listing, sheet, who, consent, *result, text = first
    assert listing == FaceListing((), None) and not sheet.visible and consent is False
    assert who.value == "largest" and [value for _, value in who.choices] == ["largest"]
    assert is_without_result(result) and text == "searching for faces"
    assert len(last) == len(first) and last[-1] == REASON


@pytest.mark.parametrize("name", ["show_preview", "show_result"])
def test_a_refused_request_leaves_its_reason_and_no_earlier_result(events, name):
    fields = ("face.mp4", "voice.wav", "lstm_cbam", True, "largest", "audio", "rest", 0.0, False)
    first, *_, last = explained(getattr(events, name)(*((None, *fields) if name == "show_preview" else fields)))
    assert is_without_result(first[:-1])
    assert len(last) == len(first) and last[-1] == REASON


def test_an_uploaded_voice_is_checked_and_removing_it_needs_no_check(events):
    assert explained(events.check_voice("notes.wav"))[-1][-1] == REASON
    assert len(list(events.check_voice(None))) == 1


def test_a_model_of_rendered_faces_has_a_note(events):
    shown = [events.show_model_note(name) for name in ("drawn", "real")]
    assert [note.visible for note in shown] == [True, False]
    assert "does not work on real faces" in shown[0].value


def test_another_voice_takes_back_the_consent_and_another_choice_only_the_result(events):
    consent, *result, _ = events.forget_voice()
    assert consent is False and is_without_result(result)
    assert is_without_result(events.forget_result()[:-1])


def test_a_bug_is_not_shown_as_a_reason(events, monkeypatch):
    monkeypatch.setattr(events._jobs, "dub", lambda *values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(events.show_result(None, None, "lstm_cbam", True, "largest", "audio", "rest", 0.0, False))
