"""Sound that is moved against its pictures."""

from __future__ import annotations

import numpy as np

SAMPLES_PER_FRAME = 640


def early_by(samples: np.ndarray, lead_frames: int) -> np.ndarray:
    """The samples so many frames earlier (negative: later); what comes before or after them is silence."""
    moved = np.zeros_like(samples)
    step = SAMPLES_PER_FRAME * abs(lead_frames)
    if lead_frames >= 0:
        moved[: len(samples) - step] = samples[step:]
    else:
        moved[step:] = samples[: len(samples) - step]
    return moved
