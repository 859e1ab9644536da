"""Which stages' digests an edit changes, on a small source tree and on the project itself."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipeline.core.code_digest import Code, changes, record

FILES = {
    "models/__init__.py": "",
    "models/losses.py": '''
"""Losses."""
import math

SCALE = 2.0
UNUSED = 3.0

def l1(x):
    """Mean absolute error."""
    return SCALE * abs(x)

def other(x):
    return UNUSED * x
''',
    "pipeline/__init__.py": "",
    "pipeline/stages/__init__.py": "",
    "pipeline/stages/train.py": """
import logging
from models.losses import l1
from pipeline.core.logs import setup
from pipeline import tools

logger = logging.getLogger(__name__)

def main():
    setup()
    logger.info("starting")
    return l1(1) + tools.half(2)
""",
    "pipeline/stages/show.py": "from pipeline.page import render\n\ndef main():\n    return render()\n",
    "pipeline/core/__init__.py": "",
    "pipeline/core/logs.py": "def setup():\n    pass\n",
    "pipeline/tools/__init__.py": "from pipeline.tools.halves import half\n",
    "pipeline/tools/halves.py": "def half(x):\n    return x / 2\n\ndef third(x):\n    return x / 3\n",
    "pipeline/page/__init__.py": "from pipeline.page.render import render\n",
    "pipeline/page/render.py": "def render():\n    return 1\n",
    "pipeline/page/files/page.html": "<p>",
}


def digests(root: Path) -> dict[str, str]:
    """Digest of each stage. The stages share one `Code`, since it parses each file once."""
    code = Code(root)
    return {stage: code.digest(stage) for stage in code.stages()}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path


@pytest.fixture
def changed_by(tree: Path) -> Callable[[str, str, str], dict[str, list[str]]]:
    """A function that replaces text in a file and returns stage -> changed definitions, for the changed stages."""
    before = digests(tree)

    def edit(name: str, old: str, new: str) -> dict[str, list[str]]:
        path = tree / name
        text = path.read_text()
        assert old in text
        path.write_text(text.replace(old, new))
        found = {stage: changes(before[stage], after) for stage, after in digests(tree).items()}
        return {stage: names for stage, names in found.items() if names}

    return edit


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("models/losses.py", '"""Losses."""', '"""Other words."""  # and a comment'),
        ("models/losses.py", '"""Mean absolute error."""', '"""L1."""'),
        ("models/losses.py", "SCALE * abs(x)", "(SCALE*abs(x))  # brackets"),
        ("models/losses.py", "UNUSED = 3.0", "UNUSED = 4.0"),
        ("models/losses.py", "return UNUSED * x", "return x"),
        ("models/losses.py", "def other(x):", "def added(x):\n    return x\n\ndef other(x):"),
        ("models/losses.py", "import math", "import math\nimport json"),
        ("pipeline/stages/train.py", '"starting"', '"training starts"'),
        ("pipeline/stages/train.py", '    logger.info("starting")\n', ""),
        ("pipeline/core/logs.py", "pass", "return 1"),
        ("pipeline/tools/halves.py", "x / 3", "x / 4"),
    ],
)
def test_an_edit_that_changes_no_output_changes_no_digest(
    changed_by: Callable[[str, str, str], dict[str, list[str]]], name: str, old: str, new: str
) -> None:
    assert changed_by(name, old, new) == {}


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("models/losses.py", "SCALE = 2.0", "SCALE = 2.5", {"train": ["models/losses.py:SCALE"]}),
        ("models/losses.py", "abs(x)", "abs(x) + 1", {"train": ["models/losses.py:l1"]}),
        ("models/losses.py", "UNUSED = 3.0", "print(1)", {"train": ["models/losses.py:<module>"]}),
        ("pipeline/tools/halves.py", "x / 2", "x * 0.5", {"train": ["pipeline/tools/halves.py:half"]}),
        ("pipeline/stages/train.py", "tools.half(2)", "3", {
            "train": ["pipeline/stages/train.py:main", "pipeline/tools/halves.py:half"],
        }),
        ("pipeline/page/render.py", "return 1", "return 2", {"show": ["pipeline/page/render.py:render"]}),
        ("pipeline/page/files/page.html", "<p>", "<b>", {"show": ["pipeline/page/files/page.html"]}),
    ],
)  # fmt: skip
def test_an_edit_that_may_change_an_output_changes_the_definition_in_the_stages_digest(
    changed_by: Callable[[str, str, str], dict[str, list[str]]],
    name: str,
    old: str,
    new: str,
    expected: dict[str, list[str]],
) -> None:
    assert changed_by(name, old, new) == expected


@pytest.mark.parametrize("name", ["page.html~", ".page.html.swp", "page.html.orig", ".cache/page.html"])
def test_copies_that_editors_leave_change_no_digest(tree: Path, name: str) -> None:
    before = Code(tree).digest("show")
    path = tree / "pipeline" / "page" / "files" / name
    path.parent.mkdir(exist_ok=True)
    path.touch()
    assert Code(tree).digest("show") == before


def test_a_digest_is_rewritten_only_when_it_changes(tree: Path, tmp_path: Path) -> None:
    path = tmp_path / "code" / "train.txt"
    assert "models/losses.py:l1" in record(path, Code(tree), "train")
    written = path.stat().st_mtime_ns
    assert record(path, Code(tree), "train") == []
    assert path.stat().st_mtime_ns == written
    (tree / "models" / "losses.py").write_text(FILES["models/losses.py"].replace("2.0", "2.5"))
    assert record(path, Code(tree), "train") == ["models/losses.py:SCALE"]
    assert path.read_text() == Code(tree).digest("train")


def test_the_digest_of_a_definition_covers_what_it_refers_to(tree: Path) -> None:
    def digest() -> str:
        return Code(tree).definition_digest("pipeline.tools.halves", "third")

    (tree / "pipeline/tools/halves.py").write_text(
        "from models.losses import other\n\ndef third(x):\n    return other(x)\n"
    )
    before, losses = digest(), tree / "models/losses.py"
    assert [line.split()[0] for line in before.splitlines()] == [
        "models/losses.py:UNUSED",
        "models/losses.py:other",
        "pipeline/tools/halves.py:third",
    ]
    losses.write_text(losses.read_text().replace("SCALE = 2.0", "SCALE = 2.5"))
    assert digest() == before
    losses.write_text(losses.read_text().replace("UNUSED = 3.0", "UNUSED = 3.5"))
    assert changes(before, digest()) == ["models/losses.py:UNUSED"]


def test_a_missing_stage_module_or_definition_is_an_error(tree: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"pipeline\.stages\.absent"):
        Code(tree).digest("absent")
    with pytest.raises(FileNotFoundError, match=r"pipeline\.absent"):
        Code(tree).definition_digest("pipeline.absent", "half")
    with pytest.raises(ValueError, match="does not define absent"):
        Code(tree).definition_digest("pipeline.tools.halves", "absent")


@pytest.fixture(scope="module")
def before_the_edit(repo_root: Path) -> dict[str, str]:
    return digests(repo_root)


@pytest.fixture
def project(tmp_path: Path, repo_root: Path) -> Path:
    for package in ("models", "pipeline"):
        shutil.copytree(repo_root / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "old", "new", "stages"),
    [
        ("models/losses.py", "MOUTH_SPREAD = (0.1, 0.15)", "MOUTH_SPREAD = (0.1, 0.2)", {"train_gan"}),
        ("models/cbam.py", "sigmoid", "tanh", {"train_gan", "evaluate"}),
        ("pipeline/training/gan.py", '"""', '"""Some words. ', set()),
        ("pipeline/features/alignment.py", "# ", "# more ", set()),
        ("pipeline/compare/page_files/page.css", "{", "{ ", {"compare"}),
        ("pipeline/promote/gate.py", "-change >= least", "-change > least", set()),
    ],
)
def test_an_edit_of_the_project_changes_the_digests_of_the_stages_that_use_it(
    project: Path, before_the_edit: dict[str, str], name: str, old: str, new: str, stages: set[str]
) -> None:
    path = project / name
    text = path.read_text()
    assert old in text or not stages
    path.write_text(text.replace(old, new, 1))
    after = digests(project)
    assert after.keys() == before_the_edit.keys()
    assert {stage for stage, text in before_the_edit.items() if after[stage] != text} == stages
