"""Stage ``code``: digests of the other stages' code, without comments, docstrings and log messages.

The stages in ``dvc.yaml`` depend on these digests, so only an edit that can change a stage's output reruns the stage.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import partial

from pipeline import stage
from pipeline.core.code_digest import Code, record
from pipeline.core.command_line import reported
from pipeline.core.layout import CODE_ROOT, Layout, find_root
from pipeline.core.logs import log_to_stderr

logger = logging.getLogger(__name__)

_MAX_NAMED = 5


def main(argv: Sequence[str] | None = None) -> int:
    return stage.stage_command_line("code", _command, argv)


def _command() -> int:
    """Write the digests of the other stages' code to artifacts/code. The stages in dvc.yaml depend on them.

    The command has no options.
    """
    log_to_stderr("%(asctime)s %(name)s: %(message)s")
    return reported(_write_digests, partial(stage.log_error, "code"))


def _write_digests() -> int:
    layout, code = Layout(find_root()), Code(CODE_ROOT)
    for name in code.stages():
        path = layout.code_path(name)
        is_first = not path.is_file()
        changed = record(path, code, name)
        if changed and not is_first:
            more = f" and {len(changed) - _MAX_NAMED} more" if len(changed) > _MAX_NAMED else ""
            logger.info(
                "the stage %s will rerun, because its code changed: %s%s", name, ", ".join(changed[:_MAX_NAMED]), more
            )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
