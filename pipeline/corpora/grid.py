"""The GRID corpus in its own layout: ``s1/bbaf2n.mpg``, ... (Cooke, Barker, Cunningham and Shao 2006).

The file name is the sentence: one letter each for command, colour, preposition, letter, digit and adverb.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.corpora.manifest import ClipRecord, record_of
from pipeline.corpora.split import assign_splits, least_test
from pipeline.corpora.video_tree import files_below
from pipeline.params import GridParams

log = logging.getLogger(__name__)

SUFFIXES = (".mpg", ".mp4")
"""As published, then re-encoded, in any case; the first found of a clip is read."""

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_WORDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},  # "w" is never spoken: it is long
    {"z": "zero", **{str(value): word for value, word in enumerate(_DIGITS)}},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)


def list_grid_clips(params: GridParams, seed: int) -> list[ClipRecord]:
    """Clips of the chosen speakers, ids like ``s1/bbaf2n``, split by clip or by speaker.

    Raises UserError where the folder or a speaker is missing, naming the setting to change.
    """
    found = clips_by_speaker(params.root, params.speakers)
    clips = [(speaker, path) for speaker, paths in found.items() for path in paths]
    by_speaker = params.split_by == "speaker"
    unit_of = {path: speaker if by_speaker else f"{speaker}/{path.stem}" for speaker, path in clips}
    splits = assign_splits(
        unit_of.values(), params.val_fraction, params.test_fraction, seed, least_test(params.split_by)
    )
    return [
        record_of(f"{speaker}/{path.stem}", speaker, splits[unit_of[path]], path, sentence_of(path.stem))
        for speaker, path in clips
    ]


def clips_by_speaker(root: Path | None, chosen: tuple[str, ...]) -> dict[str, list[Path]]:
    """One file per clip of the chosen speakers, of all where none is chosen.

    Raises UserError where the folder, a chosen speaker or every clip is missing, naming the setting to change.
    """
    root = _existing_root(root)
    found = {speaker: _clips_of(root / speaker) for speaker in _speakers_of(root, chosen)}
    if not any(found.values()):
        inside = "; is it one speaker's folder? Then its parent is meant" if _clips_of(root) else ""
        raise UserError(f"{root} has no GRID clip such as s1/bbaf2n.mpg; set dataset.grid.root in params.yaml{inside}")
    return found


def sentence_of(name: str) -> str:
    """The words behind a GRID file name: ``bbaf2n`` -> ``bin blue at f two now``.

    Raises UserError naming the letter that GRID's grammar does not have.
    """
    if len(name) != len(_WORDS):
        raise UserError(f"{name!r} is not a GRID clip name: it needs 6 letters, as bbaf2n has")
    words = []
    for place, (letter, allowed) in enumerate(zip(name.lower(), _WORDS, strict=True), start=1):
        if letter not in allowed:
            choice = ", ".join(allowed)
            raise UserError(f"{name!r} is not a GRID clip name: letter {place} is none of {choice}")
        words.append(allowed[letter])
    return " ".join(words)


def _existing_root(root: Path | None) -> Path:
    """The corpus' folder. Raises UserError naming the setting where it is not set or not there."""
    if root is None:
        raise UserError(
            "dataset.grid.root in params.yaml is not set: it is the folder that holds s1, s2, ...; "
            "or set dataset.grid.url to download them"
        )
    if not root.expanduser().is_dir():
        raise UserError(f"{root} is no folder; set dataset.grid.root in params.yaml")
    return root.expanduser().resolve()


def _speakers_of(root: Path, chosen: tuple[str, ...]) -> list[str]:
    """The chosen speakers' folders by number, all of them where none is chosen. Raises UserError for an absent one."""
    found = {entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    if missing := sorted(set(chosen) - found):
        raise UserError(
            f"{root} has no folder {', '.join(missing)}; dataset.grid.speakers in params.yaml may name "
            f"{', '.join(_by_number(found)) or 'none'}"
        )
    return _by_number(set(chosen) or {name for name in found if re.fullmatch(r"s\d+", name)})


def _by_number(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (int("0" + re.sub(r"\D", "", name)), name))


def _clips_of(folder: Path) -> list[Path]:
    """One file per clip, by name; also where the archive unpacks into sub-folders."""
    best: dict[str, Path] = {}
    files = files_below(folder)
    for suffix in SUFFIXES:
        for path in files:
            if path.suffix.lower() != suffix:
                continue
            try:
                sentence_of(path.stem)
            except UserError as error:
                log.warning("skipped %s: %s", path, error)
                continue
            best.setdefault(path.stem, path)
    return [best[name] for name in sorted(best)]
