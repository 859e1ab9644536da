"""The page of the web app, in Gradio. Its files lie in the work folder only, and nothing is loaded from elsewhere."""

from __future__ import annotations

import html
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.app.jobs import CONSENT, AppJobs, DubRequest, FaceListing
from pipeline.app.score_text import KEEP_MISSING, dubbed_text, error_text, progress_text
from pipeline.core.errors import LipsmithError, exit_code_of
from pipeline.dubbing import ListedFace, PhaseProgress
from pipeline.dubbing.phases import OnProgress

logger = logging.getLogger(__name__)

TITLE = "lipsmith: dub a video"
PROGRESS_EVERY_S = 0.3
_PROGRESS = gr.Progress()
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
_LENGTHS = [("as long as the voice", "audio"), ("as long as the video", "video")]
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
        face.change(events.show_faces, [face], [listing, sheet, who], show_progress_on=[who], **shared)
        shared["show_progress_on"] = [report]
        preview_button.click(events.show_preview, [listing, *fields], [preview, report], **shared)
        dub_button.click(events.show_result, fields, [report, results, before, after, download], **shared)
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
            gr.Checkbox(label=KEEP_MISSING),
        ]


class _Events:
    """What the page does: each method takes the values of components and returns those of others.

    Gradio passes the progress at its place among the positional parameters only, so it comes before ``fields``.
    """

    def __init__(self, jobs: AppJobs) -> None:
        self._jobs = jobs

    def show_faces(self, path: str | None, progress: gr.Progress = _PROGRESS) -> tuple[Any, ...]:
        if path is None:
            return FaceListing((), None), gr.Image(visible=False), gr.Radio(_who_choices(()), value="largest")
        with shown_errors():
            found = self._jobs.list_faces(Path(path), _reported(progress))
        if not found.faces:
            gr.Warning("No face was found in this video.")
        return (
            found,
            gr.Image(None if found.sheet is None else str(found.sheet), visible=found.sheet is not None),
            gr.Radio(_who_choices(found.faces), value="largest"),
        )

    def show_preview(self, progress: gr.Progress = _PROGRESS, *fields: Any) -> tuple[Any, ...]:
        found, *rest = fields
        progress(0, desc="dubbing a short part")
        with shown_errors():
            picture = self._jobs.preview(_request(*rest), found)
        return gr.Image(str(picture), visible=True), "Preview: one frame before and after."

    def show_result(self, progress: gr.Progress = _PROGRESS, *fields: Any) -> tuple[Any, ...]:
        with shown_errors():
            request = _request(*fields)
            outcome = self._jobs.dub(request, _reported(progress))
        path = str(outcome.summary.path)
        return (
            f"{outcome.sync}\n\n{dubbed_text(outcome.summary)}",
            gr.Row(visible=True),
            gr.Video(str(request.face)),
            gr.Video(path),
            gr.DownloadButton(value=path, visible=True),
        )


def page_theme() -> Any:
    """A theme with the fonts of the user's machine: Gradio's own would be loaded from the internet."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show the message of an error that the user can correct. Others are logged with their traceback and not shown."""
    try:
        yield
    except (LipsmithError, OSError) as error:
        if exit_code_of(error) is None:
            raise
        logger.info("refused: %s", error)
        raise gr.Error(
            html.escape(error_text(str(error), os.environ["GRADIO_TEMP_DIR"])), duration=None, print_exception=False
        ) from None


def _request(
    face: str | None,
    voice: str | None,
    model: str,
    consent: bool,
    who: str,
    length: Any,
    silence: Any,
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
        keeps_missing=keeps,
    )


def _who_choices(faces: tuple[ListedFace, ...]) -> list[tuple[str, str]]:
    choices = [("the largest face", "largest")]
    if any(face.is_talking for face in faces):
        choices.append(("the face that talks", "talking"))
    return choices + [(f"face {face.number}", str(face.number)) for face in faces]


def _reported(progress: Callable[..., Any]) -> OnProgress:
    """Shows the progress on the page, a few times a second."""
    last_s, last_phase = 0.0, ""

    def report(done: PhaseProgress) -> None:
        nonlocal last_s, last_phase
        now = time.monotonic()
        if done.phase == last_phase and now - last_s < PROGRESS_EVERY_S:
            return
        last_s, last_phase = now, done.phase
        share = None if not done.num_total else done.num_done / done.num_total
        progress(share, desc=progress_text(done))

    return report


def _refuse_addresses(component: Any) -> None:
    """Gradio would download a file from an address that a client sends instead of a file. Refuse that."""
    move = component.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("Addresses are not accepted; upload the file.", print_exception=False)
        moved: str | None = await move(path)
        return moved

    component.async_move_resource_to_block_cache = move_file
