"""Lip metrics of a clip: face landmarks and spans of speech, and `pipeline.metrics.lips` of them.

They need the extra `landmarks` and the weights of the face mesh. Without them they are missing, with a reason.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from pipeline.core.errors import DataError, UserError
from pipeline.faces.crops import CHIN_MARGIN, CONTEXT_MARGIN, CROP_PX
from pipeline.faces.mesh import FaceMesh, share_with_face
from pipeline.inference.pretrained import FACE_MESH, ensure
from pipeline.inference.speech_spans import REQUIREMENT, SpeechDetector, has_speech_detector
from pipeline.metrics.lips import LipScore, lip_score

logger = logging.getLogger(__name__)

MIN_FACE_SHARE = 0.5
"""Smallest share of frames in which the network finds a face."""
NOT_INSTALLED = f"the extra `landmarks` is not installed; install it with `pip install '{REQUIREMENT}'`"
NO_FACE = "the landmark network finds a face in none of the clips"
NO_SPEECH = "no clip has half a second of speech"
NO_PAUSE = "no clip has a silence of 300 ms"

FindLandmarks = Callable[[NDArray[np.uint8]], NDArray[np.float64]]
"""Context crops uint8 [N, P, P, 3] BGR -> landmarks float64 [N, 468, 3] in their pixels."""
FindSpeech = Callable[[NDArray[np.int16]], Sequence[tuple[int, int]]]
"""16 kHz audio -> spans of speech in samples."""


@dataclass(frozen=True)
class LipScorer:
    """The networks behind the lip metrics; None if they are missing, and then ``missing`` is the reason."""

    landmarks: FindLandmarks | None = None
    speech: FindSpeech | None = None
    missing: str = NOT_INSTALLED

    @classmethod
    def open(cls, weights_dir: Path) -> LipScorer:
        """The scorer, with the weights of the face mesh downloaded if necessary; without networks if one is missing."""
        if not has_speech_detector():
            return cls()
        try:
            return cls(FaceMesh(ensure(FACE_MESH, weights_dir)).landmarks, SpeechDetector(), "")
        except (UserError, DataError) as error:
            logger.warning("no lip metrics: %s", error)
            return cls(missing=str(error))

    def __call__(self, context: NDArray[np.uint8], audio: NDArray[np.int16]) -> LipScore | None:
        """Lip metrics of context crops uint8 [N, P, P, 3], BGR, with 16 kHz audio int16 [n].

        None without networks, or if too few frames show a face.
        """
        if self.landmarks is None or self.speech is None:
            return None
        landmarks = self.landmarks(context)
        if share_with_face(landmarks) < MIN_FACE_SHARE:
            return None
        return lip_score(landmarks, audio, self.speech(audio), crop_px_per_px(context.shape[1]))


def missing_sentence(scorer: LipScorer, scores: Sequence[LipScore | None]) -> str:
    """Which of the two metrics no clip has, and why, without a full stop; empty if both are measured."""
    both = "opening ~ loudness and lips in pauses are not measured: "
    if scorer.missing:
        return both + scorer.missing
    found = [score for score in scores if score]
    if not found:
        return both + NO_FACE
    without = []
    if all(score.opening_correlation is None for score in found):
        without.append(f"opening ~ loudness is not measured: {NO_SPEECH}")
    if all(score.pause_motion_px is None for score in found):
        without.append(f"lips in pauses are not measured: {NO_PAUSE}")
    return "; ".join(without)


def crop_px_per_px(context_px: int) -> float:
    """Pixels of a square face crop of 96 px per pixel of a context crop of ``context_px``."""
    return CROP_PX * (1 + CONTEXT_MARGIN) / (1 + CHIN_MARGIN) / context_px


def lip_summary(scores: Sequence[LipScore | None], prefix: str = "") -> dict[str, Any]:
    """Means over clips, None if no clip has a value, and the numbers of clips behind them.

    The motion in pauses is the mean over all frame steps in pauses. ``prefix``: beginning of the keys.
    """
    correlations = [score.opening_correlation for score in scores if score and score.opening_correlation is not None]
    pauses = [(score.pause_motion_px, score.num_pause_steps) for score in scores if score]
    rests = [(motion, steps) for motion, steps in pauses if motion is not None]
    num_steps = sum(steps for _, steps in rests)
    return {
        f"{prefix}opening_correlation": float(np.mean(correlations)) if correlations else None,
        f"{prefix}pause_motion_px": sum(motion * steps for motion, steps in rests) / num_steps if rests else None,
        f"{prefix}num_opening_clips": len(correlations),
        f"{prefix}num_pause_clips": len(rests),
    }
