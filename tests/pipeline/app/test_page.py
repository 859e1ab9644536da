"""Tests of what the app's page does between its components. They skip without the extra `app`."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pipeline.app.jobs import FaceListing
from pipeline.app.models import OfferedModel
from pipeline.core.errors import UserError
from pipeline.dubbing import ListedFace

gr = pytest.importorskip("gradio", reason="the extra `app` is not installed")


@pytest.fixture
def events(tmp_path, monkeypatch):
    from pipeline.app.page import _Events

    def fail(*values):
        raise UserError("no_video.mp4: <no> video")

    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    models = {name: OfferedModel(name, name, name == "drawn") for name in ("drawn", "real")}
    names = ("list_faces", "preview", "dub", "check_voice", "voice_of")
    return _Events(SimpleNamespace(models=models, **dict.fromkeys(names, fail)))


def is_without_result(update):
    preview, results, before, after, download = update
    return not (preview.visible or results.visible or download.visible) and before is None and after is None


def explained(updates):
    """All values that are yielded. Outside a request Gradio warns instead of showing the notice."""
    with pytest.warns(UserWarning, match="no_video.mp4: &lt;no&gt; video"):
        return list(updates)


REASON = r"**Not done:** no\_video.mp4: \<no\> video"


def test_faces_consent_and_result_of_an_earlier_video_are_gone_while_and_after_a_search_that_fails(events):
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
    assert explained(events.show_voice("notes.mp4"))[-1][-1] == REASON


def test_a_model_of_rendered_faces_has_a_note(events):
    shown = [events.show_model_note(name) for name in ("drawn", "real")]
    assert [note.visible for note in shown] == [True, False]
    assert "does not work on real faces" in shown[0].value


def test_the_page_says_how_many_faces_were_found_and_if_none_of_them_talks(events, monkeypatch):
    one, two = (
        ListedFace(number=k, start_s=0, end_s=1, share_seen=1, box_px=(0, 0, 9, 9), is_talking=False) for k in (1, 2)
    )
    for faces, text in (((), "No face was found"), ((one,), "One face was found."), ((one, two), "none of which")):
        monkeypatch.setattr(events._jobs, "list_faces", lambda *_, faces=faces: FaceListing(faces, None))
        assert text in list(events.show_faces("clip.mp4"))[-1][-1]


def test_another_voice_takes_back_the_consent_and_another_choice_only_the_result(events):
    consent, *result, _ = events.forget_voice()
    assert consent is False and is_without_result(result)
    assert is_without_result(events.forget_result()[:-1])


def test_a_bug_is_not_shown_as_a_reason(events, monkeypatch):
    monkeypatch.setattr(events._jobs, "dub", lambda *values: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        list(events.show_result(None, None, "lstm_cbam", True, "largest", "audio", "rest", 0.0, False))
