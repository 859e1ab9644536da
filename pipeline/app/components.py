"""The parts of the page of the web app: its texts, its fields and their choices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr

from pipeline.app.jobs import AppJobs
from pipeline.app.score_text import KEEP_MISSING
from pipeline.dubbing import ListedFace
from pipeline.dubbing.dubber import OF_RENDERED_FACES

CSS = """
.gradio-container { max-width: 1100px !important; margin: 0 auto !important; }
footer { display: none !important; }
#face button[aria-label*="rim"] { display: none !important; } /* loads a program from the internet */
#consent { border-left: 4px solid var(--color-accent); padding-left: 12px; }
"""
_INTRO = """# Dub a video

Upload or record a face and a voice. You get the video with a mouth that says the words of the voice. The face is a \
video, such as MP4, MOV or WebM, no picture; the voice is a sound file, such as WAV, MP3 or M4A, or that of a video.
"""
_CONSENT_TEXT = """**Consent is needed.** Use only faces and voices of people who agree to it. Results are marked as \
generated: in the file's metadata{label}. {limits}"""
_LENGTHS = [("as long as the voice", "audio"), ("as long as the video", "video")]
_DETAIL_INFO = "0: as generated. 1: with the fine detail of the video, where the mouth is as in it, and sharpened."
_MODEL_INFO = "What each was trained on, for how many steps, and the size of the faces that it generates."
_SILENCES = [("generated, at rest", "rest"), ("as in the video", "keep")]


def file_props(name: str) -> dict[str, Any]:
    """No buttons: one of Gradio's own shares the file on a web site."""
    return {"elem_id": name, "buttons": []}


def picture_props(name: str) -> dict[str, Any]:
    return {"elem_id": name, "interactive": False, "show_label": False, "buttons": ["fullscreen"]}


def add_texts(jobs: AppJobs) -> None:
    label = f" and by the words \u201c{jobs.label}\u201d in a corner of the picture" if jobs.label else ""
    gr.Markdown(_INTRO)
    gr.Markdown(_CONSENT_TEXT.format(label=label, limits=jobs.limits.sentence), elem_id="consent")


def add_models(jobs: AppJobs) -> tuple[Any, Any]:
    """The choice of the model, the first one chosen, and the note on it."""
    first = next(iter(jobs.models))
    choices = [(offered.text, name) for name, offered in jobs.models.items()]
    model = gr.Dropdown(choices, value=first, label="Model", info=_MODEL_INFO, elem_id="model")
    return model, model_note(jobs, first)


def model_note(jobs: AppJobs, name: str) -> Any:
    """What a model is not fit for, if it is known."""
    is_limited = name in jobs.models and jobs.models[name].is_of_rendered_faces
    return gr.Markdown(f"**Note:** {OF_RENDERED_FACES}.", visible=is_limited, elem_id="model-note")


def add_options() -> list[Any]:
    with gr.Accordion("Options", open=False):
        return [
            gr.Radio(_LENGTHS, value="audio", label="Length of the result"),
            gr.Radio(_SILENCES, value="rest", label="Mouth while nobody speaks"),
            gr.Slider(0, 1, value=0, step=0.1, label="Detail of the mouth", info=_DETAIL_INFO, elem_id="detail"),
            gr.Checkbox(label=KEEP_MISSING),
        ]


def who_choices(faces: tuple[ListedFace, ...]) -> list[tuple[str, str]]:
    choices = [("the largest face", "largest")]
    if any(face.is_talking for face in faces):
        choices.append(("the face that talks", "talking"))
    return choices + [(f"face {face.number}", str(face.number)) for face in faces]


def refuse_addresses(component: Any) -> None:
    """Gradio would download a file from an address that a client sends instead of a file. Refuse that."""
    move = component.async_move_resource_to_block_cache

    async def move_file(path: str | Path | None) -> str | None:
        if path is not None and "://" in str(path):
            raise gr.Error("Addresses are not accepted; upload the file.", print_exception=False)
        moved: str | None = await move(path)
        return moved

    component.async_move_resource_to_block_cache = move_file


def page_theme() -> Any:
    """A theme with the fonts of the user's machine: Gradio's own would be loaded from the internet."""
    return gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])
