"""Clips in the layout of LRS2-BBC: ``mvlrs_v1/main/<programme>/<number>.mp4`` with ``.txt`` transcripts beside.

The lists ``train.txt``, ``val.txt`` and ``test.txt`` name them as ``<programme>/<number>``. The demo source
writes the same layout.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.corpora.manifest import MAX_MISSING_SHARE, SPLITS, ClipRecord, absent_record, record_of

log = logging.getLogger(__name__)


def list_lrs2_clips(root: Path | None) -> list[ClipRecord]:
    """Every listed clip below ``root``; the programme's folder stands for the speaker.

    Only ``main`` is read, as in Wav2Lip. A listed clip that is not there is listed with 0 bytes, so that it is
    counted among the rejects. Raises UserError where the folder, a list or many clips are missing, naming the
    setting to change.
    """
    root = lrs2_root(root)
    main_dir = root / "mvlrs_v1" / "main"
    paths: dict[str, tuple[str, Path]] = {}
    for split in SPLITS:
        for clip_id in read_split_list(find_list(root, split)):
            if paths.get(clip_id, (split,))[0] != split:
                raise UserError(f"clip {clip_id} is in both {paths[clip_id][0]}.txt and {split}.txt of {root}")
            paths[clip_id] = split, main_dir / f"{clip_id}.mp4"
    missing = {clip_id for clip_id, (_, path) in paths.items() if not path.is_file()}
    if missing:
        first = main_dir / f"{min(missing)}.mp4"
        told = f"{len(missing)} of {len(paths)} listed clips are missing, the first is {first}"
        if len(missing) > MAX_MISSING_SHARE * len(paths):
            raise UserError(f"{told}: unpack the archive again, or take them out of the lists")
        log.warning("%s", told)
    return [
        absent_record(clip_id, _programme(clip_id), split, path)
        if clip_id in missing
        else record_of(clip_id, _programme(clip_id), split, path, read_transcript(path))
        for clip_id, (split, path) in paths.items()
    ]


def lrs2_root(root: Path | None) -> Path:
    """The folder that holds ``mvlrs_v1``. Raises UserError naming the setting where it is not set or not there."""
    if root is None:
        raise UserError(
            "dataset.lrs2.root in params.yaml is not set: it is the folder that holds mvlrs_v1; "
            "or set dataset.lrs2.url to download it"
        )
    root = root.expanduser().resolve()
    if not (root / "mvlrs_v1" / "main").is_dir():
        raise UserError(f"{root} has no mvlrs_v1/main; set dataset.lrs2.root in params.yaml")
    return root


def _programme(clip_id: str) -> str:
    return clip_id.split("/")[0]


def read_split_list(path: Path) -> list[str]:
    """Clip ids of a list: the first word of each line (``test.txt`` carries a second one).

    Raises UserError where it is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # a byte order mark is not part of the first id
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not text in UTF-8: {error}; save it so") from None
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def read_transcript(video_path: Path) -> str:
    """The words of the ``.txt`` beside a video, empty without one."""
    path = video_path.with_suffix(".txt")
    return spoken_words(path.read_bytes()) if path.is_file() else ""


def spoken_words(content: bytes) -> str:
    """Of a transcript's content the line ``Text:  ...``, or else the first that is not empty."""
    lines = content.decode("utf-8-sig", errors="replace").strip().splitlines()
    spoken = [line for line in lines if line.startswith("Text:")] or lines[:1]
    return " ".join(spoken[0].removeprefix("Text:").split()) if spoken else ""


def find_list(root: Path, split: str) -> Path:
    """The split's list, beside ``mvlrs_v1`` or in it. Raises UserError where there is none."""
    for folder in (root, root / "mvlrs_v1"):
        if (folder / f"{split}.txt").is_file():
            return folder / f"{split}.txt"
    raise UserError(
        f"{root} has no {split}.txt, the list of its {split} clips; it belongs beside mvlrs_v1 "
        "(dataset.lrs2.root in params.yaml)"
    )
