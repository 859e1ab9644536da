"""Any tree of the user's own videos, split by video or by speaker."""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from pipeline.core.errors import UserError
from pipeline.corpora.lrs2 import spoken_words
from pipeline.corpora.manifest import ClipRecord
from pipeline.corpora.metadata import VideoNote, parse_metadata
from pipeline.corpora.split import assign_splits, least_test
from pipeline.corpora.storage import is_url
from pipeline.corpora.video_tree import LocalTree, RemoteTree, VideoTree
from pipeline.media.container import VIDEO_SUFFIXES
from pipeline.params import FolderParams
from pipeline.shards.key import MAX_ID_CHARS, SEGMENT_CHARS, plain_name, source_of

log = logging.getLogger(__name__)

UNKNOWN_SPEAKER = "unknown"


def list_folder_clips(params: FolderParams, seed: int, num_connections: int = 1) -> list[ClipRecord]:
    """Every video below ``dataset.folder.root``, ids like ``holiday/take 1``; hidden files are left out.

    The folder of a video stands for its speaker, a ``.txt`` beside it is its transcript, unless
    ``dataset.folder.metadata`` says otherwise. Raises UserError where the folder, any video or a noted one is missing,
    naming the setting to change, or where a name is not UTF-8; OutageError where remote storage does not answer.
    """
    if params.root is None:
        raise UserError("dataset.folder.root in params.yaml is not set: it is the folder that holds your videos")
    tree = (
        RemoteTree(params.root, num_connections)
        if is_url(params.root)
        else LocalTree(Path(params.root.removeprefix("file://")))
    )
    names = [name for name in tree.sizes if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES]
    if not names:
        known = " ".join(sorted(VIDEO_SUFFIXES))
        raise UserError(f"{tree.label} holds no video ({known}); set dataset.folder.root in params.yaml")
    _require_utf8_names(names, tree)
    ids, notes = _ids_of(names), _notes_of(names, tree, params.metadata)
    speakers = {name: notes[name].speaker or _speaker_of(name) for name in names}
    splits = _splits_of(names, notes, ids, speakers, params, seed)
    digests = tree.digests(names)
    _warn_of_held_out_copies({name: digests[name] for name in names if tree.sizes[name]}, splits)
    return [
        ClipRecord(
            clip_id=ids[name],
            speaker=speakers[name],
            split=splits[name],
            path=tree.path_of(name),
            num_bytes=tree.sizes[name],
            sha256=digests[name],
            transcript=notes[name].transcript or _transcript_of(name, tree),
        )
        for name in names
    ]


def _require_utf8_names(names: Sequence[str], tree: VideoTree) -> None:
    """Other names come from disk with stand-ins for their bytes, which no table can hold. Raises UserError."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{tree.label} has a video whose name is not UTF-8, {name!r}: rename it") from None


def _warn_of_held_out_copies(digests: Mapping[str, str], splits: Mapping[str, str]) -> None:
    """A held-out video that a model was trained on makes its scores too good."""
    trained_on = {digest: name for name, digest in digests.items() if splits[name] == "train"}
    copies = [name for name, digest in digests.items() if splits[name] != "train" and digest in trained_on]
    if copies:
        log.warning(
            "%d videos of val and test are copies of training videos, the first is %s, a copy of %s: remove one of "
            "each, or note the same split for both in dataset.folder.metadata",
            len(copies),
            copies[0],
            trained_on[digests[copies[0]]],
        )


def _splits_of(
    names: Sequence[str],
    notes: Mapping[str, VideoNote],
    ids: Mapping[str, str],
    speakers: Mapping[str, str],
    params: FolderParams,
    seed: int,
) -> dict[str, str]:
    """The noted split, else by speaker that of the speaker's noted videos, else a drawn one.

    Raises UserError where a speaker's other videos are noted in several splits.
    """
    is_by_speaker = params.split_by == "speaker"
    unit_of = speakers if is_by_speaker else ids
    noted: dict[str, set[str]] = {}
    for name in names:
        if split := notes[name].split:
            noted.setdefault(unit_of[name], set()).add(split)
    undecided = {unit_of[name] for name in names if not notes[name].split}
    for unit in sorted(undecided & noted.keys()):
        if len(noted[unit]) > 1:
            raise UserError(
                f"dataset.folder.metadata puts videos of speaker {unit!r} into {' and '.join(sorted(noted[unit]))} and "
                "leaves others open, which dataset.folder.split_by: speaker cannot decide: note a split for each of "
                "them, or split_by: clip"
            )
    if is_by_speaker and (several := sorted(unit for unit, found in noted.items() if len(found) > 1)):
        log.warning("dataset.folder.metadata has speaker %s in several splits, against split_by: speaker", several[0])
    drawn = assign_splits(
        undecided - noted.keys(), params.val_fraction, params.test_fraction, seed, least_test(params.split_by)
    )
    drawn |= {unit: next(iter(found)) for unit, found in noted.items()}
    return {name: notes[name].split or drawn[unit_of[name]] for name in names}


def _notes_of(names: Sequence[str], tree: VideoTree, metadata: Path | None) -> dict[str, VideoNote]:
    """The user's notes, empty ones for videos without."""
    if metadata is None:
        return dict.fromkeys(names, VideoNote())
    where, content = _read_metadata(tree, metadata)
    notes = _by_name_on_disk(parse_metadata(content, where), names)
    if absent := sorted(set(notes) - set(names)):
        raise UserError(f"{where} names {len(absent)} videos that are not below {tree.label}, the first is {absent[0]}")
    if len(notes) < len(names):
        silent = len(names) - len(notes)
        log.info("%s says nothing of %d of %d videos: their folders and the seed decide", where, silent, len(names))
    return {name: notes.get(name, VideoNote()) for name in names}


def _by_name_on_disk(notes: Mapping[str, VideoNote], names: Sequence[str]) -> dict[str, VideoNote]:
    """Macs may write an accent as a character of its own: what looks the same is taken for the same name."""
    name_of = {unicodedata.normalize("NFC", name): name for name in names} | {name: name for name in names}
    return {
        name_of.get(path) or name_of.get(unicodedata.normalize("NFC", path), path): note for path, note in notes.items()
    }


def _read_metadata(tree: VideoTree, metadata: Path) -> tuple[str, bytes]:
    """Name and content of the file of notes; a relative one is looked for below the tree's root."""
    path = metadata.expanduser()
    name = path.as_posix()
    if name in tree.sizes:
        return tree.path_of(name), tree.read(name)
    where = name if path.is_absolute() else tree.path_of(name)
    if not Path(where).is_file():
        raise UserError(f"{where} does not exist; see dataset.folder.metadata in params.yaml")
    return where, Path(where).read_bytes()


def _transcript_of(name: str, tree: VideoTree) -> str:
    beside = PurePosixPath(name).with_suffix(".txt").as_posix()
    return spoken_words(tree.read(beside)) if beside in tree.sizes else ""


def _ids_of(names: Sequence[str]) -> dict[str, str]:
    """Names without suffix.

    A digest tells apart those that are long, differ in punctuation only, or look like the name of a part of a clip.
    """
    bare = {name: PurePosixPath(name).with_suffix("").as_posix() for name in names}
    plain = Counter(plain_name(clip_id) for clip_id in bare.values())
    ids = {}
    for name, clip_id in bare.items():
        is_taken = plain[plain_name(clip_id)] > 1 or source_of(clip_id) != clip_id
        if is_taken or len(clip_id) > MAX_ID_CHARS - SEGMENT_CHARS:
            digest = hashlib.sha256(name.encode()).hexdigest()[:8]
            clip_id = f"{clip_id[: MAX_ID_CHARS - SEGMENT_CHARS - 9]}-{digest}"
        ids[name] = clip_id
    return ids


def _speaker_of(name: str) -> str:
    folder = PurePosixPath(name).parent.as_posix()
    return UNKNOWN_SPEAKER if folder == "." else folder
