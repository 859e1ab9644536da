"""Loads a generator into the library that runs it: torch or ONNX Runtime. The module itself imports neither."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.core.cache_folder import limit_size, mark_used
from pipeline.core.choices import Device, Runtime
from pipeline.core.errors import UserError
from pipeline.core.model_files import MODEL_NAME, WEIGHTS_NAME

if TYPE_CHECKING:
    from pipeline.inference.generator import MouthGenerator
    from pipeline.inference.onnx_generator import OnnxGenerator

ONNX_SUFFIX = ".onnx"
MAX_EXPORTS_BYTES = 2_000_000_000
"""Largest size of the exports that are kept; above it the least recently used ones are removed."""


def load_generator(
    path: Path, device: Device, runtime: Runtime, num_threads: int, exports_dir: Path
) -> MouthGenerator | OnnxGenerator:
    """A generator from the folder of a saved one, or from an exported ONNX file.

    ``num_threads``: threads on the CPU, 0 for all cores. With the runtime ``onnx`` a folder is exported to
    ``exports_dir`` on its first use. Raises the errors of the runtime's loader, and UserError for an ONNX file with the
    runtime ``torch``.
    """
    is_exported = path.suffix == ONNX_SUFFIX
    if runtime == "torch":
        if is_exported:
            raise UserError(f"{path} is an ONNX file; use it with --runtime onnx")
        from pipeline.inference.device import set_threads
        from pipeline.inference.generator import MouthGenerator

        set_threads(num_threads)
        generator = MouthGenerator.load(path, device)
        generator.fuse()
        return generator
    from pipeline.inference.onnx_generator import OnnxGenerator

    return OnnxGenerator(path if is_exported else _exported(path, exports_dir), device, num_threads)


def _exported(folder: Path, exports_dir: Path) -> Path:
    """The ONNX file of a saved generator, which is written if it does not exist."""
    digest = hashlib.sha256()
    for name in (MODEL_NAME, WEIGHTS_NAME):
        if (folder / name).is_file():  # the export raises the error for a missing one
            digest.update((folder / name).read_bytes())
    path = exports_dir / f"{digest.hexdigest()}{ONNX_SUFFIX}"
    if path.is_file():
        mark_used(path)
    else:
        from pipeline.inference.onnx_export import export_onnx

        export_onnx(folder, path)
        limit_size(exports_dir, MAX_EXPORTS_BYTES)
    return path
