"""The directions between the packages, checked on the source."""

from __future__ import annotations

import ast
import importlib.metadata
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.core import code_digest
from pipeline.core.layout import Layout

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flows", "pipeline", "models")
ONE_PLACE = {
    "mlflow": ("pipeline/tracking/", "pipeline/promote/registry.py"),
    "ray": ("pipeline/core/ray_cluster.py", "pipeline/preprocess/", "pipeline/training/distributed.py"),
    "webdataset": ("pipeline/shards/",),
    "cv2": ("pipeline/media/", "pipeline/faces/", "pipeline/corpora/demo/"),
    "av": ("pipeline/media/",),
    "prefect": ("flows/",),
    "requests": ("pipeline/fetch/",),
    "fsspec": ("pipeline/corpora/storage.py",),
}


def _sources() -> list[Path]:
    return [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_flows_see_only_params_layout_and_cores() -> None:
    allowed = {
        "pipeline",
        "pipeline.params",
        "pipeline.core.code_digest",
        "pipeline.core.layout",
        "pipeline.core.resources",
    }
    for path in sorted((ROOT / "flows").rglob("*.py")):
        for name in _imports(path):
            if name.split(".")[0] == "models" or name.split(".")[0] == "pipeline":
                assert name in allowed or name.rpartition(".")[0] in allowed, f"{path.name} imports {name}"


def test_models_see_only_torch_and_the_standard_library() -> None:
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


def test_each_heavy_tool_is_imported_in_its_own_place() -> None:
    for path in _sources():
        relative = path.relative_to(ROOT).as_posix()
        for name in _imports(path):
            places = ONE_PLACE.get(name.split(".")[0])
            assert places is None or relative.startswith(places), f"{relative} imports {name}"


def _dvc_stages() -> dict[str, dict]:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


@pytest.mark.parametrize("name", [name for name in _dvc_stages() if name != "code"])
def test_a_stage_depends_on_the_digest_of_its_code_and_on_no_source(name: str) -> None:
    stage = _dvc_stages()[name]
    module = stage["cmd"].split(".stages.")[1].split()[0]
    assert stage["deps"][0] == Layout(Path()).code_path(module).as_posix()
    assert not [dep for dep in stage["deps"] if dep.split("/")[0] in PACKAGES]


def test_the_code_stage_sees_every_module_that_a_digest_can_hold() -> None:
    assert _dvc_stages()["code"]["deps"] == list(code_digest.PACKAGES)


def test_what_cannot_change_an_output_is_still_there() -> None:
    """A module of the list that was moved would count again; one that was deleted should leave the list."""
    for name in code_digest.INERT:
        base = ROOT / Path(*name.split("."))
        assert base.with_suffix(".py").is_file() or (base / "__init__.py").is_file(), name


def test_dvc_and_layout_agree_on_every_output() -> None:
    layout = Layout(Path())
    stages = _dvc_stages()
    code = stages.pop("code")
    assert [Path(path) for out in code["outs"] for path in out] == [layout.code_path("x").parent]
    for name, stage in stages.items():
        variant = next((v for v in ("${key}", "${item}") if v in stage["cmd"]), None)
        module = stage["cmd"].split(".stages.")[1].split()[0]
        metrics = [next(iter(entry)) if isinstance(entry, dict) else entry for entry in stage["metrics"]]
        assert metrics == [layout.metrics_path(module, variant).as_posix()], name
    outs = {next(iter(o)) if isinstance(o, dict) else o for s in stages.values() for o in s["outs"]}
    assert layout.manifest_path.as_posix() in outs
    assert layout.shards_dir.as_posix() in outs
    assert layout.clips_dir.as_posix() in outs
    assert layout.comparison_path.as_posix() in outs


def test_our_import_names_belong_to_our_distribution_only() -> None:
    owners = importlib.metadata.packages_distributions()
    for package in PACKAGES:
        assert set(owners.get(package, ["lipsmith"])) == {"lipsmith"}


def test_the_command_line_starts_without_heavy_packages() -> None:
    heavy = ("torch", "mlflow", "ray", "cv2", "av", "pandas", "prefect", "matplotlib")
    code = f"import sys, pipeline.__main__; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
