"""The command line, params.yaml and the functions behind them accept the same choices."""

from __future__ import annotations

from typing import Literal, get_args, get_origin, get_type_hints

import pytest

from pipeline.cli.dub import dub
from pipeline.core.choices import Device, Source
from pipeline.dubbing.options import DubOptions
from pipeline.dubbing.settings import DubSettings
from pipeline.inference.device import select_device
from pipeline.params import EvaluateParams, RuntimeParams
from pipeline.params.profiles import PROFILES

OF_THE_DUBBER = ("start", "end")
"""They become a segment."""
OF_PYTHON = ("on_progress",)


@pytest.mark.parametrize("option", get_type_hints(DubOptions))
def test_the_command_dub_and_the_dubber_share_options(option: str) -> None:
    kind = get_type_hints(DubOptions)[option]
    if option not in OF_THE_DUBBER:
        assert get_type_hints(DubSettings)[option] == kind
    if option not in OF_PYTHON:
        assert option in get_type_hints(dub)
    if get_origin(kind) is Literal:
        assert get_type_hints(dub)[option] == kind


def test_params_and_dub_share_the_choices_of_device_and_reference() -> None:
    assert get_type_hints(dub)["device"] is get_type_hints(select_device)["name"] is Device
    assert RuntimeParams.model_fields["device"].annotation is Device
    assert EvaluateParams.model_fields["reference"].annotation is get_type_hints(dub)["reference"]


def test_each_source_has_a_profile() -> None:
    assert set(PROFILES) == set(get_args(Source))
