"""Source ``folder``: a tree of the user's own videos, split by video or by speaker."""

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

logger = logging.getLogger(__name__)

UNKNOWN_SPEAKER = "unknown"


def list_folder_clips(
    params: FolderParams, seed: int, num_connections: int = 1, start: Path = Path()
) -> list[ClipRecord]:
    """Every video below ``dataset.folder.root`` as a clip with an id like ``holiday/take 1``.

    Hidden files are skipped. The speaker is the video's folder, and the transcript is the ``.txt`` file with the
    video's name. ``dataset.folder.metadata`` overrides both, and the split. A relative root is below ``start``.

    Raises UserError if the folder does not exist or has no video, if the metadata names a video that does not exist, or
    if a name is not UTF-8. Raises OutageError if remote storage does not answer.
    """
    if params.root is None:
        raise UserError("dataset.folder.root is not set; set it in params.yaml to the folder that contains your videos")
    tree = (
        RemoteTree(params.root, num_connections)
        if is_url(params.root)
        else LocalTree(start / Path(params.root.removeprefix("file://")).expanduser())
    )
    names = [name for name in tree.sizes if PurePosixPath(name).suffix.lower() in VIDEO_SUFFIXES]
    if not names:
        known = " ".join(sorted(VIDEO_SUFFIXES))
        raise UserError(f"{tree.label} contains no video ({known}); set dataset.folder.root in params.yaml")
    _require_utf8_names(names, tree)
    ids, notes = _ids_of(names), _notes_of(names, tree, params.metadata)
    speakers = {name: notes[name].speaker or _speaker_of(name) for name in names}
    splits = _splits_of(names, notes, ids, speakers, params, seed)
    digests = tree.digests(names)
    _warn_about_held_out_copies({name: digests[name] for name in names if tree.sizes[name]}, splits)
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
    """Raise UserError for a name that is not UTF-8: Python decodes it to surrogates, which Parquet cannot store."""
    for name in names:
        try:
            name.encode()
        except UnicodeEncodeError:
            raise UserError(f"{tree.label} has a video whose name is not UTF-8: {name!r}; rename the file") from None


def _warn_about_held_out_copies(digests: Mapping[str, str], splits: Mapping[str, str]) -> None:
    """Log a warning if val or test has copies of training videos: they bias the scores."""
    trained_on = {digest: name for name, digest in digests.items() if splits[name] == "train"}
    copies = [name for name, digest in digests.items() if splits[name] != "train" and digest in trained_on]
    if copies:
        logger.warning(
            "%d val or test videos are copies of training videos; the first is %s, a copy of %s. Remove one of each "
            "pair, or give both the same split in dataset.folder.metadata",
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
    """The split of each video.

    The metadata's split comes first. With ``split_by: speaker``, a video without one takes the split of the speaker's
    other videos. The remaining videos or speakers are assigned at random with ``seed``.

    Raises UserError if a video without a split has a speaker whose other videos are in several splits.
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
                "leaves others without a split, but dataset.folder.split_by is speaker: give each of them a split in "
                "the metadata file, or set split_by to clip in params.yaml"
            )
    if is_by_speaker and (several := sorted(unit for unit, found in noted.items() if len(found) > 1)):
        logger.warning(
            "dataset.folder.metadata has speaker %s in several splits, despite split_by: speaker", several[0]
        )
    assigned = assign_splits(
        undecided - noted.keys(), params.val_fraction, params.test_fraction, seed, least_test(params.split_by)
    )
    assigned |= {unit: next(iter(found)) for unit, found in noted.items()}
    return {name: notes[name].split or assigned[unit_of[name]] for name in names}


def _notes_of(names: Sequence[str], tree: VideoTree, metadata: Path | None) -> dict[str, VideoNote]:
    """The metadata of each video, an empty note for a video without metadata."""
    if metadata is None:
        return dict.fromkeys(names, VideoNote())
    where, content = _read_metadata(tree, metadata)
    notes = _by_name_on_disk(parse_metadata(content, where), names)
    if absent := sorted(set(notes) - set(names)):
        raise UserError(
            f"{where} names {len(absent)} videos that do not exist below {tree.label}; the first is {absent[0]}"
        )
    if num_without := len(names) - len(notes):
        logger.info(
            "%s does not mention %d of %d videos: their folder gives the speaker, and the seed the split",
            where,
            num_without,
            len(names),
        )
    return {name: notes.get(name, VideoNote()) for name in names}


def _by_name_on_disk(notes: Mapping[str, VideoNote], names: Sequence[str]) -> dict[str, VideoNote]:
    """Match names up to Unicode normalisation: macOS may store an accent as a separate combining character."""
    name_of = {unicodedata.normalize("NFC", name): name for name in names} | {name: name for name in names}
    return {
        name_of.get(path) or name_of.get(unicodedata.normalize("NFC", path), path): note for path, note in notes.items()
    }


def _read_metadata(tree: VideoTree, metadata: Path) -> tuple[str, bytes]:
    """The name and the content of the metadata file. A relative path is relative to the tree's root."""
    path = metadata.expanduser()
    name = path.as_posix()
    if name in tree.sizes:
        return tree.path_of(name), tree.read(name)
    where = name if path.is_absolute() else tree.path_of(name)
    if not Path(where).is_file():
        raise UserError(f"{where} does not exist; correct dataset.folder.metadata in params.yaml, or set it to null")
    return where, Path(where).read_bytes()


def _transcript_of(name: str, tree: VideoTree) -> str:
    text_name = PurePosixPath(name).with_suffix(".txt").as_posix()
    return spoken_words(tree.read(text_name)) if text_name in tree.sizes else ""


def _ids_of(names: Sequence[str]) -> dict[str, str]:
    """The clip id of each video: its name without suffix.

    A digest of the full name is appended if the name is too long, equals another one up to punctuation, or looks like
    the id of a segment of a clip.
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
