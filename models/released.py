"""Converts Wav2Lip's published weights to state dicts of this project's networks, which compute the same functions.

Published files are dicts that hold names such as `module.audio_encoder.0.conv_block.0.weight` under "state_dict".
Their blocks have nested numbers (stage, block) or consecutive ones. Blocks are matched in the order in which they run.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from models.blocks import ConvBlock, LeakyConvBlock, TransposedConvBlock
from models.choices import SHORT_MEL_STEPS
from models.discriminator import QualityDiscriminator
from models.generator import Generator, GeneratorConfig
from models.syncnet import SyncNet, SyncNetConfig

NUM_NAMES_SHOWN = 3


def released_network(released: Mapping[str, Any]) -> Generator | SyncNet | QualityDiscriminator:
    """The untrained network, at Wav2Lip's size, that the published weights fit; `released` as for `adapt_released`.

    The network is identified by the names of its submodules. Raises ValueError if they fit none of the three networks.
    """
    names = list(_tensors(released))
    parts = {name.split(".")[0] for name in names}
    if "face_decoder_blocks" in parts:
        return Generator(GeneratorConfig(use_lstm=False, use_cbam=False))
    if "binary_pred" in parts:
        return QualityDiscriminator()
    if parts == {"face_encoder", "audio_encoder"}:
        return SyncNet(SyncNetConfig(linear_heads=False))
    raise ValueError(
        f"its tensors ({_first(names) or 'none'}) are those of none of Wav2Lip's networks: generator, expert, "
        "quality discriminator"
    )


def adapt_released(
    released: Mapping[str, Any], network: Generator | SyncNet | QualityDiscriminator
) -> dict[str, torch.Tensor]:
    """The published weights as a state dict for `network.load_state_dict`.

    released: the state dict, or a dict that holds it under "state_dict"; names may have the prefix `module.`.
    network: a generator without LSTM and CBAM and with windows of 16 steps, an expert without linear heads, or the
    quality discriminator, whose logits are the input of Wav2Lip's sigmoid. Raises ValueError for another network, for
    missing or unexpected names, and for shapes that differ. The published generator was trained on mel windows that
    start one frame before the generated frame; in Wav2Lip's inference they start at that frame.
    """
    ours = _released_names(network)
    expected = {ours[name]: tensor for name, tensor in network.state_dict().items()}
    given = _tensors(released)
    shapes = [
        f"{name} is {tuple(given[name].shape)}, expected {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in given and given[name].shape != tensor.shape
    ]
    faults = {
        "missing": [name for name in expected if name not in given],
        "unexpected": [name for name in given if name not in expected],
        "of another shape": shapes,
    }
    if any(faults.values()):
        lines = "; ".join(f"{fault}: {_first(names)}" for fault, names in faults.items() if names)
        raise ValueError(f"these are not the published weights of this {type(network).__name__}: {lines}")
    return {name: given[theirs] for name, theirs in ours.items()}


def _tensors(released: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """The tensors by published name, without `module.`. Raises ValueError if the file holds anything else."""
    tensors = released.get("state_dict", released)
    if not isinstance(tensors, Mapping):
        raise ValueError(f"its state_dict is {type(tensors).__name__}, expected a dict of tensors by name")
    for name, tensor in tensors.items():
        if not isinstance(name, str) or not isinstance(tensor, torch.Tensor):
            raise ValueError(f"it holds {type(tensor).__name__} under {name!r}, expected only tensors by name")
    return {name.removeprefix("module."): tensor for name, tensor in tensors.items()}


def _released_names(network: Generator | SyncNet | QualityDiscriminator) -> dict[str, str]:
    """Name in our state dict -> published name, for the whole state dict."""
    layers: dict[str, str] = {}
    if isinstance(network, Generator):
        if network.config.use_lstm or network.config.use_cbam or network.config.mel_steps != SHORT_MEL_STEPS:
            raise ValueError(
                f"Wav2Lip has neither LSTM nor CBAM, and windows of {SHORT_MEL_STEPS} steps: build the generator with "
                f"use_lstm=False, use_cbam=False and mel_steps={SHORT_MEL_STEPS}"
            )
        layers |= _nested(_stages(network, "face_stages"), "face_encoder_blocks")
        layers |= _nested(_stages(network, "decoder_stages"), "face_decoder_blocks")
        layers |= _numbered(_blocks(network, "audio_encoder"), "audio_encoder")
        layers |= _numbered(_blocks(network, "output"), "output_block") | {"output.1": "output_block.1"}
    elif isinstance(network, SyncNet):
        if network.config.linear_heads:
            raise ValueError("the heads of Wav2Lip's expert end in ReLU: build it with linear_heads=False")
        for tower in ("face_encoder", "audio_encoder"):
            layers |= _numbered(_blocks(network, tower), tower)
    else:
        first, *rest = _blocks(network, "layers")
        layers |= _nested([[first], *(rest[at : at + 2] for at in range(0, len(rest), 2))], "face_encoder_blocks")
        layers |= {f"layers.{len(network.layers) - 1}": "binary_pred.0"}
    names = {}
    for name in network.state_dict():
        layer, leaf = name.rsplit(".", 1)
        names[name] = f"{layers[layer]}.{leaf}"
    return names


def _blocks(network: torch.nn.Module, path: str) -> list[str]:
    """Names of the convolution blocks in a submodule, in the order in which they run."""
    kinds = (ConvBlock, TransposedConvBlock, LeakyConvBlock)
    found = network.get_submodule(path).named_modules(prefix=path)
    return [name for name, module in found if isinstance(module, kinds)]


def _stages(network: torch.nn.Module, path: str) -> list[list[str]]:
    return [_blocks(network, f"{path}.{stage}") for stage, _ in network.get_submodule(path).named_children()]


def _nested(stages: Sequence[Sequence[str]], theirs: str) -> dict[str, str]:
    layers: dict[str, str] = {}
    for index, stage in enumerate(stages):
        layers |= _numbered(stage, f"{theirs}.{index}")
    return layers


def _numbered(blocks: Sequence[str], theirs: str) -> dict[str, str]:
    """Names of the two layers of each block, `conv` and `norm` -> published names, numbered from 0."""
    layers: dict[str, str] = {}
    for index, block in enumerate(blocks):
        layers[f"{block}.conv"] = f"{theirs}.{index}.conv_block.0"
        layers[f"{block}.norm"] = f"{theirs}.{index}.conv_block.1"
    return layers


def _first(names: Sequence[str]) -> str:
    rest = len(names) - NUM_NAMES_SHOWN
    return ", ".join(names[:NUM_NAMES_SHOWN]) + (f" and {rest} more" if rest > 0 else "")
