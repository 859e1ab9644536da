"""Prefect flows: when the pipeline runs, in what order, with what retries, and who is told."""

import os

# Prefect reads these when it is first imported, so they are set before any module here can import it.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}.items():
    os.environ.setdefault(_name, _value)
