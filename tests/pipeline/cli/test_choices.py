"""The command line, params.yaml and the functions behind them accept the same choices."""

from __future__ import annotations

from typing import get_args, get_type_hints

import pytest

from pipeline.cli.dub import dub
from pipeline.core.choices import Device, Source
from pipeline.dubbing.dub import DubSettings
from pipeline.dubbing.options import DubOptions
from pipeline.inference.device import select_device
from pipeline.params import EvaluateParams, RuntimeParams
from pipeline.params.profiles import PROFILES


@pytest.mark.parametrize("option", get_type_hints(DubOptions))
def test_the_command_dub_and_the_dubber_share_options(option: str) -> None:
    kind = get_type_hints(DubSettings)[option]
    assert get_type_hints(dub)[option] == get_type_hints(DubOptions)[option] == kind


def test_params_and_dub_share_the_choices_of_device_and_reference() -> None:
    assert get_type_hints(dub)["device"] is get_type_hints(select_device)["name"] is Device
    assert RuntimeParams.model_fields["device"].annotation is Device
    assert EvaluateParams.model_fields["reference"].annotation is get_type_hints(dub)["reference"]


def test_each_source_has_a_profile() -> None:
    assert set(PROFILES) == set(get_args(Source))
