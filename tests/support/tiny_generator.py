"""A small untrained generator in a folder, and a checkout that holds one."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import torch

from models.generator import Generator, GeneratorConfig
from pipeline.core.layout import Layout
from pipeline.inference.saved_model import save_model

ROOT = Path(__file__).resolve().parents[2]


def save_tiny_generator(folder: Path) -> None:
    torch.manual_seed(0)
    config = GeneratorConfig(width=0.125, lstm_hidden=16)
    state = Generator(config).state_dict()
    save_model(folder, kind="generator", config=dataclasses.asdict(config), state=state, info={})


def make_checkout(folder: Path, variant: str = "lstm_cbam") -> Layout:
    """A folder with params.yaml and dvc.yaml of the project, in which ``variant`` has a generator."""
    folder.mkdir(exist_ok=True)
    for name in ("params.yaml", "dvc.yaml"):
        shutil.copy(ROOT / name, folder)
    layout = Layout(folder)
    save_tiny_generator(layout.model_dir("train_gan", variant))
    return layout
