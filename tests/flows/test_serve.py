"""The deployments, without a server."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Self

import pytest
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows import serve
from pipeline.core.errors import UserError


def test_the_error_for_an_invalid_schedule_names_the_setting(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"runtime.retrain_cron is '0 3 \* \*', which is not a cron expression"):
        serve.deployments(tmp_path, "0 3 * *")


def test_retrain_has_the_schedule_and_no_deployment_has_a_concurrency_limit(tmp_path: Path) -> None:
    retrain, reproduce = serve.deployments(tmp_path, "0 3 * * 1")
    assert [str(schedule.schedule.cron) for schedule in retrain.schedules or []] == ["0 3 * * 1"]
    assert not reproduce.schedules
    for made in (retrain, reproduce):
        assert made.concurrency_limit is None
        assert (made.parameters, made.tags) == ({}, [str(tmp_path)])


def test_the_page_asks_for_stages_and_values_and_not_for_a_folder(tmp_path: Path) -> None:
    retrain, reproduce = (
        made._parameter_openapi_schema.properties for made in serve.deployments(tmp_path, "0 3 * * *")
    )
    assert list(retrain) == ["targets", "promote", "overrides", "wait"]
    assert list(reproduce) == ["targets", "overrides", "wait"]
    assert all(field["description"] for field in [*retrain.values(), *reproduce.values()])
    assert retrain["promote"]["type"] == "boolean" and retrain["promote"]["default"] is True


def test_the_announcement_has_the_checkout_the_schedule_and_the_addresses(tmp_path: Path) -> None:
    made = serve.deployments(tmp_path, "0 3 * * *")
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:4321/api"}):
        text = serve.announcement(made, tmp_path, datetime(2030, 12, 31, 3, 0, 1, tzinfo=UTC))
    assert f"Serving {tmp_path}" in text
    assert 'retrain/scheduled  "0 3 * * *" (UTC), next on Wed 2031-01-01 at 03:00 UTC' in text
    assert "reproduce/manual   on demand" in text
    assert "http://127.0.0.1:4321/deployments" in text


class Server:
    """Stands for the client of a Prefect server whose deployments all have these tags and parameters."""

    def __init__(self, tags: list[str], parameters: dict[str, str]) -> None:
        self._known = SimpleNamespace(tags=tags, parameters=parameters)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def read_deployment_by_name(self, name: str) -> SimpleNamespace:
        return self._known


@pytest.mark.parametrize(
    ("tags", "parameters", "other"),
    [
        (["OWN"], {}, ""),
        (["/elsewhere"], {}, "/elsewhere"),
        ([], {"root": "OWN"}, ""),
        ([], {"root": "/before"}, "/before"),
        ([], {}, ""),
    ],
)
def test_a_deployment_of_another_checkout_is_refused(
    tags: list[str], parameters: dict[str, str], other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = str(tmp_path)
    server = Server(
        [tag.replace("OWN", own) for tag in tags], {k: v.replace("OWN", own) for k, v in parameters.items()}
    )
    monkeypatch.setattr(serve, "get_client", lambda sync_client: server)
    made = serve.deployments(tmp_path, "0 3 * * *")
    if other:
        with pytest.raises(UserError, match=f"belongs to {other}, not to {tmp_path}"):
            serve.require_own(made)
    else:
        serve.require_own(made)


def test_a_port_without_a_server_and_a_taken_port_are_reported(
    own_stub_pipeline: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = str(own_stub_pipeline)
    assert serve.main(["--port", "4200", "--root", root]) == 2
    assert "--with-server" in capsys.readouterr().err
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        assert serve.main(["--with-server", "--port", port, "--root", root]) == 2
    assert f"port {port} of 127.0.0.1 cannot be used" in capsys.readouterr().err
