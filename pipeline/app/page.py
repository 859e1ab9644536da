"""The page of the web app, in Gradio. Its files lie in the work folder only, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import logging
import os
import re
from collections.abc import Callable, Iterator, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.app.background import run_with_progress
from pipeline.app.components import (
    add_models,
    add_options,
    add_texts,
    file_props,
    model_note,
    picture_props,
    refuse_addresses,
    who_choices,
)
from pipeline.app.jobs import CONSENT, AppJobs, DubRequest, FaceListing
from pipeline.app.score_text import dubbed_text, error_text
from pipeline.core.errors import LipsmithError, exit_code_of
from pipeline.dubbing import ListedFace
from pipeline.dubbing.summary import is_unclear_who_talks

logger = logging.getLogger(__name__)

TITLE = "lipsmith: dub a video"
Updates = Iterator[tuple[Any, ...]]
_READY = "Choose a face and a voice, then preview one frame or dub the video."
_SCROLL_TO_RESULT = "() => document.querySelector('#after')?.scrollIntoView({behavior: 'smooth', block: 'end'})"


def build_page(jobs: AppJobs) -> Any:
    """The page as ``gradio.Blocks``, with its queue."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        add_texts(jobs)
        with gr.Row():
            with gr.Column():
                face = gr.Video(
                    label="1. Face: a video", sources=["upload", "webcam"], height=300, **file_props("face")
                )
                sheet = gr.Image(visible=False, **picture_props("sheet"))
                who = gr.Radio(who_choices(()), value="largest", label="Whom to dub", elem_id="who")
            with gr.Column():
                voice = gr.Audio(
                    label="2. Voice", sources=["upload", "microphone"], type="filepath", **file_props("voice")
                )
                spoken = gr.UploadButton("Use the sound of a video", file_types=["video"], size="sm", elem_id="spoken")
                model, note = add_models(jobs)
                options = add_options()
                consent = gr.Checkbox(label=CONSENT, elem_id="agree")
                with gr.Row():
                    preview_button = gr.Button("Preview one frame", elem_id="preview-button")
                    dub_button = gr.Button("Dub the video", variant="primary", elem_id="dub-button")
                report = gr.Markdown(_READY, elem_id="report", min_height=90)
                preview = gr.Image(visible=False, **picture_props("preview"))
        with gr.Row(visible=False) as results:
            before = gr.Video(label="Input", interactive=False, **file_props("before"))
            after = gr.Video(label="Result", interactive=False, **file_props("after"))
        download = gr.DownloadButton("Download the result", visible=False, variant="primary", elem_id="download")
        listing = gr.State(FaceListing((), None))
        fields = [face, voice, model, consent, who, *options]
        events = _Events(jobs)
        shared: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1, "api_visibility": "private"}
        shared |= {"show_progress": "minimal", "show_progress_on": [report]}
        shown = [preview, results, before, after, download, report]
        face.change(events.show_faces, [face], [listing, sheet, who, consent, *shown], **shared)
        preview_button.click(events.show_preview, [listing, *fields], shown, **shared)
        dub_button.click(events.show_result, fields, shown, **shared).then(js=_SCROLL_TO_RESULT)
        at_once: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
        changed = voice.change(events.forget_voice, None, [consent, *shown], **at_once)
        checked: dict[str, Any] = {"concurrency_id": "voice", "show_progress": "hidden", "api_visibility": "private"}
        changed.then(events.check_voice, [voice], [consent, report], **checked)
        spoken.upload(events.show_voice, [spoken], [voice, report], **checked)
        model.input(events.show_model_note, [model], [note], **at_once)
        for choice in (who, model, *options):
            choice.input(events.forget_result, None, shown, **at_once)
    for component in (face, voice, spoken):
        refuse_addresses(component)
    return page.queue(max_size=jobs.limits.max_waiting, api_open=False)


def _with_reasons(show: Callable[..., Updates]) -> Callable[..., Updates]:
    """In place of the message of an error that the user can correct, the report shows it, and so does a short notice.

    Other errors are logged with their traceback and not shown.
    """

    @wraps(show)
    def show_or_explain(self: _Events, *values: Any) -> Updates:
        others = 0
        try:
            for update in show(self, *values):
                others = len(update) - 1
                yield update
        except (LipsmithError, OSError) as error:
            if exit_code_of(error) is None:
                raise
            text = error_text(str(error), os.environ["GRADIO_TEMP_DIR"])
            logger.info("refused: %s", text)
            gr.Warning(html.escape(text), duration=10, title="Not done")
            yield *[gr.skip()] * others, f"**Not done:** {_plain(text)}"

    return show_or_explain


class _Events:
    """What the page does: each method takes the values of components and yields those of others.

    The last values are those of the preview, the result (a row with two videos, and its button) and the report, which
    shows the progress. A result is removed when what it was made of changes.
    """

    def __init__(self, jobs: AppJobs) -> None:
        self._jobs = jobs

    @_with_reasons
    def show_faces(self, path: str | None) -> Updates:
        # The faces of an earlier video are removed first: their numbers mean other people in this one.
        text = _READY if path is None else "searching for faces"
        radio = gr.Radio(who_choices(()), value="largest")
        yield FaceListing((), None), gr.Image(visible=False), radio, False, *_no_result(), text
        if path is None:
            return
        found = yield from run_with_progress(partial(self._jobs.list_faces, Path(path)), _only_report(9))
        yield (
            found,
            gr.Image(None if found.sheet is None else str(found.sheet), visible=found.sheet is not None),
            gr.Radio(who_choices(found.faces), value="largest"),
            *[gr.skip()] * 6,
            _found_text(found.faces),
        )

    @_with_reasons
    def show_preview(self, found: FaceListing, *fields: Any) -> Updates:
        yield *_no_result(), "dubbing a short part"
        picture = self._jobs.preview(_request(*fields), found)
        yield gr.Image(str(picture), visible=True), *[gr.skip()] * 4, "Preview of one frame: as it is, and dubbed."

    @_with_reasons
    def show_result(self, *fields: Any) -> Updates:
        yield *_no_result(), "starting"
        request = _request(*fields)
        outcome = yield from run_with_progress(partial(self._jobs.dub, request), _only_report(5))
        path = str(outcome.summary.path)
        yield (
            gr.skip(),
            gr.Row(visible=True),
            gr.Video(str(request.face)),
            gr.Video(path),
            gr.DownloadButton(value=path, visible=True),
            f"{outcome.sync}\n\n{dubbed_text(outcome.summary)}",
        )

    def forget_voice(self) -> tuple[Any, ...]:
        """Another voice may be another person's, who has to agree."""
        return False, *_no_result(), _READY

    @_with_reasons
    def check_voice(self, path: str | None) -> Updates:
        yield gr.skip(), gr.skip()
        if path is not None:
            self._jobs.check_voice(Path(path))

    @_with_reasons
    def show_voice(self, path: str) -> Updates:
        # The page then handles it like an uploaded voice.
        yield gr.skip(), "reading the sound of the video"
        yield str(self._jobs.voice_of(Path(path))), gr.skip()

    def show_model_note(self, name: str) -> Any:
        return model_note(self._jobs, name)

    def forget_result(self) -> tuple[Any, ...]:
        return *_no_result(), _READY


def _found_text(faces: Sequence[ListedFace]) -> str:
    if not faces:
        return "No face was found in this video. Upload or record another one."
    unclear = ", none of which clearly talks" if is_unclear_who_talks(faces) else ""
    found = "One face was found." if len(faces) == 1 else f"{len(faces)} faces were found{unclear}; choose whom to dub."
    return f"{found} With a voice, preview one frame or dub the video."


def _no_result() -> tuple[Any, ...]:
    """The values of the preview, of the result and of its button without a result."""
    return gr.Image(None, visible=False), gr.Row(visible=False), None, None, gr.DownloadButton(visible=False)


def _only_report(num_others: int) -> Callable[[str], tuple[Any, ...]]:
    """The values of all components for a text of the report: the others stay."""
    return lambda text: (*[gr.skip()] * num_others, text)


def _plain(text: str) -> str:
    """Markdown that shows the text as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#~|$])", r"\\\1", text)


def _request(
    face: str | None,
    voice: str | None,
    model: str,
    consent: bool,
    who: str,
    length: Any,
    silence: Any,
    detail: float,
    keeps: bool,
) -> DubRequest:
    return DubRequest(
        face=None if face is None else Path(face),
        voice=None if voice is None else Path(voice),
        model=model,
        has_consent=consent is True,
        who=who,
        length=length,
        in_silence=silence,
        detail=detail,
        keeps_missing=keeps,
    )
