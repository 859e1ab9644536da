"""Python and the packages: are they the ones that ``pyproject.toml`` asks for, without the known traps?"""

from __future__ import annotations

import importlib.metadata
import platform
import sys

from pipeline.core.versions import DISTRIBUTION, version_of
from pipeline.doctor.check import Check, NoAnswerError, ask_python, fail, ok, warn

TRAPS = {
    "fastapi": "a newer one breaks Prefect's server when it starts",
    "sqlalchemy": "from 2.1 on Prefect's cron runs are never created, without a word",
}
"""Ranges that hold a package back for another one's sake, and what happens outside them."""
SHOWN = ("torch", "ray", "mlflow", "prefect", "dvc")
OPENCV_FLAVOURS = (
    "opencv-python",
    "opencv-python-headless",
    "opencv-contrib-python",
    "opencv-contrib-python-headless",
)
_INSTALL = "`make install`, or `pip install -e .` in the environment that you use"


def requirements() -> dict[str, str]:
    """Package to range (such as ``>=2.11,<2.14``) as the installed distribution asks; extras left out.

    Raises PackageNotFoundError where it is not installed.
    """
    from packaging.requirements import Requirement

    asked = map(Requirement, importlib.metadata.requires(DISTRIBUTION) or [])
    return {
        one.name.lower(): str(one.specifier)
        for one in asked
        if one.marker is None or one.marker.evaluate({"extra": ""})
    }


def is_within(version: str, wanted: str) -> bool:
    """Local versions such as 2.13.0+cpu count as the release they are builds of."""
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
    return [fail("python", f"{found}, not {wanted}", "`make install PYTHON=python3.12` with a Python in that range")]


def check_packages() -> list[Check]:
    """Every requirement but those of `check_traps`. One that is missing fails, one out of its range warns."""
    try:
        wanted = requirements()
    except importlib.metadata.PackageNotFoundError:
        return [fail("packages", f"{DISTRIBUTION} is not installed in {sys.prefix}", _INSTALL)]
    versions = {name: version_of(name) for name in wanted if name not in TRAPS}
    missing = [name for name, version in versions.items() if version is None]
    outside = [f"{n} {v} is not {wanted[n]}" for n, v in versions.items() if v and not is_within(v, wanted[n])]
    problems = [*(f"{name} is missing" for name in missing), *outside]
    if problems:
        say = fail if missing else warn
        return [say("packages", "; ".join(problems), _INSTALL)]
    shown = ", ".join(f"{name} {versions[name]}" for name in SHOWN if versions.get(name))
    return [ok("packages", f"all {len(versions)} within their ranges; {shown}")]


def check_traps() -> list[Check]:
    """The caps that Prefect needs."""
    try:
        wanted = requirements()
    except importlib.metadata.PackageNotFoundError:
        return []  # `check_packages` says it
    checks, fine = [], []
    for name, harm in TRAPS.items():
        version = version_of(name)
        if version is None:
            checks.append(fail(name, "is missing", _INSTALL))
        elif not is_within(version, wanted.get(name, "")):
            remedy = f"`pip install '{name}{wanted[name]}'`"
            checks.append(fail(name, f"{version} is not {wanted[name]}: {harm}", remedy))
        else:
            fine.append(f"{name} {version}")
    return [*checks, *([ok("Prefect's caps", ", ".join(fine))] if fine else [])]


def check_opencv() -> list[Check]:
    """Two flavours share the folder ``cv2``: removing one removes the other's files."""
    installed = {name: version for name in OPENCV_FLAVOURS if (version := version_of(name))}
    if len(installed) > 1:
        return [
            warn(
                "opencv",
                f"{' and '.join(installed)} are installed: they overwrite each other's files",
                f"`pip uninstall -y {' '.join(installed)}`, then `pip install opencv-python-headless`",
            )
        ]
    try:
        version = ask_python("import cv2, json; print(json.dumps(cv2.__version__))")
    except NoAnswerError as error:
        return [
            fail("opencv", f"cannot be imported: {error}", "`pip install --force-reinstall opencv-python-headless`")
        ]
    return [ok("opencv", f"{version} ({next(iter(installed), 'of unknown origin')})")]


def check_torchvision() -> list[Check]:
    """Nothing here needs it, but a broken one breaks packages that look for it."""
    checks = []
    for name in ("torchvision", "torchaudio"):
        if (version := version_of(name)) is None:
            continue
        try:
            ask_python(f"import {name}; print(1)")
        except NoAnswerError as error:
            found = f"{version} cannot be imported: {error}"
            checks.append(warn(name, found, f"`pip uninstall {name}`: nothing here needs it, others trip over it"))
    return checks or [ok("torchvision", "none that is broken")]
