"""What dvc.yaml says of the stages: their dependencies and their outputs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from pipeline.core import code_digest
from pipeline.core.layout import Layout

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("flows", "pipeline", "models")


def _dvc_stages() -> dict[str, dict]:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {name: stage.get("do", stage) for name, stage in stages.items()}


@pytest.mark.parametrize("name", [name for name in _dvc_stages() if name != "code"])
def test_a_stage_depends_on_the_digest_of_its_code_and_on_no_source(name: str) -> None:
    stage = _dvc_stages()[name]
    module = stage["cmd"].split(".stages.")[1].split()[0]
    assert stage["deps"][0] == Layout(Path()).code_path(module).as_posix()
    assert not [dep for dep in stage["deps"] if dep.split("/")[0] in PACKAGES]


def test_the_stage_code_depends_on_every_package_in_the_digests() -> None:
    assert _dvc_stages()["code"]["deps"] == list(code_digest.PACKAGES)


def test_dvc_and_layout_agree_on_every_output() -> None:
    layout = Layout(Path())
    stages = _dvc_stages()
    code = stages.pop("code")
    assert [Path(path) for out in code["outs"] for path in out] == [layout.code_path("x").parent]
    for name, stage in stages.items():
        variant = next((v for v in ("${key}", "${item}") if v in stage["cmd"]), None)
        module = stage["cmd"].split(".stages.")[1].split()[0]
        assert layout.metrics_path(module, variant).as_posix() in stage.get("metrics", []) + stage["outs"], name
    assert [name for name, stage in stages.items() if "metrics" in stage] == ["compare"]
    flags_of = dict(_outputs(stages))
    assert not [path for path, flags in flags_of.items() if "cache" in flags]  # uncached outputs are in no commit
    outs = set(flags_of)
    assert layout.manifest_path.as_posix() in outs
    assert layout.shards_dir.as_posix() in outs
    assert layout.clips_dir.as_posix() in outs
    assert layout.comparison_path.as_posix() in outs
    assert layout.summary_path.as_posix() in outs


def _outputs(stages: dict[str, dict]) -> Iterator[tuple[str, dict]]:
    """The path and the flags of every output, metric and plot."""
    for stage in stages.values():
        for out in (out for kind in ("outs", "metrics", "plots") for out in stage.get(kind, [])):
            yield from out.items() if isinstance(out, dict) else [(out, {})]
