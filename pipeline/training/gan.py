"""Training of one generator variant: L1 loss, sync loss of the frozen expert, adversarial loss, further losses.

For network `wav2lip` (`training.variants` has the losses of the others):

    loss = (1 - w_sync - w_adv) L1 + w_sync L_sync + w_adv L_adv        (Wav2Lip, sec. 3.4)

Further terms are added if their weights are not 0: distance of the expert's features (perceptual), distance of the
discriminator's features (feature matching), L1 of the change between consecutive frames (temporal), and L1 of the
mouth region (mouth).

The weights follow a schedule in steps. They do not depend on evaluation results, so a resumed run needs no further
state. Validation and the saved model use a moving average of the generator's weights.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from models.choices import FACE_SIZE_PX, WINDOW_FRAMES
from models.face_sizes import resize_by_area
from models.generator import Generator
from models.losses import (
    contrastive_sync_loss,
    feature_loss,
    l1_loss,
    lower_half,
    mouth_loss,
    stack_window,
    sync_loss,
    temporal_loss,
)
from models.parallel import gather_batch, with_shared_statistics
from models.syncnet import SyncNet
from pipeline.core.errors import UserError
from pipeline.inference.device import autocast
from pipeline.inference.tensors import faces_to_float
from pipeline.params import TrainGanParams
from pipeline.training.adversaries import LossWeights, Terms
from pipeline.training.ema import AveragedWeights
from pipeline.training.generator_windows import validation_batch, window_cut
from pipeline.training.optimiser_step import apply_gradients, learning_rate_factor
from pipeline.training.trainee import Batch
from pipeline.training.variants import Recipe

if TYPE_CHECKING:  # importing it imports OpenCV
    from pipeline.shards.clip import Clip


def init_audio_encoder(generator: Generator, expert: SyncNet) -> None:
    """Initialise the generator's audio encoder with the expert's weights, except for the last layer.

    The expert's audio features already separate sounds with different mouth shapes. Both encoders have Wav2Lip's
    layers, except for one residual block that only the expert has. Raises UserError if the widths differ.
    """
    own, learned = generator.audio_encoder.state_dict(), expert.audio_encoder.state_dict()
    shared = {name: tensor for name, tensor in learned.items() if name in own and not name.startswith("head.")}
    if any(tensor.shape != own[name].shape for name, tensor in shared.items()):
        raise UserError(
            f"train_gan.audio_start is expert, but train_gan.width is {generator.config.width}, the expert's "
            f"{expert.config.width}; set train_gan.width and train_syncnet.width to the same value in params.yaml, or "
            "train_gan.audio_start to random"
        )
    generator.audio_encoder.load_state_dict(own | shared)


class GanTrainee:
    """A generator and its adversary (if any) with their optimisers, the frozen expert, and fixed validation windows.

    ``validation_seed``: of the validation windows. It is the same for all variants, also for those with their own seed.
    """

    def __init__(
        self,
        params: TrainGanParams,
        recipe: Recipe,
        expert: SyncNet,
        validation_clips: Sequence[Clip],
        device: torch.device,
        validation_seed: int,
    ) -> None:
        self._params, self._recipe, self._device = params, recipe, device
        self.generator = recipe.build()
        if isinstance(self.generator, Generator) and params.audio_start == "expert":
            init_audio_encoder(self.generator, expert)
        with_shared_statistics(self.generator).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.expert = expert.to(device, memory_format=torch.channels_last).eval().requires_grad_(False)  # type: ignore[call-overload]
        self._adversary = recipe.build_adversary(device) if recipe.build_adversary else None
        self._optimiser = torch.optim.Adam(self.generator.parameters(), lr=params.learning_rate, betas=recipe.betas)
        self._averaged = AveragedWeights(self.generator, params.ema_decay)
        self._is_box = validation_clips[0].geometry == "box"
        # If a clip occurred twice in a batch, the sync loss could use a window's own audio as a negative.
        self._validation_batch_size = min(params.clips_per_batch, len(validation_clips))
        self._validation = validation_batch(
            validation_clips, window_cut(params, recipe.kind, is_augmented=False), params, validation_seed
        )

    def step(self, batch: Batch, step: int) -> dict[str, torch.Tensor | float]:
        """One optimiser step, of the adversary too.

        ``target`` and ``reference``: uint8 [B, T, S, S, 3]. ``audio``: float32 [B, T, F, L]. ``sync_mel``: float32
        [B, T / 5, K, 80, 16]. With n micro-batches the discriminator makes n steps per batch, each at 1/n of its
        learning rate.
        """
        p = self._params
        self.generator.train()
        weights, full = self._recipe.loss_weights(step), self._recipe.loss_weights(None)
        factor = learning_rate_factor(step, p.warmup_steps, p.num_steps)
        scalars: dict[str, torch.Tensor] = {}
        self._optimiser.zero_grad(set_to_none=True)
        for part in _micro_batches(batch, p.micro_batches):
            target_BTCHW, generated_BTCHW = self._generate(self.generator, part)
            measure_sync = full.get("sync", 0.0) > 0
            terms = self._terms(generated_BTCHW, target_BTCHW, part["sync_mel"], weights, measure_sync=measure_sync)
            rate_factor = factor / p.micro_batches
            learned, logged = self._train_adversary(generated_BTCHW, target_BTCHW, part, weights, rate_factor)
            terms |= learned
            loss = _weighted_sum(terms, weights)
            (loss / p.micro_batches).backward()
            for name, scalar in (logged | {"loss": loss} | terms).items():
                scalars[name] = scalars.get(name, 0.0) + scalar.detach() / p.micro_batches
        norm = apply_gradients(self._optimiser, p.grad_clip, factor, scalars["loss"])
        self._averaged.update(self.generator)
        return scalars | {
            **{f"{name}_weight": weight for name, weight in weights.items() if full[name] > 0},
            "grad_norm": norm,
            "learning_rate": p.learning_rate * factor,
        }

    def _train_adversary(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        batch: Batch,
        weights: LossWeights,
        rate_factor: float,
    ) -> tuple[Terms, Terms]:
        """``Adversary.train_step`` on the batch. Without an adversary nothing is trained, and both are empty."""
        if self._adversary is None:
            return {}, {}
        return self._adversary.train_step(generated_BTCHW, target_BTCHW, self._audio(batch), weights, rate_factor)

    def _terms(
        self,
        generated_BTCHW: torch.Tensor,
        target_BTCHW: torch.Tensor,
        sync_mel: torch.Tensor,
        weights: LossWeights,
        *,
        measure_sync: bool,
    ) -> Terms:
        """All loss terms except the adversary's. A term is left out while its weight is 0, except for L1 and sync.

        The sync loss is included if ``measure_sync``, whatever its weight, or if the perceptual weight is above 0.
        """
        terms = {"l1": l1_loss(generated_BTCHW, target_BTCHW)}
        sync, perceptual = weights.get("sync", 0.0), weights.get("perceptual", 0.0)
        if measure_sync or perceptual > 0:
            with torch.set_grad_enabled(torch.is_grad_enabled() and sync + perceptual > 0):
                face_BD, maps = self._expert_features(generated_BTCHW)
                terms["sync"] = self._sync(face_BD, sync_mel)
            if perceptual > 0:
                with torch.no_grad():
                    _, real_maps = self._expert_features(target_BTCHW)
                terms["perceptual"] = feature_loss(maps, real_maps)
        if weights.get("temporal", 0.0) > 0:
            terms["temporal"] = temporal_loss(generated_BTCHW, target_BTCHW)
        if weights.get("mouth", 0.0) > 0:
            terms["mouth"] = mouth_loss(generated_BTCHW, target_BTCHW, is_box=self._is_box)
        return terms

    def _generate(self, generator: torch.nn.Module, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        target_BTCHW = faces_to_float(batch["target"], self._device)
        faces_BTCHW = self._recipe.kind.face_input(target_BTCHW, faces_to_float(batch["reference"], self._device))
        with autocast(self._params.precision, self._device):
            generated_BTCHW = generator(self._audio(batch), faces_BTCHW)
        return target_BTCHW, generated_BTCHW.float()

    def _audio(self, batch: Batch) -> torch.Tensor:
        """The generator's audio input: float32 [B, T, 1, F, L]."""
        return batch["audio"].to(self._device).unsqueeze(2)

    def _expert_features(self, faces_BTCHW: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        """The expert's embeddings and feature maps of each 5 consecutive faces, clip by clip.

        Faces of another size are resized to the expert's.
        """
        lower_BTCHW = resize_by_area(lower_half(faces_BTCHW), FACE_SIZE_PX // 2, FACE_SIZE_PX)
        fives_NTCHW = lower_BTCHW.unflatten(1, (-1, WINDOW_FRAMES)).flatten(0, 1)
        with autocast(self._params.precision, self._device):
            return self.expert.embed_faces_with_maps(stack_window(fives_NTCHW))

    def _sync(self, face_BD: torch.Tensor, sync_mel_BSKML: torch.Tensor) -> torch.Tensor:
        num_audio = sync_mel_BSKML.shape[2]
        with torch.no_grad(), autocast(self._params.precision, self._device):
            audio_ND = self.expert.embed_audio(sync_mel_BSKML.flatten(0, 2).unsqueeze(1).to(self._device))
        audio_BKD = audio_ND.unflatten(0, (-1, num_audio))
        if self._params.sync_objective == "infonce":
            face_BD, audio_BKD = gather_batch(face_BD), gather_batch(audio_BKD)
            return contrastive_sync_loss(face_BD, audio_BKD, self._params.sync_temperature)
        cosine_B = (face_BD.float() * audio_BKD[:, 0].float()).sum(dim=1)
        return sync_loss(cosine_B, min_cosine=self.expert.min_cosine)

    @torch.inference_mode()
    def validate(self) -> dict[str, float]:
        """Mean scalars of the averaged generator on the fixed validation windows.

        The sync loss is measured for every variant, also for those trained without it.

        Returns each loss term; ``loss``, their weighted sum at full weights; ``lower_l1``, the L1 of the lower half;
        and ``sync_of_real``, the sync loss of real windows. Adversarial terms are left out because their scale drifts.
        """
        weights = self._recipe.loss_weights(None)
        totals: Counter[str] = Counter()
        size = self._validation_batch_size
        num = len(self._validation["target"])
        for start in range(0, num, size):
            batch = {name: tensor[start : start + size] for name, tensor in self._validation.items()}
            target, generated = self._generate(self._averaged.network, batch)
            terms = self._terms(generated, target, batch["sync_mel"], weights, measure_sync=True)
            scalars = {
                "loss": _weighted_sum(terms, weights),
                **terms,
                "lower_l1": lower_half((generated - target).abs()).mean(),
                "sync_of_real": self._sync(self._expert_features(target)[0], batch["sync_mel"]),
            }
            totals.update({name: float(scalar) * len(batch["target"]) for name, scalar in scalars.items()})
        return {name: total / num for name, total in totals.items()}

    @torch.inference_mode()
    def samples(self, num_windows: int) -> np.ndarray:
        """Columns: target, masked target, reference, generated crop. uint8 [num * S, 4 * S, 3] BGR."""
        batch = {name: tensor[:num_windows] for name, tensor in self._validation.items()}
        target, generated = self._generate(self._averaged.network, batch)
        reference = faces_to_float(batch["reference"], self._device)
        # With a black reference, the sum over the images of the face input is the visible part of the target.
        face_input = self._recipe.kind.face_input(target, torch.zeros_like(reference))
        visible = face_input[:, 2].unflatten(1, (-1, 3)).sum(dim=1)
        columns = (target[:, 2], visible, reference[:, 2], generated[:, 2])
        rows_NCHW = torch.cat([column.float() for column in columns], dim=-1)
        image = rows_NCHW.permute(0, 2, 3, 1).flatten(0, 1)
        return (image * 255).round().clamp(0, 255).byte().cpu().numpy()

    def weights(self) -> dict[str, torch.Tensor]:
        return self._averaged.network.state_dict()

    def use_weights(self, weights: Mapping[str, torch.Tensor]) -> None:
        self._averaged.network.load_state_dict(weights)

    def state_dict(self) -> dict[str, Any]:
        return {
            "generator": self.generator.state_dict(),
            "averaged": self._averaged.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "adversary": self._adversary.state_dict() if self._adversary else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.generator.load_state_dict(state["generator"])
        self._averaged.load_state_dict(state["averaged"])
        self._optimiser.load_state_dict(state["optimiser"])
        if self._adversary:
            self._adversary.load_state_dict(state["adversary"])


def _micro_batches(batch: Batch, num: int) -> Iterator[Batch]:
    """``num`` consecutive parts of equal size of the batch."""
    size = len(batch["target"]) // num
    for start in range(0, num * size, size):
        yield {name: tensor[start : start + size] for name, tensor in batch.items()}


def _weighted_sum(terms: Terms, weights: LossWeights) -> torch.Tensor:
    weighed = [weights[name] * term for name, term in terms.items() if weights.get(name, 0.0) > 0]
    return torch.stack(weighed).sum()
