"""Checkpoints on disk: the last one and the previous one."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch

from pipeline.core import atomic

logger = logging.getLogger(__name__)


class CheckpointStore:
    """The last two checkpoints of one training run.

    A checkpoint consists of nested dicts and lists of tensors, numbers and strings. A checkpoint that a crash of the
    machine damaged is renamed, and the previous one is used. If both are damaged, the training starts again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths = (folder / "last.pt", folder / "previous.pt")
        self._next = folder / "next.pt"

    def save(self, state: dict[str, Any]) -> None:
        """Write a checkpoint. The last checkpoint becomes the previous one."""
        last, previous = self._paths
        with atomic.replacing(self._next) as temporary:
            torch.save(state, temporary)
        if last.exists():
            last.replace(previous)
        self._next.replace(last)

    def load(self) -> dict[str, Any] | None:
        """The newest readable checkpoint, or None. Raises OSError if the disk cannot be read."""
        was_damaged = False
        # next.pt is complete and the newest if a kill came between the two renames of `save`.
        for path in (self._next, *self._paths):
            if not path.is_file():
                continue
            try:
                state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
                return state
            except (OSError, MemoryError):  # the file may be undamaged
                raise
            except Exception as error:  # torch raises exceptions of many types for damaged files
                damaged = path.replace(path.with_suffix(".damaged"))
                logger.warning("checkpoint %s is unreadable (%s); renamed to %s", path, error, damaged)
                was_damaged = True
        if was_damaged:
            logger.warning("no readable checkpoint in %s; the training starts again from step 0", self.folder)
        return None
