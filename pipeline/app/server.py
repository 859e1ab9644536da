"""Serves the page of the web app until Ctrl-C."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pipeline.app.jobs import AppJobs
from pipeline.app.local_only import LocalOnly
from pipeline.app.models import offered_models
from pipeline.app.score_text import without_upload_folders
from pipeline.app.settings import AppAddress, AppLimits
from pipeline.app.work_folder import WorkFolder
from pipeline.core.choices import Device
from pipeline.core.errors import UserError
from pipeline.core.layout import Layout
from pipeline.core.ports import host_in_url, require_free
from pipeline.core.proxies import bypass_proxies_for_loopback
from pipeline.dubbing.label import require_drawable

logger = logging.getLogger(__name__)


def use_work_folder(path: Path) -> None:
    """Let Gradio keep its files in ``path``, and send nothing to its makers. It reads this when it is imported."""
    os.environ["GRADIO_TEMP_DIR"] = str(path)
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"


def require_gradio() -> None:
    """Raises UserError if the extra ``app`` is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the app needs the extra `app`: python -m pip install -e '.[app]', or `make app`")


class _UploadNames(logging.Filter):
    """Replaces the paths of uploads and results in log messages by their names."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self._folder = str(folder)

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            text = record.getMessage()
        except (TypeError, ValueError):  # a message that does not fit its arguments, which the handler reports
            return True
        if self._folder in text:
            record.msg, record.args = without_upload_folders(text, self._folder), ()
        return True


@contextmanager
def _named_uploads(folder: Path) -> Iterator[None]:
    """In this block, the log names uploads and results without their folders."""
    names, handlers = _UploadNames(folder), list(logging.getLogger().handlers)
    for handler in handlers:
        handler.addFilter(names)
    try:
        yield
    finally:
        for handler in handlers:
            handler.removeFilter(names)


@contextmanager
def running_app(
    layout: Layout,
    address: AppAddress,
    limits: AppLimits,
    folders: Sequence[Path] = (),
    *,
    label: str | None = None,
    device: Device = "auto",
) -> Iterator[str]:
    """Serve the app while the block runs; yields its URL. ``folders``: as in `offered_models`.

    Files lie in ``.scratch/app`` of the checkout and are removed at the end. Raises UserError for an address that
    cannot be used, a label that cannot be drawn, a missing extra or no model, and LockHeldError if another app runs in
    this checkout.
    """
    credentials = address.credentials()
    require_drawable(label)
    require_gradio()
    require_free(address.port, address.host, "python -m pipeline app")
    bypass_proxies_for_loopback()
    models, host = offered_models(layout, folders), host_in_url(address.host)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # Gradio requests its own page at the start
    work = WorkFolder((layout.scratch_dir / "app").absolute(), limits.keep_minutes * 60)
    with work.opened(), _named_uploads(work.path):
        use_work_folder(work.path)
        from starlette.middleware import Middleware

        from pipeline.app.components import CSS, page_theme
        from pipeline.app.page import build_page

        page = build_page(AppJobs(layout, work, limits, models, label=label, device=device))
        try:
            page.launch(
                server_name=host,
                server_port=address.port,
                auth=credentials,
                max_file_size=f"{limits.max_file_mb}mb",
                theme=page_theme(),
                css=CSS,
                app_kwargs={"middleware": [Middleware(LocalOnly)]},
                share=False,
                ssr_mode=False,
                pwa=False,
                mcp_server=False,
                enable_monitoring=False,
                run_history=False,
                footer_links=[],
                show_error=False,
                inbrowser=False,
                quiet=True,
                prevent_thread_lock=True,
                _frontend=False,  # otherwise the start fails if the first page takes 3 s, as on a busy machine
            )
            yield f"http://{host}:{address.port}"
        finally:
            page.close(verbose=False)


def serve_until_interrupted(url: str) -> None:
    """Log the URL and wait for Ctrl-C."""
    logger.warning("the app: %s (Ctrl-C stops it)", url)
    try:
        while True:
            time.sleep(3600)
    except KeyboardInterrupt:
        return
