"""Checks of Python and the packages against ``pyproject.toml``, and of known conflicts between packages."""

from __future__ import annotations

import importlib.metadata
import platform
import sys

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


def requirements() -> dict[str, str]:
    """Return package -> version range, such as ``>=2.11,<2.14``, of the installed distribution, without extras.

    Raises PackageNotFoundError if the distribution is not installed.
    """
    from packaging.requirements import Requirement

    required = map(Requirement, importlib.metadata.requires(DISTRIBUTION) or [])
    return {
        one.name.lower(): str(one.specifier)
        for one in required
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }


def reinstall(name: str) -> str:
    """The command that installs a required package anew, in its allowed range."""
    try:
        wanted = requirements().get(name, "")
    except importlib.metadata.PackageNotFoundError:
        wanted = ""
    return f"pip install --force-reinstall '{name}{wanted}'"


def is_within(version: str, wanted: str) -> bool:
    """Whether a version is in a range. Local versions such as 2.13.0+cpu count as their release."""
    from packaging.specifiers import SpecifierSet

    return SpecifierSet(wanted).contains(version, prereleases=True)


def check_python() -> list[Check]:
    version = platform.python_version()
    try:
        wanted = importlib.metadata.metadata(DISTRIBUTION)["Requires-Python"]
    except importlib.metadata.PackageNotFoundError:
        wanted = ""
    found = f"{version} ({sys.executable})"
    if is_within(version, wanted):
        return [ok("python", found)]
    remedy = "run `make install PYTHON=python3.12` with a Python in this range"
    return [fail("python", f"{found}, not {wanted}", remedy)]


def check_packages() -> list[Check]:
    """Check all requirements but those of ``check_caps``. A missing package fails; a wrong version warns."""
    try:
        wanted = requirements()
    except importlib.metadata.PackageNotFoundError:
        return [fail("packages", f"{DISTRIBUTION} is not installed in {sys.prefix}", _INSTALL)]
    versions = {name: version_of(name) for name in wanted if name not in CAPPED}
    missing = [name for name, version in versions.items() if version is None]
    outside = [f"{n} {v} is not {wanted[n]}" for n, v in versions.items() if v and not is_within(v, wanted[n])]
    problems = [*(f"{name} is missing" for name in missing), *outside]
    if problems:
        result = fail if missing else warn
        return [result("packages", "; ".join(problems), _INSTALL)]
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if versions.get(name))
    return [ok("packages", f"all {len(versions)} are in their ranges; {shown}")]


def check_caps() -> list[Check]:
    """Check the packages whose versions are capped because of Prefect. A missing package or a wrong version fails."""
    try:
        wanted = requirements()
    except importlib.metadata.PackageNotFoundError:
        return []  # `check_packages` reports it
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
