"""Runs stages one after another in forked processes, which start quickly since the imports are already made.

Reads lines of JSON, [checkout, stage, arguments ...]. Prints `started PID`, the stage's output and `ended STATUS`.
"""

from __future__ import annotations

import json
import os
import sys

import matplotlib.figure  # noqa: F401
import mlflow.store.tracking.sqlalchemy_store  # noqa: F401
import torch._dynamo  # noqa: F401  (optimisers import it)
import webdataset  # noqa: F401

import pipeline.training.evaluator
import pipeline.training.expert
import pipeline.training.gan
import pipeline.training.session  # noqa: F401
from pipeline.core.code_digest import Code
from pipeline.core.layout import CODE_ROOT
from pipeline.stages import train_evaluator, train_gan, train_syncnet

STAGES = {"train_syncnet": train_syncnet, "train_evaluator": train_evaluator, "train_gan": train_gan}


def serve() -> None:
    for stage in STAGES:
        Code(CODE_ROOT).digest(stage)  # parses the source files, as each stage does
    for line in sys.stdin:
        root, stage, *arguments = json.loads(line)
        pid = os.fork()
        if pid == 0:
            print("started", os.getpid(), flush=True)  # noqa: T201
            os.chdir(root)
            os._exit(STAGES[stage].main(arguments))
        _, status = os.waitpid(pid, 0)
        print(f"\nended {os.waitstatus_to_exitcode(status)}", flush=True)  # noqa: T201


if __name__ == "__main__":
    serve()
