"""Pairs generated videos with real ones by name."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.corpora.video_tree import files_below
from pipeline.media.container import VIDEO_SUFFIXES, is_hidden


@dataclass(frozen=True)
class VideoPair:
    """A real video and the generated video of the same name, or None if it is missing."""

    name: str
    generated: Path | None
    real: Path


def pair_videos(generated_dir: Path, real_dir: Path) -> tuple[list[VideoPair], list[str]]:
    """One pair for every real video, and the names of the generated videos without a real one.

    A name is the path relative to the folder, without suffix. Raises UserError for a folder without videos, a duplicate
    name, or folders that share no name.
    """
    generated, real = _by_name("--generated", generated_dir), _by_name("--real", real_dir)
    if generated == real:
        raise UserError(f"--generated and --real are both {real_dir}; give two different folders")
    if not generated.keys() & real.keys():
        raise UserError(
            f"no video in {generated_dir} has the name of one in {real_dir}: for example, {min(generated)} and "
            f"{min(real)}; a pair has the same path relative to its folder, without the suffix"
        )
    pairs = [VideoPair(name, generated.get(name), path) for name, path in real.items()]
    return pairs, sorted(generated.keys() - real.keys())


def _by_name(option: str, folder: Path) -> dict[str, Path]:
    if not folder.is_dir():
        fault = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"{option} {folder} {fault}; --generated and --real need folders with videos")
    paths = [path for path in files_below(folder) if _is_video(path, folder)]
    if not paths:
        raise UserError(f"{option} {folder} contains no video ({' '.join(sorted(VIDEO_SUFFIXES))})")
    named: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise UserError(
                f"{option} {folder} has two videos named {name}: {named[name].name} and {path.name}; remove one"
            )
        named[name] = path
    return named


def _is_video(path: Path, folder: Path) -> bool:
    name = path.relative_to(folder).as_posix()
    return path.suffix.lower() in VIDEO_SUFFIXES and not is_hidden(name)
