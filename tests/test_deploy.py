"""The files in deploy/: their form, and that servers listen on the loopback interface only."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Literal

import pytest
import yaml
from packaging.requirements import Requirement
from pydantic import BaseModel, ConfigDict, Field

UNITS = ("lipsmith-flows", "lipsmith-mlflow", "lipsmith-prefect", "lipsmith-ray")


@pytest.fixture
def deploy(repo_root: Path) -> Path:
    return repo_root / "deploy"


class Part(BaseModel):
    """A mapping of the Compose specification with the keys that are used here. Others are an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class HealthCheck(Part):
    test: list[str] = Field(min_length=2)
    interval: str = Field(pattern=r"^\d+(ms|s|m)$")
    retries: int = Field(gt=0)


class Condition(Part):
    condition: Literal["service_started", "service_healthy", "service_completed_successfully"]


class Service(Part):
    build: str | None = None
    image: str
    command: str | None = None
    environment: dict[str, str | None] = Field(default_factory=dict)
    volumes: list[str] = Field(default_factory=list)
    ports: list[str] = Field(default_factory=list)
    depends_on: dict[str, Condition] = Field(default_factory=dict)
    healthcheck: HealthCheck | None = None
    restart: Literal["no", "always", "on-failure", "unless-stopped"]


class Compose(Part):
    services: dict[str, Service]
    volumes: dict[str, None]


@pytest.fixture
def compose(deploy: Path) -> Compose:
    return Compose.model_validate(yaml.safe_load((deploy / "compose.yaml").read_text()))


def settings_of(path: Path) -> set[str]:
    """Names in a file of NAME=VALUE."""
    lines = path.read_text().splitlines()
    assert all(re.match(r"^(#.*|[A-Z0-9_]+=\S+|)$", line) for line in lines), path
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


def test_compose_publishes_ports_on_loopback_only(compose: Compose) -> None:
    published = [port for service in compose.services.values() for port in service.ports]
    assert len(published) == 2
    assert all(re.fullmatch(r"127\.0\.0\.1:\d+:\d+", port) for port in published)


def test_compose_refers_to_what_exists(compose: Compose, deploy: Path) -> None:
    for service in compose.services.values():
        assert service.build in (None, ".") and (deploy / "Dockerfile").is_file()
        for source in (volume.partition(":")[0] for volume in service.volumes):
            assert (deploy / source).is_file() if source.startswith(".") else source in compose.volumes
        for name, needed in service.depends_on.items():
            assert needed.condition != "service_healthy" or compose.services[name].healthcheck


def test_compose_has_an_example_of_every_required_setting(deploy: Path) -> None:
    required = set(re.findall(r"\$\{(\w+):\?", (deploy / "compose.yaml").read_text()))
    assert required
    assert required <= settings_of(deploy / "compose.env")


@pytest.mark.skipif(shutil.which("docker-compose") is None, reason="docker-compose is not installed")
def test_docker_compose_accepts_the_file(deploy: Path) -> None:
    command = ["docker-compose", "--env-file", "compose.env", "--file", "compose.yaml", "config", "--quiet"]
    done = subprocess.run(command, cwd=deploy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("unit", UNITS)
def test_a_unit_starts_no_open_server(deploy: Path, unit: str) -> None:
    """Ray has no option for the loopback interface: it needs its token."""
    text = (deploy / "systemd" / f"{unit}.service").read_text()
    (start,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    assert "User=lipsmith" in text
    assert "--host 127.0.0.1" in start or "flows.serve" in start or "RAY_AUTH_MODE=token" in text


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_accepts_the_units(deploy: Path, tmp_path: Path) -> None:
    """With programs that exist: systemd refuses others."""
    assert sorted(path.stem for path in (deploy / "systemd").iterdir()) == list(UNITS)
    for unit in UNITS:
        text = (deploy / "systemd" / f"{unit}.service").read_text()
        (tmp_path / f"{unit}.service").write_text(re.sub(r"^ExecStart=\S+", "ExecStart=/bin/true", text, flags=re.M))
    names = [str(tmp_path / f"{unit}.service") for unit in UNITS]
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "lipsmith" in line]) == (0, [])


def test_the_proxy_asks_for_a_password_and_forwards_to_loopback(deploy: Path) -> None:
    text = (deploy / "nginx.conf").read_text()
    _, mlflow, prefect = re.split(r"^server \{", text, flags=re.MULTILINE)
    assert "auth_basic_user_file" in mlflow
    assert "PREFECT_SERVER_API_AUTH_STRING" in settings_of(deploy / "services.env")
    for server in (mlflow, prefect):
        assert "listen 443 ssl" in server
        assert re.findall(r"proxy_pass (\S+);", server)[0].startswith("http://127.0.0.1:")


def test_passwords_are_examples(deploy: Path) -> None:
    for name in ("services.env", "clients.env", "compose.env"):
        for line in (deploy / name).read_text().splitlines():
            if not line.startswith("#") and re.match(r"\w*(PASSWORD|SECRET|AUTH)\w*=", line):
                assert line.endswith("CHANGE_ME") or line.startswith("RAY_"), line


def test_servers_are_not_older_than_their_clients(repo_root: Path, deploy: Path) -> None:
    project = tomllib.loads((repo_root / "pyproject.toml").read_text())["project"]
    clients = {need.name: need.specifier for need in map(Requirement, project["dependencies"])}
    lines = [line.partition("#")[0].strip() for line in (deploy / "requirements.txt").read_text().splitlines()]
    servers = {need.name: need.specifier for need in map(Requirement, filter(None, lines))}
    for name in ("mlflow", "prefect", "fastapi", "sqlalchemy"):
        assert servers[name] == clients[name]
