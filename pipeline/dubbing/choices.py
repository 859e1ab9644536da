"""Choices of a dubbing that no other room shares, without imports."""

from typing import Literal

Fill = Literal["pingpong", "loop"]
"""How a video that is too short continues: backwards and forwards in turn, or from its start."""
OnMissing = Literal["auto", "keep", "error"]
"""What becomes of frames without a face: kept as they are, or an error; ``auto`` keeps them unless all are without."""
