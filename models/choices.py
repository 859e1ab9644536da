"""Choices of the networks' configurations, without an import of torch."""

from collections.abc import Mapping
from typing import Literal

LstmOver = Literal["mel", "frames", "context", "context_both"]
"""mel: over the mel window's steps, before the audio encoder. frames: over the frames' audio embeddings, after it.
context: over the mel window and the 0.8 s before it. context_both: also backward, from 0.2 s after the window."""
MEL_CONTEXT: Mapping[LstmOver, tuple[int, int]] = {
    "mel": (0, 0),
    "frames": (0, 0),
    "context": (64, 0),
    "context_both": (64, 16),
}
"""Mel steps before and after a frame's window that the LSTM reads too, at 80 steps/s."""

WINDOW_FRAMES = 5
"""T, frames of a window of the networks that score sync, as in Wav2Lip and in "Out of time"."""

Predicts = Literal["image", "change"]
"""image: the face. change: what to add to a copy of the face input, see `models.copied_face.copy_logits`."""

FacePx = Literal[96, 128, 192]
"""Side of a generator's face crops in pixels."""
FACE_SIZE_PX: FacePx = 96
"""Side of the paper's and Wav2Lip's face crops, in pixels. Networks that score sync take crops of this size only."""

MelSteps = Literal[16, 27]
"""Steps of the mel window of a frame, at 80 steps/s: 0.2 s as in Wav2Lip, or 0.34 s as in LipGAN."""
SHORT_MEL_STEPS: MelSteps = 16
LONG_MEL_STEPS: MelSteps = 27
MelWindow = Literal["own", "short", "long"]
"""own: the steps of the published network. short: 16. long: 27."""

CbamIn = Literal["encoders", "decoder", "both"]
"""Parts of the generator that have CBAM: the encoders of faces and audio, the decoder, or both."""
CBAM_REDUCTION = 16
"""Default reduction of CBAM's channel gates: channels for each hidden unit."""
