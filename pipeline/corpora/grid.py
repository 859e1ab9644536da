"""Source ``grid``: the GRID corpus in its published layout, ``s1/bbaf2n.mpg`` (Cooke, Barker, Cunningham, Shao 2006).

The file name encodes the sentence: one letter each for command, colour, preposition, letter, digit and adverb.
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

logger = logging.getLogger(__name__)

SUFFIXES = (".mpg", ".mp4")
"""Suffixes of clips in order of preference: the published files, then re-encoded ones. Case is ignored."""

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_WORDS = (
    {"b": "bin", "l": "lay", "p": "place", "s": "set"},
    {"b": "blue", "g": "green", "r": "red", "w": "white"},
    {"a": "at", "b": "by", "i": "in", "w": "with"},
    {letter: letter for letter in "abcdefghijklmnopqrstuvxyz"},  # GRID has no "w": its name is polysyllabic
    {"z": "zero", **{str(value): word for value, word in enumerate(_DIGITS)}},
    {"a": "again", "n": "now", "p": "please", "s": "soon"},
)


def list_grid_clips(params: GridParams, seed: int) -> list[ClipRecord]:
    """The clips of the speakers in ``params``, with ids like ``s1/bbaf2n``, split by clip or by speaker.

    Raises UserError, with the setting to change, if the folder or a speaker does not exist.
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
    """One file per clip of the ``chosen`` speakers, or of all speakers if ``chosen`` is empty.

    Raises UserError, with the setting to change, if the folder or a chosen speaker does not exist, or if there is no
    clip.
    """
    root = _existing_root(root)
    found = {speaker: _clips_of(root / speaker) for speaker in _speakers_of(root, chosen)}
    if not any(found.values()):
        hint = " to its parent: it looks like one speaker's folder" if _clips_of(root) else ""
        raise UserError(f"{root} has no GRID clip such as s1/bbaf2n.mpg; set dataset.grid.root in params.yaml{hint}")
    return found


def sentence_of(name: str) -> str:
    """The sentence that a GRID file name encodes: ``bbaf2n`` -> ``bin blue at f two now``.

    Raises UserError, with the position of the wrong letter, for a name outside GRID's grammar.
    """
    if len(name) != len(_WORDS):
        raise UserError(f"{name!r} is not a GRID clip name: it must have 6 letters, as in bbaf2n")
    words = []
    for place, (letter, allowed) in enumerate(zip(name.lower(), _WORDS, strict=True), start=1):
        if letter not in allowed:
            choice = ", ".join(allowed)
            raise UserError(f"{name!r} is not a GRID clip name: letter {place} must be one of {choice}")
        words.append(allowed[letter])
    return " ".join(words)


def _existing_root(root: Path | None) -> Path:
    """The corpus' folder. Raises UserError, with the setting to change, if it is not set or does not exist."""
    if root is None:
        raise UserError(
            "dataset.grid.root is not set; set it in params.yaml to the folder that contains s1, s2, ..., or set "
            "dataset.grid.url to download them"
        )
    if not root.expanduser().is_dir():
        raise UserError(f"{root} is not a folder; set dataset.grid.root in params.yaml")
    return root.expanduser().resolve()


def _speakers_of(root: Path, chosen: tuple[str, ...]) -> list[str]:
    """The chosen speakers, or all if none is chosen, by number. Raises UserError if one does not exist."""
    found = {entry.name for entry in root.iterdir() if entry.is_dir() and not entry.name.startswith(".")}
    if missing := sorted(set(chosen) - found):
        raise UserError(
            f"{root} has no folder {', '.join(missing)}; set dataset.grid.speakers in params.yaml to some of: "
            f"{', '.join(_by_number(found)) or 'none'}"
        )
    return _by_number(set(chosen) or {name for name in found if re.fullmatch(r"s\d+", name)})


def _by_number(names: set[str]) -> list[str]:
    return sorted(names, key=lambda name: (int("0" + re.sub(r"\D", "", name)), name))


def _clips_of(folder: Path) -> list[Path]:
    """One file per clip in order of names. Sub-folders count: some archives unpack into one."""
    best: dict[str, Path] = {}
    files = files_below(folder)
    for suffix in SUFFIXES:
        for path in files:
            if path.suffix.lower() != suffix:
                continue
            try:
                sentence_of(path.stem)
            except UserError as error:
                logger.warning("skipped %s: %s", path, error)
                continue
            best.setdefault(path.stem, path)
    return [best[name] for name in sorted(best)]
