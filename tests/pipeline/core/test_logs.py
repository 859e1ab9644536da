"""The log level of ``LIPSMITH_LOG_LEVEL``."""

from __future__ import annotations

import logging

import pytest

from pipeline.core.logs import LEVEL_VARIABLE, log_to_stderr

WARNING = (
    "LIPSMITH_LOG_LEVEL is 'LOUD', which is not a log level; using INFO. Allowed: DEBUG, INFO, WARNING, ERROR, CRITICAL"
)


@pytest.mark.parametrize(("level", "messages"), [("LOUD", [WARNING]), ("debug", []), ("", []), (None, [])])
def test_an_unknown_level_is_a_warning(
    level: str | None, messages: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(logging, "basicConfig", lambda **_: None)
    if level is None:
        monkeypatch.delenv(LEVEL_VARIABLE, raising=False)
    else:
        monkeypatch.setenv(LEVEL_VARIABLE, level)
    log_to_stderr()
    assert caplog.messages == messages
