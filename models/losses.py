"""Losses of the expert, the evaluator and the generator, all computed in float32.

Legend: B batch, T window frames, N windows or folded batch, C channels, H W pixels, D embedding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional as F

from models.parallel import batch_mean

PROBABILITY_EPS = 1e-4
FEATURE_EPS = 1e-6
MOUTH_CENTRE = (0.69, 0.5)
"""Of a face crop, as shares of its height and width; the detector puts the corners of GRID's mouths at 0.68."""
MOUTH_SPREAD = (0.1, 0.15)
"""Standard deviations, as shares of height and width: the corners lie 0.13 beside the centre."""


def lower_half(frames: torch.Tensor) -> torch.Tensor:
    """The rows from H // 2 on: [..., H, W] -> [..., H - H // 2, W], a view."""
    return frames[..., frames.shape[-2] // 2 :, :]


def stack_window(lower_BTCHW: torch.Tensor) -> torch.Tensor:
    """The expert's face input, frames on the channel axis: [B, 5, 3, 48, 96] -> [B, 15, 48, 96]."""
    return lower_BTCHW.flatten(1, 2)


def l1_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of two tensors of one shape, scalar float32."""
    _require_same_shape(prediction, target)
    return F.l1_loss(prediction.float(), target.float())


def mouth_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error weighted by a bell over the mouth, scalar float32; face crops float [..., H, W].

    Lips are a few percent of a crop, and so of its L1. The weights' sum is taken out: an error that is the same
    everywhere gives `l1_loss`.
    """
    _require_same_shape(prediction, target)
    rows_H, columns_W = (
        torch.exp(-0.5 * (((torch.arange(size, device=target.device) + 0.5) / size - centre) / spread) ** 2)
        for size, centre, spread in zip(target.shape[-2:], MOUTH_CENTRE, MOUTH_SPREAD, strict=True)
    )
    weight_HW = rows_H[:, None] * columns_W
    error_HW = (prediction.float() - target.float()).abs().reshape(-1, *target.shape[-2:]).mean(dim=0)
    return (weight_HW * error_HW).sum() / weight_HW.sum()


def sync_loss(cosine: torch.Tensor, is_synced: torch.Tensor | None = None, *, min_cosine: float = 0.0) -> torch.Tensor:
    """Binary cross-entropy on a cosine read as a probability (Wav2Lip, sec. 3.3), scalar float32.

    cosine: float [N] in [min_cosine, 1]; `min_cosine` (`SyncNet.min_cosine`) maps to probability 0.
    is_synced: bool or float [N] targets; None means all in sync, the generator's loss.
    The probability is squeezed into [1e-4, 1 - 1e-4]: the loss stays finite (at most 9.2), and its ends, where a clamp
    has no gradient, still teach.
    """
    probability = (cosine.float() - min_cosine) / (1.0 - min_cosine)
    probability = PROBABILITY_EPS + (1.0 - 2.0 * PROBABILITY_EPS) * probability.clamp(0.0, 1.0)
    target = torch.ones_like(probability) if is_synced is None else is_synced.to(probability)
    _require_same_shape(probability, target)
    # The explicit form: binary_cross_entropy refuses to run inside an autocast region.
    return -(target * probability.log() + (1 - target) * torch.log1p(-probability)).mean()


def info_nce(similarity_NN: torch.Tensor, temperature: float | torch.Tensor = 0.1) -> torch.Tensor:
    """Symmetric cross-entropy that row i picks column i and column i picks row i, scalar float32.

    similarity: float [N, N], pairs on the diagonal (van den Oord et al. 2018; CLIP's symmetric form).
    With equal similarities the loss is log N.
    """
    _require_square(similarity_NN)
    logits_NN = similarity_NN.float() / temperature
    target_N = torch.arange(len(logits_NN), device=logits_NN.device)
    return (F.cross_entropy(logits_NN, target_N) + F.cross_entropy(logits_NN.T, target_N)) / 2


def contrastive_sync_loss(face_BD: torch.Tensor, audio_BKD: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy that a generated window picks its own audio among all the batch's, scalar float32.

    face: float [B, D], audio: float [B, K, D], both of unit length; `audio[b, 0]` belongs to `face[b]`, the
    other K - 1 come from the same clip at other times, and every other clip's audio is a negative too. Its
    gradient asks for what tells this moment from others instead of for any high cosine. Chance is log(B K).
    At the low temperature an expert was trained with, the softmax is certain and wrong on faces that are still
    a blur, and its gradient outweighs any other; towards high ones the loss becomes linear in the cosines.
    """
    if face_BD.shape != (audio_BKD.shape[0], audio_BKD.shape[-1]):
        raise ValueError(
            f"expected faces [B, D] and audio [B, K, D], got {tuple(face_BD.shape)} and {tuple(audio_BKD.shape)}"
        )
    with torch.autocast(face_BD.device.type, enabled=False):
        logits_BN = face_BD.float() @ audio_BKD.float().flatten(0, 1).T / temperature
    own_B = torch.arange(len(face_BD), device=face_BD.device) * audio_BKD.shape[1]
    return F.cross_entropy(logits_BN, own_B)


def temporal_loss(generated_BTCHW: torch.Tensor, target_BTCHW: torch.Tensor) -> torch.Tensor:
    """Mean absolute error of the changes between neighbouring frames, scalar float32; float [B, T, C, H, W], T > 1.

    L1 of single frames does not see a mouth that trembles about the right place; this does.
    """
    _require_same_shape(generated_BTCHW, target_BTCHW)
    if target_BTCHW.shape[1] < 2:
        raise ValueError("a window of one frame has no change to compare")
    return F.l1_loss(generated_BTCHW.float().diff(dim=1), target_BTCHW.float().diff(dim=1))


def feature_loss(generated: Sequence[torch.Tensor], real: Sequence[torch.Tensor]) -> torch.Tensor:
    """Distance of two lists of feature maps, scalar float32: each level's mean absolute error as a share of the real
    map's mean absolute value, averaged over levels. 0 for equal maps, 1 where the generated ones are all zero.

    With an expert's maps it is a perceptual loss (Johnson et al. 2016), with a discriminator's feature matching
    (Salimans et al. 2016, sec. 3.1). No gradient reaches the real maps. Where processes share a batch, the real map's
    mean is the whole batch's.
    """
    if len(generated) != len(real) or not generated:
        raise ValueError(f"expected as many maps on both sides, at least one, got {len(generated)} and {len(real)}")
    levels = []
    for drawn, wanted in zip(generated, real, strict=True):
        _require_same_shape(drawn, wanted)
        wanted = wanted.detach().float()
        levels.append(F.l1_loss(drawn.float(), wanted) / batch_mean(wanted.abs()).clamp_min(FEATURE_EPS))
    return torch.stack(levels).mean()


def pairwise_distances(lips_ND: torch.Tensor, audio_MD: torch.Tensor) -> torch.Tensor:
    """Euclidean distances float32 [N, M] of float [N, D] and [M, D], the quantity LSE-D averages."""
    if lips_ND.shape[-1] != audio_MD.shape[-1]:
        raise ValueError(f"embeddings must agree in size, got {lips_ND.shape[-1]} and {audio_MD.shape[-1]}")
    # The matrix-product form loses digits where two embeddings are close.
    mode = "donot_use_mm_for_euclid_dist"
    with torch.autocast(lips_ND.device.type, enabled=False):
        return torch.cdist(lips_ND.float(), audio_MD.float(), compute_mode=mode)


def distance_softmax_loss(distances_NN: torch.Tensor) -> torch.Tensor:
    """InfoNCE on negative distances: window i's own audio must be its nearest, and the reverse.

    distances: float [N, N], pairs on the diagonal. At a temperature of one unit of distance, which sets the scale of
    the embedding: nothing else fixes it.
    """
    return info_nce(-distances_NN, temperature=1.0)


def _require_same_shape(first: torch.Tensor, second: torch.Tensor) -> None:
    if first.shape != second.shape:
        raise ValueError(f"shapes must agree, got {tuple(first.shape)} and {tuple(second.shape)}")


def _require_square(matrix: torch.Tensor) -> None:
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix [N, N], got {tuple(matrix.shape)}")
