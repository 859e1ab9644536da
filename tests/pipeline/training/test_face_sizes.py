"""Training of generators whose faces have another size than 96 px."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from models.syncnet import SyncNet
from pipeline.core.errors import UserError
from pipeline.faces.crops import resized_crops
from pipeline.inference.tensors import faces_to_float
from pipeline.params import TrainGanParams
from pipeline.stages.train_gan import build_trainee
from pipeline.training.gan import GanTrainee
from pipeline.training.variants import recipe_of
from tests.golden.networks import GAN, TRAINING, VARIANTS
from tests.pipeline.training.test_gan import batch, clip
from tests.support.small_expert import EXPERT

PARAMS = TrainGanParams(**{**TRAINING, **GAN, "face_px": 128, "audio_start": "random"})


@pytest.mark.parametrize("network", VARIANTS)
def test_networks_that_score_sync_get_larger_faces_reduced_to_96(network: str) -> None:
    recipe = recipe_of(PARAMS, VARIANTS[network])
    clips, cpu = [clip(0, 128), clip(1, 128)], torch.device("cpu")
    trainee = GanTrainee(PARAMS, recipe, SyncNet(EXPERT), clips, cpu, validation_seed=3)
    scalars = trainee.step(batch(recipe.kind, side_px=128), 5)
    assert all(np.isfinite(float(value)) for value in scalars.values())
    reduced = [one._replace(crops=lambda at, one=one: resized_crops(one.crops(at), 96)) for one in clips]
    other = GanTrainee(PARAMS, recipe, trainee.expert, reduced, cpu, validation_seed=3)
    real, same = (
        one._sync(one._expert_features(faces_to_float(one._validation["target"], cpu))[0], one._validation["sync_mel"])
        for one in (trainee, other)
    )
    assert float(real) == pytest.approx(float(same), abs=0.01)


def test_clips_of_another_size_are_refused_with_the_remedy(tmp_path: Path) -> None:
    said = r"train_gan\.face_px is 128, but the clips have face crops of 96 px; `dvc repro sync_filter` cuts"
    with pytest.raises(UserError, match=said):
        build_trainee(PARAMS, VARIANTS["speech2vid"], tmp_path, 1, 3, [clip(0)], torch.device("cpu"))
