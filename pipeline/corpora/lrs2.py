"""Source ``lrs2``: clips in the layout of LRS2-BBC, which the demo source writes too.

A clip is ``mvlrs_v1/main/<programme>/<number>.mp4``, with a transcript in ``<number>.txt``. The lists ``train.txt``,
``val.txt`` and ``test.txt`` name clips as ``<programme>/<number>``.
"""

from __future__ import annotations

import logging
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.corpora.manifest import MAX_MISSING_SHARE, SPLITS, ClipRecord, absent_record, record_of

logger = logging.getLogger(__name__)


def list_lrs2_clips(root: Path | None) -> list[ClipRecord]:
    """Every listed clip below ``root``. The speaker is the programme's folder.

    Only ``main`` is read, as in Wav2Lip. A clip without a file is returned with 0 bytes, and preprocessing rejects it.

    Raises UserError if the folder or a list does not exist, if a clip is in two lists, or if more than
    ``MAX_MISSING_SHARE`` of the clips have no file.
    """
    root = lrs2_root(root)
    main_dir = root / "mvlrs_v1" / "main"
    paths: dict[str, tuple[str, Path]] = {}
    for split in SPLITS:
        for clip_id in read_split_list(find_list(root, split)):
            if paths.get(clip_id, (split,))[0] != split:
                raise UserError(
                    f"clip {clip_id} is in both {paths[clip_id][0]}.txt and {split}.txt of {root}; remove it from one"
                )
            paths[clip_id] = split, main_dir / f"{clip_id}.mp4"
    missing = {clip_id for clip_id, (_, path) in paths.items() if not path.is_file()}
    if missing:
        first = main_dir / f"{min(missing)}.mp4"
        message = f"{len(missing)} of {len(paths)} listed clips have no file; the first is {first}"
        if len(missing) > MAX_MISSING_SHARE * len(paths):
            raise UserError(f"{message}. Unpack the archive again, or remove these clips from the lists")
        logger.warning("%s", message)
    return [
        absent_record(clip_id, _programme(clip_id), split, path)
        if clip_id in missing
        else record_of(clip_id, _programme(clip_id), split, path, read_transcript(path))
        for clip_id, (split, path) in paths.items()
    ]


def lrs2_root(root: Path | None) -> Path:
    """The folder that contains ``mvlrs_v1``. Raises UserError, with the setting, if it is unset or absent."""
    if root is None:
        raise UserError(
            "dataset.lrs2.root is not set; set it in params.yaml to the folder that contains mvlrs_v1, or set "
            "dataset.lrs2.url to download it"
        )
    root = root.expanduser().resolve()
    if not (root / "mvlrs_v1" / "main").is_dir():
        raise UserError(f"{root} has no mvlrs_v1/main; set dataset.lrs2.root in params.yaml")
    return root


def _programme(clip_id: str) -> str:
    return clip_id.split("/")[0]


def read_split_list(path: Path) -> list[str]:
    """The clip ids of a list: the first word of each line (``test.txt`` has a second one).

    Raises UserError if the file is not UTF-8.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # a byte order mark is not part of the first id
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text: {error}; re-save it as UTF-8") from None
    return [line.split()[0] for line in text.splitlines() if line.strip()]


def read_transcript(video_path: Path) -> str:
    """The words in the ``.txt`` file with the video's name, or "" if there is none."""
    path = video_path.with_suffix(".txt")
    return spoken_words(path.read_bytes()) if path.is_file() else ""


def spoken_words(content: bytes) -> str:
    """The line ``Text:  ...`` of a transcript, or else its first non-empty line."""
    lines = content.decode("utf-8-sig", errors="replace").strip().splitlines()
    spoken = [line for line in lines if line.startswith("Text:")] or lines[:1]
    return " ".join(spoken[0].removeprefix("Text:").split()) if spoken else ""


def find_list(root: Path, split: str) -> Path:
    """The split's list: in ``root`` or in ``mvlrs_v1``. Raises UserError if neither has it."""
    for folder in (root, root / "mvlrs_v1"):
        if (folder / f"{split}.txt").is_file():
            return folder / f"{split}.txt"
    raise UserError(
        f"{root} has no {split}.txt, the list of its {split} clips; put it into that folder, or correct "
        "dataset.lrs2.root in params.yaml"
    )
