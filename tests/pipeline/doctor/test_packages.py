"""Checks of packages: right, wrong, missing and conflicting ones."""

from __future__ import annotations

import platform
import sys
from collections.abc import Callable

import pytest

from pipeline.doctor import packages
from pipeline.doctor.check import ProgramError, Status

Install = Callable[..., None]
REQUIRES = [
    "torch>=2.11,<2.14",
    "SQLAlchemy[asyncio]>=2.0.38,<2.1",
    "fastapi<0.151,>=0.139",
    'pytest>=8; extra == "dev"',
]
GOOD = {"torch": "2.13.0+cpu", "fastapi": "0.150.0", "sqlalchemy": "2.0.58"}


def test_packages_in_range_are_ok_and_extras_are_not_required(install: Install) -> None:
    install(GOOD, REQUIRES)
    (check,) = packages.check_packages(packages.read_requirements())
    assert check.status is Status.OK
    assert "torch 2.13.0+cpu" in check.found
    (caps,) = packages.check_caps(packages.read_requirements())
    assert (caps.status, caps.found) == (Status.OK, "fastapi 0.150.0, sqlalchemy 2.0.58")


def test_a_version_out_of_range_warns_and_a_missing_package_fails(install: Install) -> None:
    install(GOOD | {"torch": "2.14.0"}, REQUIRES)
    (check,) = packages.check_packages(packages.read_requirements())
    assert (check.status, check.found) == (Status.WARN, "torch 2.14.0 is not <2.14,>=2.11")
    install({}, REQUIRES)
    (check,) = packages.check_packages(packages.read_requirements())
    assert (check.status, check.found) == (Status.FAIL, "torch is missing")
    assert "pip install" in check.remedy


def test_without_the_distribution_the_remedy_is_to_install_it(install: Install) -> None:
    install(GOOD, None)
    (check,) = packages.check_packages(packages.read_requirements())
    assert check.status is Status.FAIL
    assert "lipsmith is not installed" in check.found
    assert packages.check_caps(packages.read_requirements()) == []


@pytest.mark.parametrize(
    ("name", "version", "harm"), [("fastapi", "0.155.0", "Prefect's server"), ("sqlalchemy", "2.1.0", "cron")]
)
def test_prefects_caps(install: Install, name: str, version: str, harm: str) -> None:
    install(GOOD | {name: version}, REQUIRES)
    bad, fine = packages.check_caps(packages.read_requirements())
    assert (bad.name, bad.status) == (name, Status.FAIL)
    assert bad.found.startswith(f"{version} is not ")
    assert harm in bad.found
    assert f"run `pip install '{name}" in bad.remedy
    assert name not in fine.found
    assert packages.check_packages(packages.read_requirements())[0].status is Status.OK  # reported once


def test_the_caps_hold_in_the_projects_own_requirements() -> None:
    required = packages.read_requirements()
    assert required is not None
    wanted = required.packages
    assert set(packages.CAPPED) <= set(wanted)
    assert not packages.is_within("0.155.0", wanted["fastapi"])
    assert not packages.is_within("2.1.0", wanted["sqlalchemy"])
    assert "pytest" not in wanted


def test_python_out_of_range_fails(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install({})
    for version, status in (("3.11.7", Status.OK), ("3.14.0", Status.FAIL), ("3.10.9", Status.FAIL)):
        monkeypatch.setattr(platform, "python_version", lambda version=version: version)
        (check,) = packages.check_python(packages.read_requirements())
        assert check.status is status, version
        assert check.found.startswith(f"{version} ({sys.executable})")


def test_two_opencv_packages_warn(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install({"opencv-python-headless": "4.14.0.94", "opencv-python": "4.14.0.94"})
    (check,) = packages.check_opencv()
    assert check.status is Status.WARN
    assert "pip uninstall -y opencv-python opencv-python-headless" in check.remedy
    install({"opencv-python-headless": "4.14.0.94"})
    monkeypatch.setattr(packages, "run_python", lambda code: "4.14.0")
    (check,) = packages.check_opencv()
    assert (check.status, check.found) == (Status.OK, "4.14.0 (opencv-python-headless)")


def test_opencv_that_cannot_be_imported_fails(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install({"opencv-python": "4.14.0.94"})
    monkeypatch.setattr(packages, "run_python", _failing("ImportError: libGL.so.1"))
    (check,) = packages.check_opencv()
    assert check.status is Status.FAIL
    assert "libGL.so.1" in check.found


def test_a_broken_torchvision_warns_and_a_working_or_absent_one_does_not(
    install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install({"torchvision": "0.20.0"})
    monkeypatch.setattr(packages, "run_python", _failing("RuntimeError: operator torchvision::nms does not exist"))
    (check,) = packages.check_torchvision()
    assert check.status is Status.WARN
    assert "nms" in check.found
    assert check.remedy.startswith("run `pip uninstall torchvision`")
    monkeypatch.setattr(packages, "run_python", lambda code: 1)
    assert [check.status for check in packages.check_torchvision()] == [Status.OK]
    install({})
    monkeypatch.setattr(packages, "run_python", _failing("must not run"))
    assert [check.status for check in packages.check_torchvision()] == [Status.OK]


def _failing(message: str) -> Callable[[str], None]:
    def run(code: str) -> None:
        raise ProgramError(message)

    return run
