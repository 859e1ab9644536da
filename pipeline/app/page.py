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

from pipeline.app.jobs import CONSENT, AppJobs, DubRequest, FaceListing
from pipeline.app.score_text import progress_text, summary_text
from pipeline.core.errors import LipsmithError, exit_code_of
from pipeline.dubbing import ListedFace, PhaseProgress
from pipeline.dubbing.phases import OnProgress

logger = logging.getLogger(__name__)

TITLE = "lipsmith: dub a video"
PROGRESS_EVERY_S = 0.3
CSS = """
.gradio-container { max-width: 1100px !important; margin: 0 auto !important; }
footer { display: none !important; }
#consent { border-left: 4px solid var(--color-accent); padding-left: 12px; }
"""
_INTRO = """# Dub a video

Upload or record a face and a voice. You get the video with a mouth that says the words of the voice.
"""
_CONSENT_TEXT = """**Consent is needed.** Use only faces and voices of people who agree to it. Results are marked as \
generated: in the file's metadata{label}. {limits}"""
_LENGTHS = [("as long as the voice", "audio"), ("as long as the video", "video")]
_SILENCES = [("generated, at rest", "rest"), ("as in the video", "keep")]


def use_work_folder(path: Path) -> None:
    """Let Gradio keep its files in ``path``, and send nothing to its makers. Call it before `build_page`."""
    os.environ["GRADIO_TEMP_DIR"] = str(path)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def build_page(jobs: AppJobs) -> Any:
    """The page as ``gradio.Blocks``, with its queue."""
    import gradio as gr

    with gr.Blocks(title=TITLE, analytics_enabled=False) as page:
        gr.Markdown(_INTRO)
        label = f" and by the words \u201c{jobs.label}\u201d in a corner of the picture" if jobs.label else ""
        gr.Markdown(_CONSENT_TEXT.format(label=label, limits=jobs.limits.sentence), elem_id="consent")
        listing = gr.State(FaceListing((), None))
        with gr.Row():
            with gr.Column():
                face = gr.Video(label="1. Face: a video", sources=["upload", "webcam"], height=300, elem_id="face")
                sheet = gr.Image(label="Faces in the video", interactive=False, visible=False, elem_id="sheet")
                who = gr.Radio(_who_choices(()), value="largest", label="Whom to dub", elem_id="who")
            with gr.Column():
                voice = gr.Audio(label="2. Voice", sources=["upload", "microphone"], type="filepath", elem_id="voice")
                model = gr.Dropdown(list(jobs.models), value=next(iter(jobs.models)), label="Model", elem_id="model")
                with gr.Accordion("Options", open=False):
                    length = gr.Radio(_LENGTHS, value="audio", label="Length of the result")
                    silence = gr.Radio(_SILENCES, value="rest", label="Mouth while nobody speaks")
                    keeps = gr.Checkbox(label="Dub even if most frames do not show the face")
                consent = gr.Checkbox(label=CONSENT, elem_id="agree")
                with gr.Row():
                    preview_button = gr.Button("Preview one frame", elem_id="preview-button")
                    dub_button = gr.Button("Dub the video", variant="primary", elem_id="dub-button")
        preview = gr.Image(label="Preview: before and after", interactive=False, visible=False, elem_id="preview")
        report = gr.Markdown(elem_id="report")
        with gr.Row(visible=False) as results:
            before = gr.Video(label="Input", interactive=False, elem_id="before")
            after = gr.Video(label="Result", interactive=False, elem_id="after")
        download = gr.DownloadButton("Download the result", visible=False, variant="primary", elem_id="download")

        def show_faces(path: str | None, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
            if path is None:
                return FaceListing((), None), gr.Image(visible=False), gr.Radio(_who_choices(()), value="largest")
            with shown_errors():
                found = jobs.list_faces(Path(path), _reported(progress))
            if not found.faces:
                gr.Warning("No face was found in this video.")
            return (
                found,
                gr.Image(None if found.sheet is None else str(found.sheet), visible=found.sheet is not None),
                gr.Radio(_who_choices(found.faces), value="largest"),
            )

        def show_preview(found: FaceListing, *fields: Any, progress: gr.Progress = gr.Progress()) -> Any:  # noqa: B008
            progress(0, desc="dubbing a short part")
            with shown_errors():
                return gr.Image(str(jobs.preview(_request(*fields), found)), visible=True)

        def show_result(*fields: Any, progress: gr.Progress = gr.Progress()) -> tuple[Any, ...]:  # noqa: B008
            with shown_errors():
                request = _request(*fields)
                outcome = jobs.dub(request, _reported(progress))
            path = str(outcome.summary.path)
            return (
                f"{outcome.sync}\n\n{summary_text(outcome.summary)}",
                gr.Row(visible=True),
                gr.Video(str(request.face)),
                gr.Video(path),
                gr.DownloadButton(value=path, visible=True),
            )

        fields = [face, voice, model, consent, who, length, silence, keeps]
        shared: dict[str, Any] = {"concurrency_id": "work", "concurrency_limit": 1, "api_visibility": "private"}
        face.change(show_faces, [face], [listing, sheet, who], show_progress_on=[sheet, who], **shared)
        preview_button.click(show_preview, [listing, *fields], [preview], **shared)
        dub_button.click(show_result, fields, [report, results, before, after, download], **shared)
    for component in (face, voice):
        _refuse_addresses(component)
    return page.queue(max_size=jobs.limits.max_waiting, api_open=False)


def page_theme() -> Any:
    """A theme with the fonts of the user's machine: Gradio's own would be loaded from the internet."""
    import gradio as gr

    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


@contextmanager
def shown_errors() -> Iterator[None]:
    """Show the message of an error that the user can correct. Others are logged with their traceback and not shown."""
    import gradio as gr

    try:
        yield
    except (LipsmithError, OSError) as error:
        if exit_code_of(error) is None:
            raise
        logger.info("refused: %s", error)
        raise gr.Error(html.escape(_without_folders(str(error))), duration=None, print_exception=False) from None


def _without_folders(text: str) -> str:
    """The message with the names of files only: their folders lie on the server."""
    folder = os.environ.get("GRADIO_TEMP_DIR", "")
    for part in text.split(folder + os.sep)[1:] if folder else ():
        inner = part.split(os.sep, 1)[0]
        text = text.replace(f"{folder}{os.sep}{inner}{os.sep}", "")
    return text


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
    import gradio as gr

    move = component.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("Addresses are not accepted; upload the file.", print_exception=False)
        moved: str | None = await move(path)
        return moved

    component.async_move_resource_to_block_cache = move_file
