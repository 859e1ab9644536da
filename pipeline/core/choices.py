"""Sets of choices that params.yaml, command lines and functions share. Each is declared once, here.

The module imports only ``typing``, so that command lines start quickly. Choices of a single package are declared in
that package: ``pipeline.dubbing.option_values``.
"""

from typing import Literal, get_args

Source = Literal["demo", "grid", "lrs2", "folder"]
"""Source of the clips (``dataset.source``). Each has a profile of the same name."""
Split = Literal["train", "val", "test"]
SplitBy = Literal["clip", "speaker"]
ChooseFace = Literal["speaking", "largest"]
RolledFaces = Literal["reject", "align"]
CropGeometry = Literal["square", "box"]
"""What a face crop shows (``preprocess.crop``). A model is trained on one geometry and works on no other.

``square``: a square as high as the face box, with a margin below the chin. ``box``: the face box without a margin,
stretched to a square, as in Wav2Lip's training.
"""
UNNAMED_GEOMETRY: CropGeometry = "square"
"""The geometry of shards, models and results that do not name one: those of versions that had no other."""

Device = Literal["auto", "cpu", "cuda"]
"""``auto``: CUDA if torch supports it here, else the CPU."""
Runtime = Literal["torch", "onnx"]
"""Library that runs a generator in ``dub``. ``onnx``: ONNX Runtime, the extra ``onnx``."""
Precision = Literal["auto", "fp32", "bf16"]
"""``auto``: bfloat16 on hardware that supports it, else float32."""
LsePrecision = Literal["fp32", "bf16"]

JudgeName = Literal["judge-1"]
"""An evaluator that is part of the package (``evaluate.lse.weights``). Published weights keep their name."""
JUDGE_NAMES: tuple[str, ...] = get_args(JudgeName)

Augment = Literal["light", "strong"]
Keep = Literal["best", "last"]
"""Checkpoint that a training run keeps: the best one in validation, or the last one."""
SyncObjective = Literal["infonce", "bce"]
AudioStart = Literal["expert", "random"]
"""Initial weights of a generator's audio encoder: the sync expert's, or random ones."""

DriftAction = Literal["report", "retrain", "refuse"]
"""What flows.retrain does about drift of the clips: it only reports it, retrains only if there is some, or does not
retrain if there is some."""

Bound = Literal["real", "copy_input"]
"""Rows of a comparison that need no generator: the real videos, and the unchanged videos with the audio of another
clip."""
BOUNDS: tuple[str, ...] = get_args(Bound)
Reference = Literal["first", "same"]
"""Identity reference of a generator: the first frame of the shot or clip, or the frame that is generated."""
Length = Literal["audio", "video"]
"""Input stream that sets the length of the output video."""

ClipStatus = Literal["ok", "failed"]
"""Status of a line of ``clips.csv``: whether the pair has scores."""

Alias = Literal["champion", "previous", "challenger"]
"""Aliases of registered versions: the model in use, its predecessor, the last model that the gate refused."""
