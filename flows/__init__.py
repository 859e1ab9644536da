"""Prefect flows: schedule, order, retries and reports of the pipeline's stages."""

import os

from pipeline.core.home import keep_state_out_of_home
from pipeline.core.proxies import bypass_proxies_for_loopback

# Prefect reads these variables at its first import, so they are set before any module here imports it.
for _name, _value in {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
}.items():
    os.environ.setdefault(_name, _value)
bypass_proxies_for_loopback()
keep_state_out_of_home()
