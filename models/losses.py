"""Losses of the expert, the evaluator and the generator. All are computed in float32.

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
"""Centre of the mouth in a face crop, as shares of height and width; on GRID the detected corners are at 0.68."""
MOUTH_SPREAD = (0.1, 0.15)
"""Standard deviations as shares of height and width; the mouth corners are 0.13 from the centre."""
BOX_MOUTH_CENTRE = (0.72, 0.5)
BOX_MOUTH_SPREAD = (0.1, 0.21)
"""The same for crops of the geometry ``box``, in which the mouth corners are 0.2 from the centre on GRID."""


def lower_half(frames: torch.Tensor) -> torch.Tensor:
    """The rows from H // 2 on, as a view: [..., H, W] -> [..., H - H // 2, W]."""
    return frames[..., frames.shape[-2] // 2 :, :]


def stack_window(lower_BTCHW: torch.Tensor) -> torch.Tensor:
    """Face input of the expert, with frames on the channel axis: [B, 5, 3, 48, 96] -> [B, 15, 48, 96]."""
    return lower_BTCHW.flatten(1, 2)


def l1_loss(prediction: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Mean absolute error, scalar float32. Raises ValueError if the shapes differ."""
    _require_same_shape(prediction, target)
    return F.l1_loss(prediction.float(), target.float())


def mouth_loss(prediction: torch.Tensor, target: torch.Tensor, *, is_box: bool = False) -> torch.Tensor:
    """Mean absolute error with Gaussian weights around the mouth, scalar float32; face crops float [..., H, W].

    The lips are a few percent of the area of a crop, and hence of its L1. The weights are normalised: an error that is
    constant over the crop gives `l1_loss`. ``is_box``: whether the crops have the geometry ``box``. Raises ValueError
    if the shapes differ.
    """
    _require_same_shape(prediction, target)
    region = (BOX_MOUTH_CENTRE, BOX_MOUTH_SPREAD) if is_box else (MOUTH_CENTRE, MOUTH_SPREAD)
    rows_H, columns_W = (
        torch.exp(-0.5 * (((torch.arange(size, device=target.device) + 0.5) / size - centre) / spread) ** 2)
        for size, centre, spread in zip(target.shape[-2:], *region, strict=True)
    )
    weight_HW = rows_H[:, None] * columns_W
    error_HW = (prediction.float() - target.float()).abs().reshape(-1, *target.shape[-2:]).mean(dim=0)
    return (weight_HW * error_HW).sum() / weight_HW.sum()


def sync_loss(cosine: torch.Tensor, is_synced: torch.Tensor | None = None, *, min_cosine: float = 0.0) -> torch.Tensor:
    """Binary cross-entropy with a cosine as the probability (Wav2Lip, sec. 3.3), scalar float32.

    cosine: float [N] in [min_cosine, 1]; `min_cosine` (`SyncNet.min_cosine`) maps to probability 0.
    is_synced: bool or float [N] targets; None means that all pairs are in sync, which is the generator's loss.
    The probability is scaled into [1e-4, 1 - 1e-4]. The loss is therefore finite (at most 9.2), and it has a gradient
    at both ends, where clamping the probability would have none. Raises ValueError if the shapes differ.
    """
    probability = (cosine.float() - min_cosine) / (1.0 - min_cosine)
    probability = PROBABILITY_EPS + (1.0 - 2.0 * PROBABILITY_EPS) * probability.clamp(0.0, 1.0)
    target = torch.ones_like(probability) if is_synced is None else is_synced.to(probability)
    _require_same_shape(probability, target)
    # Written out, because binary_cross_entropy raises an error under autocast.
    return -(target * probability.log() + (1 - target) * torch.log1p(-probability)).mean()


def info_nce(similarity_NN: torch.Tensor, temperature: float | torch.Tensor = 0.1) -> torch.Tensor:
    """InfoNCE (van den Oord et al. 2018) in the symmetric form of CLIP, over rows and columns; scalar float32.

    similarity: float [N, N], with the positive pairs on the diagonal. With equal similarities the loss is log N.
    Raises ValueError if the matrix is not square.
    """
    _require_square(similarity_NN)
    logits_NN = similarity_NN.float() / temperature
    target_N = torch.arange(len(logits_NN), device=logits_NN.device)
    return (F.cross_entropy(logits_NN, target_N) + F.cross_entropy(logits_NN.T, target_N)) / 2


def contrastive_sync_loss(face_BD: torch.Tensor, audio_BKD: torch.Tensor, temperature: float) -> torch.Tensor:
    """Cross-entropy of a generated window's own audio among all audio of the batch, scalar float32.

    face: float [B, D], audio: float [B, K, D], both of unit length. `audio[b, 0]` belongs to `face[b]`. Negatives are
    the other K - 1, from other times of the same clip, and the audio of all other clips. The loss rewards features that
    separate one moment from others, not a high cosine as such. Chance is log(B K).
    At the low temperature of the expert's own training the softmax is confident and wrong on blurred faces, and the
    gradient exceeds all others. At high temperatures the loss becomes linear in the cosines.
    Raises ValueError if the shapes do not fit.
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

    It penalises a mouth that jitters around the correct position more than the L1 of single frames does.
    Raises ValueError if the shapes differ or T is 1.
    """
    _require_same_shape(generated_BTCHW, target_BTCHW)
    if target_BTCHW.shape[1] < 2:
        raise ValueError("the temporal loss needs windows of at least 2 frames")
    return F.l1_loss(generated_BTCHW.float().diff(dim=1), target_BTCHW.float().diff(dim=1))


def feature_loss(generated: Sequence[torch.Tensor], real: Sequence[torch.Tensor]) -> torch.Tensor:
    """Relative L1 distance of two lists of feature maps, scalar float32.

    Each level's mean absolute error is divided by the mean absolute value of the real map; the result is the mean over
    levels. It is 0 for equal maps and 1 for generated maps that are all zero. With the maps of an expert it is a
    perceptual loss (Johnson et al. 2016), with those of a discriminator feature matching (Salimans et al. 2016,
    sec. 3.1). No gradient reaches the real maps. If several processes share a batch, the mean of the real map is that
    of the whole batch. Raises ValueError if the lists are empty or differ in length or shapes.
    """
    if len(generated) != len(real) or not generated:
        raise ValueError(f"expected as many maps on both sides, at least one, got {len(generated)} and {len(real)}")
    levels = []
    for fake, wanted in zip(generated, real, strict=True):
        _require_same_shape(fake, wanted)
        wanted = wanted.detach().float()
        levels.append(F.l1_loss(fake.float(), wanted) / batch_mean(wanted.abs()).clamp_min(FEATURE_EPS))
    return torch.stack(levels).mean()


def pairwise_distances(lips_ND: torch.Tensor, audio_MD: torch.Tensor) -> torch.Tensor:
    """Euclidean distances of float [N, D] and [M, D] -> float32 [N, M]; LSE-D averages them.

    Raises ValueError if the embedding sizes differ.
    """
    if lips_ND.shape[-1] != audio_MD.shape[-1]:
        raise ValueError(f"embeddings must agree in size, got {lips_ND.shape[-1]} and {audio_MD.shape[-1]}")
    # The form with a matrix product loses precision for embeddings that are close together.
    mode = "donot_use_mm_for_euclid_dist"
    with torch.autocast(lips_ND.device.type, enabled=False):
        return torch.cdist(lips_ND.float(), audio_MD.float(), compute_mode=mode)


def distance_softmax_loss(distances_NN: torch.Tensor) -> torch.Tensor:
    """Symmetric InfoNCE on negative distances, scalar float32.

    distances: float [N, N], with the positive pairs on the diagonal. The temperature is one unit of distance. This
    determines the scale of the embeddings, which are not normalised. Raises ValueError if the matrix is not square.
    """
    return info_nce(-distances_NN, temperature=1.0)


def _require_same_shape(first: torch.Tensor, second: torch.Tensor) -> None:
    if first.shape != second.shape:
        raise ValueError(f"shapes must agree, got {tuple(first.shape)} and {tuple(second.shape)}")


def _require_square(matrix: torch.Tensor) -> None:
    if matrix.dim() != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"expected a square matrix [N, N], got {tuple(matrix.shape)}")
