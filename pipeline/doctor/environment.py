"""Every check of the place that the pipeline runs in."""

from __future__ import annotations

from functools import partial

from pipeline.core.layout import Layout
from pipeline.doctor import checkout, machine, packages, services
from pipeline.doctor.check import Check, Probe, run_checks
from pipeline.params import Params


def probes(layout: Layout, params: Params | None) -> dict[str, Probe]:
    """What to look at, by the name under which a probe that fails is reported."""
    return {
        "python": packages.check_python,
        "packages": packages.check_packages,
        "Prefect's caps": packages.check_traps,
        "opencv": packages.check_opencv,
        "torchvision": packages.check_torchvision,
        "GPU": partial(machine.check_gpu, params),
        "cores": partial(machine.check_cores, params),
        "memory": machine.check_memory,
        "disk": partial(machine.check_disk, layout),
        "git": partial(checkout.check_git, layout),
        "DVC": partial(checkout.check_dvc, layout),
        "params.yaml": partial(checkout.check_params, layout),
        "clips": partial(checkout.check_clips, params),
        "weights": partial(checkout.check_weights, layout, params),
        "face detector": checkout.check_detector,
        "MLflow": partial(services.check_mlflow, layout),
        "Ray": services.check_ray,
        "Prefect": services.check_prefect,
    }


def check_environment(layout: Layout, params: Params | None) -> list[Check]:
    """``params`` is None where ``params.yaml`` cannot be used: one of the checks says why."""
    return run_checks(probes(layout, params))
