"""Choices that params.yaml, command lines and functions share, each declared here and nowhere else.

They have no imports, so that a command line can name them without waiting. A choice of one room alone is declared in
that room: ``pipeline.dubbing.choices``, ``pipeline.promote.choices``.
"""

from typing import Literal

Source = Literal["demo", "grid", "lrs2", "folder"]
"""Where clips come from (``dataset.source``). Each has a profile of the same name."""
Split = Literal["train", "val", "test"]
SplitBy = Literal["clip", "speaker"]
ChooseFace = Literal["speaking", "largest"]

Device = Literal["auto", "cpu", "cuda"]
"""``auto`` is CUDA if torch has it, else the CPU."""
Precision = Literal["auto", "fp32", "bf16"]
"""``auto`` is bfloat16 on hardware that has it, else float32."""
LsePrecision = Literal["fp32", "bf16"]

Augment = Literal["light", "strong"]
Keep = Literal["best", "last"]
"""Which weights of a training are its result: those of the least validation loss, or those of the last step."""
SyncObjective = Literal["infonce", "bce"]
AudioStart = Literal["expert", "random"]
"""What a generator's audio encoder starts from: the sync expert's weights, or random ones."""

Bound = Literal["real", "copy_input"]
"""Rows of every comparison without a generator: real videos, and input videos as they are under other audio."""
Reference = Literal["first", "same"]
"""Picture that shows a generator the identity: the first frame of the shot or clip, or the frame itself."""
Length = Literal["audio", "video"]
"""Stream whose length a written video has."""
