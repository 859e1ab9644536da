"""Any tree of the user's own videos, split by video or by speaker."""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from pathlib import Path

from pipeline.datasets.lrs2 import read_transcript
from pipeline.datasets.metadata import VideoNote, read_metadata
from pipeline.datasets.split import assign_splits
from pipeline.manifest import ClipRecord, record_of
from pipeline.params import FolderParams
from pipeline.shards.key import MAX_ID_CHARS, PIECE_CHARS, plain_name

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".webm"})
UNKNOWN_SPEAKER = "unknown"


def list_folder_clips(params: FolderParams, seed: int) -> list[ClipRecord]:
    """Every video below ``dataset.folder.root``, ids like ``holiday/take 1``; hidden files are left out.

    The folder of a video stands for its speaker, a ``.txt`` beside it is its transcript, unless
    ``dataset.folder.metadata`` says otherwise. Raises ValueError where the folder, any video or a noted one is missing,
    naming the setting to change.
    """
    if params.root is None:
        raise ValueError("dataset.folder.root in params.yaml is not set: it is the folder that holds your videos")
    root = params.root.expanduser().resolve()
    if not root.is_dir():
        raise ValueError(f"{root} is no folder; set dataset.folder.root in params.yaml")
    paths = [path for path in sorted(root.rglob("*")) if _is_video(path, root)]
    if not paths:
        known = " ".join(sorted(SUFFIXES))
        raise ValueError(f"{root} holds no video ({known}); set dataset.folder.root in params.yaml")
    ids, notes = _ids_of(paths, root), _notes_of(paths, root, params.metadata)
    speakers = {path: notes[path].speaker or _speaker_of(path, root) for path in paths}
    unit_of = speakers if params.split_by == "speaker" else ids
    undecided = (unit_of[path] for path in paths if not notes[path].split)
    drawn = assign_splits(undecided, params.val_fraction, params.test_fraction, seed)
    return [
        record_of(
            ids[path],
            speakers[path],
            notes[path].split or drawn[unit_of[path]],
            path,
            notes[path].transcript or read_transcript(path),
        )
        for path in paths
    ]


def _notes_of(paths: list[Path], root: Path, metadata: Path | None) -> dict[Path, VideoNote]:
    """The user's notes, empty ones for videos without. A relative ``metadata`` is looked for below ``root``."""
    if metadata is None:
        return dict.fromkeys(paths, VideoNote())
    file = root / metadata.expanduser()
    notes = read_metadata(file)
    named = {path.relative_to(root).as_posix(): path for path in paths}
    if absent := sorted(set(notes) - set(named)):
        raise ValueError(f"{file} names {len(absent)} videos that are not below {root}, the first is {absent[0]}")
    if len(notes) < len(paths):
        log.info(
            "%s says nothing of %d of %d videos: their folders and the seed decide",
            file,
            len(paths) - len(notes),
            len(paths),
        )
    return {path: notes.get(name, VideoNote()) for name, path in named.items()}


def _is_video(path: Path, root: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
    return path.suffix.lower() in SUFFIXES and not is_hidden and path.is_file()


def _ids_of(paths: list[Path], root: Path) -> dict[Path, str]:
    """Relative paths without suffix; a digest tells apart names that are long or differ in punctuation only."""
    bare = {path: path.relative_to(root).with_suffix("").as_posix() for path in paths}
    plain = Counter(plain_name(name) for name in bare.values())
    ids = {}
    for path, name in bare.items():
        if len(name) > MAX_ID_CHARS - PIECE_CHARS or plain[plain_name(name)] > 1:
            digest = hashlib.sha256(path.relative_to(root).as_posix().encode()).hexdigest()[:8]
            name = f"{name[: MAX_ID_CHARS - PIECE_CHARS - 9]}-{digest}"
        ids[path] = name
    return ids


def _speaker_of(path: Path, root: Path) -> str:
    folder = path.relative_to(root).parent.as_posix()
    return UNKNOWN_SPEAKER if folder == "." else folder
