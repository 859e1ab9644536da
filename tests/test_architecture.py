"""The allowed imports between packages and other rules of the source tree, checked on the source code."""

from __future__ import annotations

import ast
import importlib.metadata
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import get_type_hints

import pytest

from pipeline.core import code_digest
from pipeline.core.ray_cluster import SENT_PACKAGES
from pipeline.shards.index import IndexRow

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flows", "pipeline", "models")
HOMES = {
    # Heavy package -> paths that may import it.
    "mlflow": ("pipeline/tracking/", "pipeline/promote/"),
    "ray": (
        "pipeline/core/ray_cluster.py",
        "pipeline/dubbing/many/",
        "pipeline/preprocess/",
        "pipeline/training/distributed.py",
    ),
    "webdataset": ("pipeline/shards/",),
    "cv2": ("pipeline/media/", "pipeline/faces/", "pipeline/corpora/demo/"),
    "av": ("pipeline/media/",),
    "soxr": ("pipeline/media/",),
    "librosa": (),
    "pyarrow": ("pipeline/shards/", "pipeline/corpora/manifest.py", "pipeline/core/artifacts.py"),
    "safetensors": ("pipeline/inference/saved_model.py",),
    "onnxruntime": ("pipeline/inference/onnx_generator.py", "pipeline/inference/onnx_export.py"),
    "onnx": ("pipeline/inference/onnx_export.py",),
    "silero_vad": ("pipeline/inference/speech_spans.py",),
    "prefect": ("flows/",),
    "requests": ("pipeline/fetch/",),
    "fsspec": ("pipeline/corpora/storage.py",),
    "rich": ("pipeline/report/progress.py", "flows/console.py", "flows/picture.py"),
    "gradio": ("pipeline/app/components.py", "pipeline/app/page.py"),
    "filelock": ("pipeline/core/locks.py",),
}
ONE_OF_EACH = {
    # A pattern, and the only module where it may stand: text table, chart style, terminal, seeded order, best offset.
    r"\.[lr]just\(|\"-{3}:?\"": "pipeline/report/tables.py",
    r"savefig\(|#[0-9a-fA-F]{6}\b|rcParams|pyplot": "pipeline/report/plot_style.py",
    r"isatty\(": "pipeline/core/logs.py",
    r"sha256\(f\"\{seed\}": "pipeline/core/seeded_order.py",
    r"\.argm(ax|in)\(": "pipeline/metrics/best_offset.py",
}
TRAINING_FREE = ("inference", "evaluation", "sync_filter", "metrics", "dubbing")
"""Packages of ``pipeline`` that use trained networks and must not import the code that trains them."""
SHARED_BY_COMMANDS = {"evaluation", "report"}
"""Packages that a single stage imports but that commands import too."""


def _sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _module_path(name: str) -> Path | None:
    base = ROOT / Path(*name.split("."))
    for path in (base.with_suffix(".py"), base / "__init__.py"):
        if path.is_file():
            return path
    return None


@cache
def _names_of(path: Path) -> frozenset[str]:
    """Top-level names that a module defines. For an ``__init__`` module, imported names are included."""
    names: set[str] = set()
    for node in _top_level(ast.parse(path.read_text()).body):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names |= {name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)}
        elif isinstance(node, ast.Import | ast.ImportFrom) and path.name == "__init__.py":
            names |= {alias.asname or alias.name for alias in node.names}
    return frozenset(names)


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            yield from _top_level([*node.body, *node.orelse])
            yield from _top_level([part for handler in getattr(node, "handlers", []) for part in handler.body])


def _reachable(start: Path) -> set[Path]:
    """A source file and all source files that it imports, directly or indirectly."""
    seen: set[Path] = set()
    queue = [start]
    while queue:
        path = queue.pop()
        if path not in seen:
            seen.add(path)
            queue += _own_imports(path)
    return seen


@cache
def _own_imports(path: Path) -> tuple[Path, ...]:
    found = (_module_path(name) for name in _imports(path) if name.split(".")[0] in PACKAGES)
    return tuple(source for source in found if source is not None)


def test_flows_import_only_params_core_and_tables() -> None:
    allowed = ("pipeline.core", "pipeline.params", "pipeline.report.tables")
    for path in sorted((ROOT / "flows").rglob("*.py")):
        for name in _imports(path):
            assert name.split(".")[0] != "models", f"{path.name} imports {name}"
            if _module_path(name) and name.startswith("pipeline."):
                assert any(f"{name}.".startswith(f"{part}.") for part in allowed), f"{path.name} imports {name}"


def test_tables_import_the_standard_library_only() -> None:
    """So flows, doctor and command lines may print one before anything heavy is imported."""
    roots = {name.split(".")[0] for name in _imports(ROOT / "pipeline" / "report" / "tables.py")}
    assert roots <= sys.stdlib_module_names


def test_models_import_only_torch_and_the_standard_library() -> None:
    allowed = {
        "torch",
        "models",
        "abc",
        "math",
        "__future__",
        "dataclasses",
        "collections",
        "typing",
        "contextlib",
        "contextvars",
    }
    for path in sorted((ROOT / "models").rglob("*.py")):
        for name in _imports(path):
            assert name.split(".")[0] in allowed, f"{path.name} imports {name}"


def test_nothing_imports_upward_and_stages_do_not_import_stages() -> None:
    for path in _sources():
        relative = path.relative_to(ROOT).as_posix()
        for name in _imports(path):
            if not relative.startswith("flows/"):
                assert name.split(".")[0] != "flows", f"{relative} imports {name}"
            if relative.startswith("pipeline/stages/"):
                assert not name.startswith("pipeline.stages."), f"{relative} imports {name}"


def test_the_nodes_of_a_cluster_receive_every_package_that_their_tasks_import() -> None:
    """In the tests of clusters the nodes have all packages installed, so a missing one would go unnoticed."""
    for task in ("preprocess/shard.py", "training/session.py"):
        packages = {path.relative_to(ROOT).parts[0] for path in _reachable(ROOT / "pipeline" / task)}
        assert packages <= set(SENT_PACKAGES)


def _rows() -> dict[str, int]:
    """Folder or module of ``pipeline`` -> its row in the picture of docs/architecture.md, from the top."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    picture = re.search(r"^```\n(cli\n[^`]*)```$", text, re.MULTILINE)
    assert picture, "docs/architecture.md lacks the picture of rows that starts with cli"
    return {name: row for row, line in enumerate(picture[1].splitlines()) for name in line.split()}


def test_a_folder_imports_only_from_rows_below_it() -> None:
    rows = _rows()
    names = {path.name for path in (ROOT / "pipeline").iterdir() if path.is_dir() and (path / "__init__.py").exists()}
    assert rows.keys() == names | {"stage.py"}
    for path in sorted((ROOT / "pipeline").rglob("*.py")):
        own = path.relative_to(ROOT / "pipeline").parts[0]
        if own in ("__init__.py", "__main__.py"):
            continue
        for source in _own_imports(path):
            parts = source.relative_to(ROOT).parts
            if parts[0] == "pipeline" and parts[1] not in (own, "__init__.py"):
                assert rows[parts[1]] > rows[own], f"{path.relative_to(ROOT)} imports {'/'.join(parts)}"


def test_each_heavy_tool_is_imported_in_its_homes_only() -> None:
    for path in _sources():
        relative = path.relative_to(ROOT).as_posix()
        for name in _imports(path):
            homes = HOMES.get(name.split(".")[0])
            assert homes is None or relative.startswith(homes), f"{relative} imports {name}"


@pytest.mark.parametrize(("pattern", "home"), ONE_OF_EACH.items())
def test_there_is_one_text_table_chart_style_progress_order_and_search(pattern: str, home: str) -> None:
    found = [path.relative_to(ROOT).as_posix() for path in _sources() if re.search(pattern, path.read_text())]
    assert found == [home]


def test_every_logger_is_named_logger() -> None:
    """The digests of code leave out calls of this name."""
    lines = (line for path in _sources() for line in path.read_text().splitlines())
    assert {line for line in lines if re.match(r"\w+ = logging\.getLogger\(", line)} == {
        "logger = logging.getLogger(__name__)"
    }


def test_pipeline_holds_folders_only() -> None:
    modules = {path.name for path in (ROOT / "pipeline").glob("*.py")}
    assert modules == {"__init__.py", "__main__.py", "stage.py"}


def test_a_folder_that_one_stage_uses_has_its_name() -> None:
    users: dict[str, set[str]] = {}
    for stage in (ROOT / "pipeline" / "stages").glob("[!_]*.py"):
        for path in _reachable(stage):
            parts = path.relative_to(ROOT / "pipeline").parts if path.is_relative_to(ROOT / "pipeline") else ()
            if len(parts) > 1 and parts[0] != "stages":
                users.setdefault(parts[0], set()).add(stage.stem)
    own = {folder: stages for folder, stages in users.items() if len(stages) == 1 and folder not in SHARED_BY_COMMANDS}
    assert {"preprocess", "sync_filter", "compare"} <= own.keys()
    assert own == {folder: {folder} for folder in own}


def test_the_schema_of_shards_imports_neither_their_reader_nor_their_writer() -> None:
    names = set(_imports(ROOT / "pipeline" / "shards" / "index.py"))
    assert {name for name in names if _module_path(name) and name.startswith("pipeline.")} == {"pipeline.core.choices"}
    assert get_type_hints(IndexRow)["sync_shift_frames"] is int  # it controls readers, so it is no statistic


@pytest.mark.parametrize("package", TRAINING_FREE)
def test_packages_that_use_trained_networks_do_not_import_training(package: str) -> None:
    for start in sorted((ROOT / "pipeline" / package).rglob("*.py")):
        reached = {path.relative_to(ROOT).as_posix() for path in _reachable(start)}
        found = sorted(path for path in reached if path.startswith("pipeline/training/"))
        assert not found, f"{start.relative_to(ROOT)} imports {found}"


@pytest.mark.slow
def test_only_an_init_module_re_exports_names() -> None:
    """A name is imported from the module that defines it, or from a package whose ``__init__`` imports it."""
    wrong = []
    own = (*PACKAGES, "tests", "benchmarks")
    for path in (path for package in own for path in sorted((ROOT / package).rglob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.ImportFrom) or not node.module or node.module.split(".")[0] not in own:
                continue
            source = _module_path(node.module)
            assert source is not None, f"{path.relative_to(ROOT)} imports {node.module}, which does not exist"
            offered = _names_of(source)
            wrong += [
                f"{path.relative_to(ROOT)}:{node.lineno}: {node.module} does not define {alias.name}"
                for alias in node.names
                if alias.name not in offered and _module_path(f"{node.module}.{alias.name}") is None
            ]
    assert not wrong, "\n".join(wrong)


def test_every_inert_module_exists() -> None:
    """A moved module would be part of the digests again, and a deleted module should be removed from the list."""
    for name in code_digest.INERT:
        base = ROOT / Path(*name.split("."))
        assert base.with_suffix(".py").is_file() or (base / "__init__.py").is_file(), name


@pytest.mark.slow
def test_no_other_distribution_provides_our_packages() -> None:
    owners = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, ["lipsmith"])) == {"lipsmith"}


def test_the_command_line_starts_without_heavy_packages() -> None:
    heavy = ("torch", "mlflow", "ray", "cv2", "av", "pandas", "prefect", "matplotlib")
    code = f"import sys, pipeline.__main__; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


SHARED_NAMES = {
    # Public names that several modules define -> why the meaning is the same in each.
    "Float32": "a type alias",
    "Images": "a type alias",
    "Row": "a type alias of a comparison's row",
    "T": "a type variable",
    "Network": "a type variable",
    "app": "the commands of one command line",
    "dub": "the command and its package",
    "freeze_scorer": "the command, and what it calls",
    "logger": "the module's own",
    "log": "the module's own",
    "main": "an entry point",
}


def test_a_public_name_has_one_meaning() -> None:
    definitions: dict[str, list[str]] = {}
    for path in _sources():
        for node in ast.parse(path.read_text()).body:
            for name in _defined_names(node):
                if not name.startswith("_"):
                    definitions.setdefault(name, []).append(path.relative_to(ROOT).as_posix())
    repeated = {name: places for name, places in definitions.items() if len(places) > 1}
    assert {name: places for name, places in repeated.items() if name not in SHARED_NAMES} == {}


def _defined_names(node: ast.stmt) -> list[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _texts(node: ast.AST) -> frozenset[str]:
    """The strings of a tuple, list or set of at least two constant strings; otherwise empty."""
    if not isinstance(node, ast.Tuple | ast.List | ast.Set) or len(node.elts) < 2:
        return frozenset()
    texts = {element.value for element in node.elts if isinstance(element, ast.Constant)}
    return frozenset(texts) if all(isinstance(text, str) for text in texts) and len(texts) > 1 else frozenset()


def _declared(tree: ast.Module) -> Iterator[tuple[int, frozenset[str]]]:
    """Line number and members of each ``Literal[...]`` and enumeration."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript) and ast.unparse(node.value) in ("Literal", "typing.Literal"):
            yield node.lineno, _texts(node.slice)
        elif isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Enum") for base in node.bases):
            values = [entry.value for entry in node.body if isinstance(entry, ast.Assign)]
            yield node.lineno, _texts(ast.Tuple(values))


def _tested_or_named(tree: ast.Module) -> Iterator[tuple[int, frozenset[str]]]:
    """Line number and members of each ``in (...)`` and of each module constant."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            for operator, right in zip(node.ops, node.comparators, strict=True):
                if isinstance(operator, ast.In | ast.NotIn):
                    yield node.lineno, _texts(right)
    for node in tree.body:
        if isinstance(node, ast.Assign | ast.AnnAssign) and node.value is not None:
            yield node.lineno, _texts(node.value)


@pytest.mark.slow
def test_each_set_of_choices_is_declared_once() -> None:
    declared, places = set[frozenset[str]](), defaultdict[frozenset[str], set[str]](set)
    for path in _sources():
        tree, name = ast.parse(path.read_text()), path.relative_to(ROOT).as_posix()
        for line, texts in _declared(tree):
            declared.add(texts)
            places[texts].add(f"{name}:{line}")
        for line, texts in _tested_or_named(tree):
            places[texts].add(f"{name}:{line}")
    declared.discard(frozenset())
    assert frozenset({"first", "same"}) in declared and frozenset({"auto", "cpu", "cuda"}) in declared
    repeated = {", ".join(sorted(texts)): sorted(places[texts]) for texts in declared if len(places[texts]) > 1}
    assert not repeated, f"import the Literal with these choices, or use typing.get_args: {repeated}"
