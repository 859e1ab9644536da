"""What the figures suggest doing, in plain words."""

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
    "missing_file": "the files are not on disk: bring them back, or `dvc repro --force --single-item download` lists "
    "the clips anew",
    "changed_file": "the files changed after they were listed: `dvc repro --force --single-item download`",
    "unreadable_file": "the files are cut off, or no media files: fetch them again, or take them out",
    "broken_video": "the files are damaged: fetch them again",
    "broken_audio": "the files are damaged: fetch them again",
    "no_audio": "the files hold no sound: take sources that do",
    "silent_audio": "too quiet: turn the recordings up, or lower {min_audio_rms}",
    "length_mismatch": "picture and sound differ in length: cut them alike, or raise {max_length_mismatch_s}",
    "too_short": "take longer clips, or lower {min_frames}",
    "no_face": "raise {detector_max_px}, which looks at larger pictures, or lower {detector_score}; where faces are "
    "away for a moment only, raise {max_gap_frames}",
    "face_lost": "faces were there too briefly, or beside the one that was chosen: see {min_frames}, {max_gap_frames} "
    "and {choose_face}",
    "face_too_small": "take larger pictures, or lower {min_face_px}",
    "blurred": "take sharper pictures, or lower {min_sharpness}",
    "out_of_sync": "lips and sound are further apart than can be corrected: see sync_filter.max_offset_frames",
    "low_sync_confidence": "the network that judges sync cannot tell: see sync_filter.min_confidence, or freeze one "
    "that knows such faces",
    "too_short_in_sync": "take longer clips: correcting the offset leaves fewer frames than {min_frames}",
}
"""What to do about each reason of rejection; names in braces are keys of ``preprocess``."""

MANY = 0.05
"""Share of clips from which on a remark is worth making."""
DARK, QUIET_DB, CLIPPED_PERCENT, MISSING_PERCENT = 45.0, -40.0, 0.1, 10.0
FEW_SPEAKERS, FEW_MINUTES = 10, 60.0
"""Below the first a network learns these faces rather than faces, below the second these sentences."""
DOMINANT = 0.3
"""Share of the training clips that is too much for one speaker, where there are more than a few."""
LEAST_FPS = 23.5
IN_SYNC_FRAMES = 1.0


class _ClipHint(NamedTuple):
    """Said where ``is_bad`` holds of the measure's value in many clips; ``{share}`` is how many."""

    measure: str
    is_bad: Callable[[NDArray[np.float64]], NDArray[np.bool_]]
    text: str


_CLIP_HINTS = (
    _ClipHint(
        "face_px",
        lambda px: px < CROP_PX,
        f"In {{share}} of the clips the face is smaller than the {CROP_PX} px that generators draw: enlarged crops are "
        "blurred. Take larger pictures where there are any, or raise preprocess.min_face_px.",
    ),
    _ClipHint(
        "face_missing",
        lambda percent: percent > MISSING_PERCENT,
        f"In {{share}} of the clips the face was missing in over {MISSING_PERCENT:g}% of the frames looked at; its "
        "place there is a guess. Raise preprocess.detector_max_px, or lower preprocess.max_gap_frames, which parts "
        "the clips there.",
    ),
    _ClipHint(
        "brightness",
        lambda level: level < DARK,
        f"{{share}} of the clips are dark (mean of the face below {DARK:g} of 255): lips are hard to see in them.",
    ),
    _ClipHint(
        "audio_db",
        lambda level: level < QUIET_DB,
        f"{{share}} of the clips are quieter than {QUIET_DB:g} dBFS: turn the recordings up, or raise "
        "preprocess.min_audio_rms to reject those that hold no speech.",
    ),
    _ClipHint(
        "audio_clipped",
        lambda percent: percent > CLIPPED_PERCENT,
        f"{{share}} of the clips are recorded too loud (over {CLIPPED_PERCENT:g}% of the samples at full scale): the "
        "distortion cannot be taken out; take other recordings where there are any.",
    ),
    _ClipHint(
        "source_fps",
        lambda fps: fps < LEAST_FPS,
        f"{{share}} of the clips have under {LEAST_FPS:g} frames per second. All are brought to 25 by showing frames "
        "twice: lips move in jerks.",
    ),
)


def hints(survey: Survey, params: Params | None) -> list[str]:
    """One sentence or two for everything worth a change; empty where there is nothing to say."""
    of_the_whole = (_one_speaker, _few_speakers, _same_speakers, _little, _sync)
    said = [
        _rejected(survey, params),
        *(_of_clips(survey, hint) for hint in _CLIP_HINTS),
        *(say(survey) for say in of_the_whole),
    ]
    return [hint for hint in said if hint]


def remedy_of(reason: str, params: Params | None) -> str:
    """What to do about clips rejected for ``reason``, with the keys' present values."""
    values = {} if params is None else params.preprocess.model_dump()
    keys = {
        key: f"params.yaml: preprocess.{key}" + (f" ({values[key]})" if key in values else "")
        for key in PreprocessParams.model_fields
    }
    return REMEDIES.get(reason, "data/shards/rejects.parquet has the details").format(**keys)


def _rejected(survey: Survey, params: Params | None) -> str:
    total = survey.total
    if total.rejected_share <= MANY:
        return ""
    reason, count = next(iter(survey.reasons.items()))
    return (
        f"{total.rejected_share:.0%} of the clips are rejected, {count} of {total.rejected} for `{reason}`: "
        f"{remedy_of(reason, params)}."
    )


def _of_clips(survey: Survey, hint: _ClipHint) -> str:
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
        f"Speaker {name} has {share:.0%} of the training clips: networks learn that face first. Balance the speakers."
    )


def _few_speakers(survey: Survey) -> str:
    num = len(_training_speakers(survey))
    if not 0 < num < FEW_SPEAKERS:
        return ""
    return (
        f"{num} training speaker{'s' if num > 1 else ''}: expect good figures on {'them' if num > 1 else 'this one'} "
        "and poor ones on other faces and voices."
    )


def _same_speakers(survey: Survey) -> str:
    known = _training_speakers(survey)
    held_out = {row.speaker for row in survey.of_split("test")}
    if not held_out or not held_out <= set(known):
        return ""
    return "Every test speaker is in the training split too: the scores say nothing about unseen speakers."


def _little(survey: Survey) -> str:
    minutes = sum(row.num_frames / row.fps for row in survey.of_split("train")) / 60
    if not 0 < minutes < FEW_MINUTES:
        return ""
    return f"{minutes:.0f} minutes to train on: enough to see every part at work, little for good lips."


def _sync(survey: Survey) -> str:
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
        f"{np.median(offsets):+.1f}): the expert learns sync from them. Correct the offsets, or reject those clips."
    )
