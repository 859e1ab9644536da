"""Training states on disk: the last good one, and the one before it."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from pipeline.core import atomic

logger = logging.getLogger(__name__)


class CheckpointStore:
    """The last good training state of one run.

    States are nested dicts and lists of tensors, numbers and strings. A state damaged by a crash of the machine is
    moved aside and the one before it is used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = (folder / "last.pt", folder / "previous.pt")

    def save(self, state: dict[str, Any]) -> None:
        last, previous = self._paths
        with atomic.replacing(folder_file := last.with_name("next.pt")) as temporary:
            torch.save(state, temporary)
        if last.exists():
            last.replace(previous)
        folder_file.replace(last)

    def load(self) -> dict[str, Any] | None:
        """The newest readable state, or None where there is none. Raises OSError where the disk does not answer."""
        for path in self._paths:
            if not path.is_file():
                continue
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return state
            except (OSError, MemoryError):  # the file may be whole
                raise
            except Exception as error:  # torch raises many types for a damaged file
                logger.warning("checkpoint %s is unreadable (%s); trying the one before it", path, error)
                path.replace(path.with_suffix(".damaged"))
        return None
