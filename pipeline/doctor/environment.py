"""All checks of the environment."""

from __future__ import annotations

from functools import partial

from pipeline.core.layout import Layout
from pipeline.doctor import checkout, machine, packages, services
from pipeline.doctor.check import Check, Probe, run_checks
from pipeline.params import Params


def probes(layout: Layout, params: Params | None) -> dict[str, Probe]:
    """The probes by name. A probe that raises is reported under this name."""
    required = packages.read_requirements()
    return {
        "python": partial(packages.check_python, required),
        "packages": partial(packages.check_packages, required),
        "Prefect's caps": partial(packages.check_caps, required),
        "opencv": packages.check_opencv,
        "torchvision": packages.check_torchvision,
        "GPU": partial(machine.check_gpu, params),
        "cores": partial(machine.check_cores, params),
        "memory": machine.check_memory,
        "disk": partial(machine.check_disk, layout),
        "git": partial(checkout.check_git, layout),
        "DVC": partial(checkout.check_dvc, layout),
        "params.yaml": partial(checkout.check_params, layout),
        "clips": partial(checkout.check_clips, layout, params),
        "weights": partial(checkout.check_weights, layout, params),
        "face detector": checkout.check_detector,
        "MLflow": partial(services.check_mlflow, layout),
        "Ray": services.check_ray,
        "Prefect": services.check_prefect,
    }


def check_environment(layout: Layout, params: Params | None) -> list[Check]:
    """Run all checks. ``params`` is None if ``params.yaml`` is not valid; one of the checks reports why."""
    return run_checks(probes(layout, params))
