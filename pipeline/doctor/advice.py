"""Advice from the clips' statistics, and a remedy for each reason of rejection."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from pipeline.doctor.data import Survey
from pipeline.doctor.measures import BY_NAME, SYNC_NAMES, values_of
from pipeline.faces.crops import CROP_PX
from pipeline.params import Params, PreprocessParams

REMEDIES = {
    "missing_file": "the files are not on disk: restore them, or run `dvc repro --force --single-item download` to "
    "list the clips again",
    "changed_file": "the files changed after they were listed: run `dvc repro --force --single-item download`",
    "unreadable_file": "the files are truncated or are not media files: download them again, or remove them",
    "broken_video": "the files are damaged: download them again",
    "broken_audio": "the files are damaged: download them again",
    "no_audio": "the files have no audio stream: use sources with audio",
    "silent_audio": "the audio is too quiet: use louder recordings, or lower {min_audio_rms}",
    "length_mismatch": "video and audio differ in length: cut them to the same length, or raise "
    "{max_length_mismatch_s}",
    "too_short": "use longer clips, or lower {min_frames}",
    "no_face": "raise {detector_max_px} to detect smaller faces, or lower {detector_score}; if faces are missing only "
    "briefly, raise {max_gap_frames}",
    "face_lost": "the face was found in too few frames, or was not the chosen one: see {min_frames}, {max_gap_frames} "
    "and {choose_face}",
    "face_turned": "the faces are on their side or upside down: turn the videos upright, or set "
    "{rolled_faces} to align",
    "face_too_small": "use videos of higher resolution, or lower {min_face_px}",
    "blurred": "use sharper videos, or lower {min_sharpness}",
    "out_of_sync": "the audio-video offset is too large to correct: see params.yaml: sync_filter.max_offset_frames",
    "low_sync_confidence": "the sync scorer has low confidence: see params.yaml: sync_filter.min_confidence, or freeze "
    "a scorer that was trained on similar faces",
    "too_short_in_sync": "use longer clips: after the offset is corrected, fewer than {min_frames} frames remain",
}
"""Reason of rejection -> remedy. Names in braces are keys of ``preprocess``."""

MANY = 0.05
"""Share of clips above which a hint is given."""
DARK, QUIET_DB, CLIPPED_PERCENT, MISSING_PERCENT = 45.0, -40.0, 0.1, 10.0
FEW_SPEAKERS, FEW_MINUTES = 10, 60.0
"""With fewer speakers a network overfits to their faces; with less speech it overfits to the sentences."""
DOMINANT = 0.3
"""Largest share of training clips for one speaker, unless there are only a few speakers."""
LEAST_FPS = 23.5
IN_SYNC_FRAMES = 1.0


class _ClipHint(NamedTuple):
    """A hint that is given if ``is_bad`` holds for more than ``MANY`` of the clips. ``{share}`` is their share."""

    measure: str
    is_bad: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
    text: str


_CLIP_HINTS = (
    _ClipHint(
        "face_missing",
        lambda percent: percent > MISSING_PERCENT,
        f"In {{share}} of the clips the face was missing in over {MISSING_PERCENT:g}% of the frames that the detector "
        "examined; its position there is interpolated. Raise params.yaml: preprocess.detector_max_px, or lower "
        "params.yaml: preprocess.max_gap_frames, which cuts the clips at such gaps.",
    ),
    _ClipHint(
        "brightness",
        lambda level: level < DARK,
        f"{{share}} of the clips are dark (mean brightness of the face below {DARK:g} of 255), with little contrast at "
        "the lips.",
    ),
    _ClipHint(
        "audio_db",
        lambda level: level < QUIET_DB,
        f"{{share}} of the clips are quieter than {QUIET_DB:g} dBFS. Use louder recordings, or raise params.yaml: "
        "preprocess.min_audio_rms to reject clips without speech.",
    ),
    _ClipHint(
        "audio_clipped",
        lambda percent: percent > CLIPPED_PERCENT,
        f"{{share}} of the clips are recorded too loud (over {CLIPPED_PERCENT:g}% of the samples at full scale). "
        "Clipping cannot be repaired; use other recordings.",
    ),
    _ClipHint(
        "source_fps",
        lambda fps: fps < LEAST_FPS,
        f"{{share}} of the clips have under {LEAST_FPS:g} frames per second. Conversion to 25 repeats frames, so the "
        "lips' motion is not smooth.",
    ),
)


def _small_faces(params: Params | None) -> _ClipHint:
    crop_px = CROP_PX if params is None else params.train_gan.face_px
    remedy = "Use videos of higher resolution, or raise params.yaml: preprocess.min_face_px."
    if crop_px > CROP_PX:
        remedy = remedy.replace(", or", f", lower params.yaml: train_gan.face_px ({crop_px}), or")
    return _ClipHint(
        "face_px",
        lambda px: px < crop_px,
        f"In {{share}} of the clips the face is smaller than the generators' crops of {crop_px} px, so the crops are "
        f"blurred. {remedy}",
    )


def hints(survey: Survey, params: Params | None) -> list[str]:
    """Advice on the data, one or two sentences each; empty if nothing needs a change."""
    survey_hints = (_one_speaker, _few_speakers, _same_speakers, _little_data, _out_of_sync)
    candidates = [
        _rejected(survey, params),
        _clip_hint(survey, _small_faces(params)),
        *(_clip_hint(survey, hint) for hint in _CLIP_HINTS),
        *(hint_of(survey) for hint_of in survey_hints),
    ]
    return [hint for hint in candidates if hint]


def remedy_of(reason: str, params: Params | None) -> str:
    """The remedy for clips rejected for ``reason``, with the current values of the keys."""
    values = {} if params is None else params.preprocess.model_dump()
    keys = {
        key: f"params.yaml: preprocess.{key}" + (f" ({values[key]})" if key in values else "")
        for key in PreprocessParams.model_fields
    }
    return REMEDIES.get(reason, "see the details in data/shards/rejects.parquet").format(**keys)


def _rejected(survey: Survey, params: Params | None) -> str:
    total = survey.total
    if total.rejected_share <= MANY:
        return ""
    reason, count = next(iter(survey.reasons.items()))
    return (
        f"{total.rejected_share:.0%} of the clips are rejected, {count} of {total.rejected} for `{reason}`: "
        f"{remedy_of(reason, params)}."
    )


def _clip_hint(survey: Survey, hint: _ClipHint) -> str:
    values = values_of(survey.kept, BY_NAME[hint.measure])
    share = float(np.mean(hint.is_bad(values))) if len(values) else 0.0
    return hint.text.format(share=f"{share:.0%}") if share > MANY else ""


def _training_speakers(survey: Survey) -> Counter[str]:
    return Counter(row.speaker for row in survey.of_split("train"))


def _one_speaker(survey: Survey) -> str:
    speakers = _training_speakers(survey)
    if len(speakers) < 2:
        return ""
    (name, count), *_ = speakers.most_common(1)
    share = count / speakers.total()
    if share <= max(DOMINANT, 1.5 / len(speakers)):
        return ""
    return (
        f"Speaker {name} has {share:.0%} of the training clips, so the networks fit this face best. Balance the number "
        "of clips per speaker."
    )


def _few_speakers(survey: Survey) -> str:
    num = len(_training_speakers(survey))
    if not 0 < num < FEW_SPEAKERS:
        return ""
    return (
        f"{num} training speaker{'s' if num > 1 else ''}: expect good scores on {'them' if num > 1 else 'this one'} "
        "and poor scores on other faces and voices."
    )


def _same_speakers(survey: Survey) -> str:
    known = _training_speakers(survey)
    held_out = {row.speaker for row in survey.of_split("test")}
    if not held_out or not held_out <= set(known):
        return ""
    return "Every test speaker is also in the training split: the scores do not measure unseen speakers."


def _little_data(survey: Survey) -> str:
    minutes = sum(row.num_frames / row.fps for row in survey.of_split("train")) / 60
    if not 0 < minutes < FEW_MINUTES:
        return ""
    return f"{minutes:.0f} minutes of training data: enough to test the pipeline, too little for good lip sync."


def _out_of_sync(survey: Survey) -> str:
    offset_of = BY_NAME[SYNC_NAMES[0]].of
    found = [offset - row.sync_shift_frames for row in survey.kept if (offset := offset_of(row)) is not None]
    if not found:
        return ""
    offsets = np.array(found)
    share = float(np.mean(np.abs(offsets) > IN_SYNC_FRAMES))
    if share <= MANY:
        return ""
    return (
        f"{share:.0%} of the clips are more than {IN_SYNC_FRAMES:g} frame out of sync (median "
        f"{np.median(offsets):+.1f}), and the sync expert is trained on them. Correct the offsets, or reject these "
        "clips: see params.yaml: sync_filter."
    )
