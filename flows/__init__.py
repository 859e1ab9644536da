"""Prefect flows: schedule, order, retries and reports of the pipeline's stages."""

import os

# Prefect reads these variables at its first import, so they are set before any module here imports it.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}.items():
    os.environ.setdefault(_name, _value)
