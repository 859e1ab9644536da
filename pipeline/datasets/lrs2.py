"""Clips in the layout of LRS2-BBC: ``mvlrs_v1/main/<programme>/<number>.mp4`` with ``.txt`` transcripts beside.

The lists ``train.txt``, ``val.txt`` and ``test.txt`` name them as ``<programme>/<number>``. The demo source
writes the same layout.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.manifest import SPLITS, ClipRecord, record_of


def list_lrs2_clips(root: Path | None) -> list[ClipRecord]:
    """Every listed clip below ``root``; the programme's folder stands for the speaker.

    Only ``main`` is read, as in Wav2Lip. Raises ValueError where the folder, a list or a listed clip is
    missing, naming the setting to change.
    """
    if root is None:
        raise ValueError("dataset.lrs2.root in params.yaml is not set: it is the folder that holds mvlrs_v1")
    root = root.expanduser().resolve()
    if not (root / "mvlrs_v1" / "main").is_dir():
        raise ValueError(f"{root} has no mvlrs_v1/main; set dataset.lrs2.root in params.yaml")
    main_dir = root / "mvlrs_v1" / "main"
    paths: dict[str, tuple[str, Path]] = {}
    for split in SPLITS:
        for clip_id in read_split_list(_find_list(root, split)):
            if paths.get(clip_id, (split,))[0] != split:
                raise ValueError(f"clip {clip_id} is in both {paths[clip_id][0]}.txt and {split}.txt of {root}")
            paths[clip_id] = split, main_dir / f"{clip_id}.mp4"
    missing = [path for _, path in paths.values() if not path.is_file()]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(paths)} listed clips are missing, the first is {missing[0]}: unpack the "
            "archive again, or take them out of the lists"
        )
    return [
        record_of(clip_id, clip_id.split("/")[0], split, path, read_transcript(path))
        for clip_id, (split, path) in paths.items()
    ]


def read_split_list(path: Path) -> list[str]:
    """Clip ids of a list: the first word of each line (``test.txt`` carries a second one)."""
    return [line.split()[0] for line in path.read_text().splitlines() if line.strip()]


def read_transcript(video_path: Path) -> str:
    """The words of the ``.txt`` beside a video, empty without one: the line ``Text:  ...``, or else the first."""
    path = video_path.with_suffix(".txt")
    if not path.is_file():
        return ""
    lines = path.read_text(errors="replace").splitlines()
    spoken = [line for line in lines if line.startswith("Text:")] or lines[:1]
    return " ".join(spoken[0].removeprefix("Text:").split()) if spoken else ""


def _find_list(root: Path, split: str) -> Path:
    for folder in (root, root / "mvlrs_v1"):
        if (folder / f"{split}.txt").is_file():
            return folder / f"{split}.txt"
    raise ValueError(
        f"{root} has no {split}.txt, the list of its {split} clips; it belongs beside mvlrs_v1 "
        "(dataset.lrs2.root in params.yaml)"
    )
