"""Which generated video is compared with which real one."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import UserError
from pipeline.corpora.video_tree import files_below
from pipeline.media.container import VIDEO_SUFFIXES, is_hidden


@dataclass(frozen=True)
class VideoPair:
    """A real video and the one generated from it; None where there is none of that name."""

    name: str
    generated: Path | None
    reference: Path


def pair_videos(generated_dir: Path, reference_dir: Path) -> tuple[list[VideoPair], list[str]]:
    """One pair for every real video, by the path below its folder without suffix, and the generated ones without one.

    Raises UserError for a folder without videos, a name that occurs twice, or folders that share no name.
    """
    generated, reference = _by_name(generated_dir), _by_name(reference_dir)
    if generated == reference:
        raise UserError(f"--generated and --reference are both {reference_dir}: real videos against themselves")
    if not generated.keys() & reference.keys():
        raise UserError(
            f"no video in {generated_dir} is called as one in {reference_dir}: there is {min(generated)} in one, "
            f"{min(reference)} in the other; pairs share the path below their folder, without the suffix"
        )
    pairs = [VideoPair(name, generated.get(name), path) for name, path in reference.items()]
    return pairs, sorted(generated.keys() - reference.keys())


def _by_name(folder: Path) -> dict[str, Path]:
    paths = [path for path in files_below(folder) if _is_video(path, folder)]
    if not paths:
        if not folder.is_dir():
            raise UserError(f"{folder} is no folder; --generated and --reference each name one with videos")
        raise UserError(f"{folder} holds no video ({' '.join(sorted(VIDEO_SUFFIXES))})")
    named: dict[str, Path] = {}
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in named:
            raise UserError(f"{folder} has two videos called {name}: {named[name].name} and {path.name}")
        named[name] = path
    return named


def _is_video(path: Path, folder: Path) -> bool:
    name = path.relative_to(folder).as_posix()
    return path.suffix.lower() in VIDEO_SUFFIXES and not is_hidden(name)
