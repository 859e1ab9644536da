"""Digests of the stages' code. `dvc.yaml` depends on them instead of on source files.

A stage's digest covers the definitions that its module reaches by name through imports, and the data files beside
them. It excludes comments, docstrings, formatting, log calls and the modules in ``INERT``, so editing those reruns no
stage.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from pipeline.core import atomic
from pipeline.core.code_units import TOP_LEVEL, CodeUnit, parsed_source, short_sha256
from pipeline.core.mappings import differing_keys

PACKAGES = ("models", "pipeline")
INERT = (
    "pipeline.core.atomic",
    "pipeline.core.code_digest",
    "pipeline.core.code_units",
    "pipeline.core.command_line",
    "pipeline.core.durations",
    "pipeline.core.errors",
    "pipeline.core.home",
    "pipeline.core.layout",
    "pipeline.core.locks",
    "pipeline.core.logs",
    "pipeline.core.parent_watch",
    "pipeline.core.proxies",
    "pipeline.core.ray_cluster",
    "pipeline.core.redact",
    "pipeline.core.resources",
    "pipeline.core.scratch",
    "pipeline.core.stage_events",
    "pipeline.core.worker_pool",
    "pipeline.fetch",
    "pipeline.params",
    "pipeline.report.progress",
    "pipeline.stage",
    "pipeline.tracking",
)
"""Modules and packages that cannot change a stage's output: paths, process set-up, logs, tracking, progress.

``pipeline.fetch`` is among them because fetched files are verified by digest, ``pipeline.params`` because DVC compares
the values of parameters itself.
"""


@dataclass(frozen=True)
class _Module:
    """One source file: its definitions by name, and the targets of its imported names."""

    path: Path
    units: dict[str, CodeUnit]
    imports: dict[str, set[tuple[str, str | None]]]
    """Local name -> (module, name in that module). The name is None if the module itself is imported."""


class Code:
    """The source code below ``root``. Each file is parsed once."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._modules: dict[str, _Module | None] = {}

    def stages(self) -> list[str]:
        """Sorted names of the stages that have a module, without the stage ``code``."""
        names = (path.stem for path in (self._root / "pipeline" / "stages").glob("[!_]*.py"))
        return sorted(name for name in names if name != "code")

    def digest(self, stage: str) -> str:
        """The digest of a stage as text: one sorted line per definition or data file that the stage's module reaches.

        A line is ``PATH:NAME DIGEST`` for a definition, ``PATH DIGEST`` for a data file. Raises FileNotFoundError for a
        stage without a module.
        """
        name = f"pipeline.stages.{stage}"
        return self._text((name, unit) for unit in self._required_module(name).units)

    def definition_digest(self, module: str, name: str) -> str:
        """The digest of one definition, in the form of `digest`. Raises FileNotFoundError for a missing module."""
        if name not in self._required_module(module).units:
            raise ValueError(f"{module} does not define {name}")
        return self._text([(module, name)])

    def _required_module(self, name: str) -> _Module:
        if (module := self._module(name)) is None:
            raise FileNotFoundError(f"{self._root} has no module {name}")
        return module

    def _text(self, starts: Iterable[tuple[str, str]]) -> str:
        return "".join(f"{line}\n" for line in sorted(self._reached(starts)))

    def _reached(self, starts: Iterable[tuple[str, str]]) -> Iterator[str]:
        """The lines of the units (module, name) in ``starts`` and of all that they refer to."""
        queue = list(starts)
        seen: set[tuple[str, str]] = set()
        folders: set[Path] = set()
        while queue:
            name, unit_name = place = queue.pop()
            if place in seen:
                continue
            seen.add(place)
            if (module := self._module(name)) is None:
                continue
            unit = module.units[unit_name]
            if unit.digest:
                yield f"{module.path.as_posix()}:{unit_name} {unit.digest}"
            if module.path.parent not in folders:
                folders.add(module.path.parent)
                yield from _data_files(self._root, module.path.parent)
            queue += self._needs(name, module, unit)

    def _needs(self, name: str, module: _Module, unit: CodeUnit) -> Iterator[tuple[str, str]]:
        """The units that ``unit`` refers to, in its module and in others. It may include units that are not used."""
        yield name, TOP_LEVEL
        for package in _packages_above(name):
            yield package, TOP_LEVEL
        for used in unit.names:
            if used in module.units:
                yield name, used
            for target, attribute in module.imports.get(used, ()):
                yield from self._find(target, unit.names if attribute is None else {attribute})

    def _find(self, name: str, wanted: Iterable[str]) -> Iterator[tuple[str, str]]:
        """The units of a module with these names. Names that the module imports are resolved to their definitions."""
        module = None if _is_inert_module(name) else self._module(name)
        if module is None:
            return
        yield name, TOP_LEVEL
        for one in wanted:
            if one in module.units:
                yield name, one
            else:
                for target, attribute in module.imports.get(one, ()):
                    if attribute is not None:
                        yield from self._find(target, {attribute})

    def _module(self, name: str) -> _Module | None:
        """The parsed module; None for a module outside ``PACKAGES``."""
        if name not in self._modules:
            path = self._source_of(name)
            self._modules[name] = None if path is None else self._parse(path)
        return self._modules[name]

    def _source_of(self, name: str) -> Path | None:
        if name.split(".")[0] not in PACKAGES:
            return None
        base = Path(*name.split("."))
        candidates = (base.with_suffix(".py"), base / "__init__.py")
        return next((path for path in candidates if (self._root / path).is_file()), None)

    def _parse(self, path: Path) -> _Module:
        units, imported = parsed_source((self._root / path).read_bytes())
        imports: dict[str, set[tuple[str, str | None]]] = {}
        for local, module, attribute in imported:
            inner = None if attribute is None else f"{module}.{attribute}"
            target = (module, attribute) if inner is None or self._source_of(inner) is None else (inner, None)
            imports.setdefault(local, set()).add(target)
        return _Module(path, units, imports)


def record(path: Path, code: Code, stage: str) -> list[str]:
    """Write the stage's digest to ``path`` if it differs. Returns the ``PATH:NAME`` of each changed definition."""
    old = path.read_text() if path.is_file() else ""
    new = code.digest(stage)
    if new != old:
        atomic.write_text(path, new)
    return changes(old, new)


def changes(old: str, new: str) -> list[str]:
    """Sorted ``PATH:NAME`` of the definitions that differ between two results of `Code.digest`."""
    before, after = (dict(line.rsplit(" ", 1) for line in text.splitlines()) for text in (old, new))
    return differing_keys(before, after)


def _is_inert_module(name: str) -> bool:
    return any(name == inert or name.startswith(f"{inert}.") for inert in INERT)


def _packages_above(name: str) -> Iterator[str]:
    """``a.b.c`` -> ``a``, ``a.b``. Python executes the packages before the module."""
    parts = name.split(".")
    for end in range(1, len(parts)):
        yield ".".join(parts[:end])


def _data_files(root: Path, folder: Path) -> Iterator[str]:
    """Lines for files that are not source, such as templates and weights.

    They are the files in a module's folder, and in folders below it that are not packages. Hidden files and the copies
    that editors leave (``~``, ``.orig``, ``.rej``) are left out.
    """
    for path in sorted((root / folder).rglob("*")):
        inside = path.relative_to(root / folder).parents
        in_package = any((root / folder / below / "__init__.py").is_file() for below in inside if below != Path())
        if path.is_file() and not in_package and not _is_source_or_stray(path.relative_to(root / folder)):
            yield f"{path.relative_to(root).as_posix()} {short_sha256(path.read_bytes())}"


def _is_source_or_stray(path: Path) -> bool:
    is_hidden = any(part.startswith(".") for part in path.parts)
    return is_hidden or path.name.endswith(("~", ".py", ".pyc", ".orig", ".rej"))
