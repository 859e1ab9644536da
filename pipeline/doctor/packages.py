"""Checks of Python and the packages against ``pyproject.toml``, and of known conflicts between packages."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.core.versions import DISTRIBUTION, version_of
from pipeline.doctor.check import Check, ProgramError, fail, ok, run_python, warn

CAPPED = {
    "fastapi": "with a newer version Prefect's server fails to start",
    "sqlalchemy": "from 2.1 on Prefect never creates its cron runs, without an error",
}
"""Packages whose versions are capped because of another package -> the effect of a newer version."""
SHOWN = ("torch", "ray", "mlflow", "prefect", "dvc")
OPENCV_FLAVOURS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_INSTALL = "run `make install`, or `pip install -e .` in the active environment"


@dataclass(frozen=True)
class Requirements:
    """What the installed distribution requires: a range of Python versions, and package -> version range.

    A range is text such as ``>=2.11,<2.14``. Packages of extras are left out.
    """

    python: str
    packages: Mapping[str, str]


def read_requirements() -> Requirements | None:
    """The requirements in the metadata of the installed distribution; None if it is not installed."""
    from packaging.requirements import Requirement

    try:
        metadata = importlib.metadata.metadata(DISTRIBUTION)
    except importlib.metadata.PackageNotFoundError:
        return None
    required = map(Requirement, metadata.get_all("Requires-Dist") or [])
    ranges = {
        one.name.lower(): str(one.specifier)
        for one in required
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }
    return Requirements(metadata["Requires-Python"] or "", ranges)


def reinstall(name: str) -> str:
    """The command that installs a required package anew, in its allowed range."""
    required = read_requirements()
    wanted = required.packages.get(name, "") if required else ""
    return f"pip install --force-reinstall '{name}{wanted}'"


def is_within(version: str, wanted: str) -> bool:
    """Whether a version is in a range. Local versions such as 2.13.0+cpu count as their release."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def check_python(required: Requirements | None) -> list[Check]:
    version = platform.python_version()
    wanted = required.python if required else ""
    found = f"{version} ({sys.executable})"
    if is_within(version, wanted):
        return [ok("python", found)]
    remedy = "run `make install PYTHON=python3.12` with a Python in this range"
    return [fail("python", f"{found}, not {wanted}", remedy)]


def check_packages(required: Requirements | None) -> list[Check]:
    """Check all requirements but those of ``check_caps``. A missing package fails; a wrong version warns."""
    if required is None:
        return [fail("packages", f"{DISTRIBUTION} is not installed in {sys.prefix}", _INSTALL)]
    wanted = required.packages
    versions = {name: version_of(name) for name in wanted if name not in CAPPED}
    missing = [name for name, version in versions.items() if version is None]
    outside = [f"{n} {v} is not {wanted[n]}" for n, v in versions.items() if v and not is_within(v, wanted[n])]
    problems = [*(f"{name} is missing" for name in missing), *outside]
    if problems:
        result = fail if missing else warn
        return [result("packages", "; ".join(problems), _INSTALL)]
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if versions.get(name))
    return [ok("packages", f"all {len(versions)} are in their ranges; {shown}")]


def check_caps(required: Requirements | None) -> list[Check]:
    """Check the packages whose versions are capped because of Prefect. A missing package or a wrong version fails."""
    if required is None:
        return []  # `check_packages` reports it
    wanted = required.packages
    checks, fine = [], []
    for name, harm in CAPPED.items():
        version = version_of(name)
        if version is None:
            checks.append(fail(name, "is missing", _INSTALL))
        elif not is_within(version, wanted.get(name, "")):
            remedy = f"run `pip install '{name}{wanted[name]}'`"
            checks.append(fail(name, f"{version} is not {wanted[name]}: {harm}", remedy))
        else:
            fine.append(f"{name} {version}")
    return [*checks, *([ok("Prefect's caps", ", ".join(fine))] if fine else [])]


def check_opencv() -> list[Check]:
    """Check that one OpenCV package is installed and can be imported.

    All of them install the folder ``cv2``, so removing one deletes files of the others.
    """
    installed = {name: version for name in OPENCV_FLAVOURS if (version := version_of(name))}
    if len(installed) > 1:
        return [
            warn(
                "opencv",
                f"{' and '.join(installed)} are installed: they overwrite each other's files",
                f"run `pip uninstall -y {' '.join(installed)}`, then `{reinstall('opencv-python-headless')}`",
            )
        ]
    try:
        version = run_python("import cv2, json; print(json.dumps(cv2.__version__))")
    except ProgramError as error:
        return [fail("opencv", f"cannot be imported: {error}", f"run `{reinstall('opencv-python-headless')}`")]
    return [ok("opencv", f"{version} ({next(iter(installed), 'of an unknown package')})")]


def check_torchvision() -> list[Check]:
    """Check that torchvision and torchaudio can be imported, if installed. Other packages import them optionally."""
    checks = []
    for name in ("torchvision", "torchaudio"):
        if (version := version_of(name)) is None:
            continue
        try:
            run_python(f"import {name}; print(1)")
        except ProgramError as error:
            found = f"{version} cannot be imported: {error}"
            remedy = f"run `pip uninstall {name}`: lipsmith does not need it, and it breaks packages that import it"
            checks.append(warn(name, found, remedy))
    return checks or [ok("torchvision", "works, or is not installed")]
