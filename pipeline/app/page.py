"""The page of the web app, in Gradio. Its files lie in the work folder only, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import logging
import os
import re
from collections.abc import Callable, Iterator
from functools import partial, wraps
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.app.background import run_with_progress
from pipeline.app.jobs import CONSENT, AppJobs, DubRequest, FaceListing
from pipeline.app.score_text import KEEP_MISSING, dubbed_text, error_text
from pipeline.core.errors import LipsmithError, exit_code_of
from pipeline.dubbing import ListedFace

logger = logging.getLogger(__name__)

TITLE = "lipsmith: dub a video"
Updates = Iterator[tuple[Any, ...]]
CSS = """
.gradio-container { max-width: 1100px !important; margin: 0 auto !important; }
footer { display: none !important; }
#face button[aria-label*="rim"] { display: none !important; } /* loads a program from the internet */
#consent { border-left: 4px solid var(--color-accent); padding-left: 12px; }
"""
_INTRO = """# Dub a video

Upload or record a face and a voice. You get the video with a mouth that says the words of the voice.
"""
_CONSENT_TEXT = """**Consent is needed.** Use only faces and voices of people who agree to it. Results are marked as \
generated: in the file's metadata{label}. {limits}"""
_READY = "Choose a face and a voice, then preview one frame or dub the video."
_SCROLL_TO_RESULT = "() => document.querySelector('#after')?.scrollIntoView({behavior: 'smooth', block: 'end'})"
_LENGTHS = [("as long as the voice", "audio"), ("as long as the video", "video")]
_DETAIL_INFO = "0: as generated. 1: with the fine detail of the video, where the mouth is as in it, and sharpened."
_SILENCES = [("generated, at rest", "rest"), ("as in the video", "keep")]


def build_page(jobs: AppJobs) -> Any:
    """The page as ``gradio.Blocks``, with its queue."""
    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        _add_texts(jobs)
        with gr.Row():
            with gr.Column():
                face = gr.Video(label="1. Face: a video", sources=["upload", "webcam"], height=300, **_own("face"))
                sheet = gr.Image(visible=False, **_picture("sheet"))
                who = gr.Radio(_who_choices(()), value="largest", label="Whom to dub", elem_id="who")
            with gr.Column():
                voice = gr.Audio(label="2. Voice", sources=["upload", "microphone"], type="filepath", **_own("voice"))
                model = gr.Dropdown(list(jobs.models), value=next(iter(jobs.models)), label="Model", elem_id="model")
                options = _add_options()
                consent = gr.Checkbox(label=CONSENT, elem_id="agree")
                with gr.Row():
                    preview_button = gr.Button("Preview one frame", elem_id="preview-button")
                    dub_button = gr.Button("Dub the video", variant="primary", elem_id="dub-button")
                report = gr.Markdown(_READY, elem_id="report", min_height=90)
                preview = gr.Image(visible=False, **_picture("preview"))
        with gr.Row(visible=False) as results:
            before = gr.Video(label="Input", interactive=False, **_own("before"))
            after = gr.Video(label="Result", interactive=False, **_own("after"))
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
        voice.change(events.forget_voice, None, [consent, *shown], **at_once)
        for choice in (who, model, *options):
            choice.input(events.forget_result, None, shown, **at_once)
    for component in (face, voice):
        _refuse_addresses(component)
    return page.queue(max_size=jobs.limits.max_waiting, api_open=False)


def _own(name: str) -> dict[str, Any]:
    """No buttons: one of Gradio's own shares the file on a web site."""
    return {"elem_id": name, "buttons": []}


def _picture(name: str) -> dict[str, Any]:
    return {"elem_id": name, "interactive": False, "show_label": False, "buttons": ["fullscreen"]}


def _add_texts(jobs: AppJobs) -> None:
    label = f" and by the words \u201c{jobs.label}\u201d in a corner of the picture" if jobs.label else ""
    gr.Markdown(_INTRO)
    gr.Markdown(_CONSENT_TEXT.format(label=label, limits=jobs.limits.sentence), elem_id="consent")


def _add_options() -> list[Any]:
    with gr.Accordion("Options", open=False):
        return [
            gr.Radio(_LENGTHS, value="audio", label="Length of the result"),
            gr.Radio(_SILENCES, value="rest", label="Mouth while nobody speaks"),
            gr.Slider(0, 1, value=0, step=0.1, label="Detail of the mouth", info=_DETAIL_INFO, elem_id="detail"),
            gr.Checkbox(label=KEEP_MISSING),
        ]


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
            logger.info("refused: %s", error)
            text = error_text(str(error), os.environ["GRADIO_TEMP_DIR"])
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
        radio = gr.Radio(_who_choices(()), value="largest")
        yield FaceListing((), None), gr.Image(visible=False), radio, False, *_no_result(), text
        if path is None:
            return
        found = yield from run_with_progress(partial(self._jobs.list_faces, Path(path)), _only_report(9))
        yield (
            found,
            gr.Image(None if found.sheet is None else str(found.sheet), visible=found.sheet is not None),
            gr.Radio(_who_choices(found.faces), value="largest"),
            *[gr.skip()] * 6,
            _READY if found.faces else "No face was found in this video.",
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

    def forget_result(self) -> tuple[Any, ...]:
        return *_no_result(), _READY


def _no_result() -> tuple[Any, ...]:
    """The values of the preview, of the result and of its button without a result."""
    return gr.Image(None, visible=False), gr.Row(visible=False), None, None, gr.DownloadButton(visible=False)


def _only_report(num_others: int) -> Callable[[str], tuple[Any, ...]]:
    """The values of all components for a text of the report: the others stay."""
    return lambda text: (*[gr.skip()] * num_others, text)


def _plain(text: str) -> str:
    """Markdown that shows the text as it is."""
    return re.sub(r"([\\`*_{}\[\]<>#~|$])", r"\\\1", text)


def page_theme() -> Any:
    """A theme with the fonts of the user's machine: Gradio's own would be loaded from the internet."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


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


def _who_choices(faces: tuple[ListedFace, ...]) -> list[tuple[str, str]]:
    choices = [("the largest face", "largest")]
    if any(face.is_talking for face in faces):
        choices.append(("the face that talks", "talking"))
    return choices + [(f"face {face.number}", str(face.number)) for face in faces]


def _refuse_addresses(component: Any) -> None:
    """Gradio would download a file from an address that a client sends instead of a file. Refuse that."""
    move = component.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("Addresses are not accepted; upload the file.", print_exception=False)
        moved: str | None = await move(path)
        return moved

    component.async_move_resource_to_block_cache = move_file
