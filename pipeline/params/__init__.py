"""``params.yaml`` as frozen, validated objects.

The file is the only source of values. No field has a default, so a missing key is an error.
"""

from pipeline.params.clips import FolderParams, GridParams, Lrs2Params, PreprocessParams, SyncFilterParams
from pipeline.params.file import Params, load_params, parse_params, read_params_text
from pipeline.params.scoring import (
    CompareParams,
    DriftParams,
    EvaluateParams,
    PromoteParams,
    RuntimeParams,
    WeightsParams,
)
from pipeline.params.training import (
    LipGanVariant,
    Speech2VidVariant,
    TrainEvaluatorParams,
    TrainGanParams,
    TrainSyncnetParams,
    VariantParams,
    Wav2LipVariant,
)
from pipeline.params.values import ParamsError

__all__ = [
    "CompareParams",
    "DriftParams",
    "EvaluateParams",
    "FolderParams",
    "GridParams",
    "LipGanVariant",
    "Lrs2Params",
    "Params",
    "ParamsError",
    "PreprocessParams",
    "PromoteParams",
    "RuntimeParams",
    "Speech2VidVariant",
    "SyncFilterParams",
    "TrainEvaluatorParams",
    "TrainGanParams",
    "TrainSyncnetParams",
    "VariantParams",
    "Wav2LipVariant",
    "WeightsParams",
    "load_params",
    "parse_params",
    "read_params_text",
]
