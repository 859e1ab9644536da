"""Option values that only dubbing uses. The module imports no other code."""

from typing import Literal

Fill = Literal["pingpong", "loop"]
"""How to extend a video that is too short: alternately backwards and forwards, or from its start."""
OnMissing = Literal["auto", "keep", "error"]
"""How to treat frames without a face: keep them or raise an error. ``auto`` keeps them if enough frames, by default
half of them, show the face."""
InSilence = Literal["keep", "rest"]
"""The mouth while nobody speaks: the source's, blended in, or a generated one, which rests."""
