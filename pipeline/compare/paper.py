"""Published scores on the test split of LRS2. They are shown beside our scores and not used in any computation.

None was measured by this project. The paper's rows of other systems equal those printed by Wav2Lip (Prajwal et al.
2020, table 1), while its ablation was measured by its authors. The two do not follow one protocol.
"""

from __future__ import annotations

from dataclasses import dataclass

PAPER = "LSTM-CBAM lip-sync paper"
WAV2LIP = "Wav2Lip (Prajwal et al. 2020), table 1"


@dataclass(frozen=True)
class PaperScores:
    """One printed row. Lower is better for ``lse_d`` and ``fid``, higher for ``lse_c``."""

    method: str
    lse_d: float
    lse_c: float
    fid: float | None
    source: str
    variant: str | None = None
    """The corresponding row of this project, if any."""


TABLE_1 = (
    PaperScores("Speech2Vid", 14.23, 1.587, 12.32, f"{PAPER}, table 1", "speech2vid"),
    PaperScores("LipGAN", 10.33, 3.199, 4.861, f"{PAPER}, table 1", "lipgan"),
    PaperScores("Wav2Lip", 6.386, 7.789, 4.887, f"{PAPER}, table 1", "wav2lip"),
    PaperScores("LSTM-CBAM", 6.207, 7.455, 4.806, f"{PAPER}, table 1", "lstm_cbam"),
)
ABLATION = (
    PaperScores("w/o both", 6.723, 6.802, 4.387, f"{PAPER}, ablation", "no_lstm_cbam"),
    PaperScores("w/o LSTM", 6.537, 7.081, 4.456, f"{PAPER}, ablation", "no_lstm"),
    PaperScores("w/o CBAM", 6.552, 7.111, 4.449, f"{PAPER}, ablation", "no_cbam"),
    PaperScores("LSTM-CBAM", 6.207, 7.455, 4.806, f"{PAPER}, ablation", "lstm_cbam"),
)
WAV2LIP_GAN = PaperScores("Wav2Lip + GAN", 6.469, 7.781, 4.446, WAV2LIP)
"""It has the parts of the ablation's "w/o both"."""
REAL_VIDEO = PaperScores("Real video", 6.736, 7.838, None, WAV2LIP, "real")

CAVEATS = (
    'The paper\'s tables do not follow one protocol. Its arm "w/o both" has the parts of Wav2Lip + GAN. It is printed '
    f"as {ABLATION[0].lse_d} / {ABLATION[0].lse_c} / {ABLATION[0].fid}, but Wav2Lip's authors print "
    f"{WAV2LIP_GAN.lse_d} / {WAV2LIP_GAN.lse_c} / {WAV2LIP_GAN.fid}. Only the order within its "
    "ablation can be compared.",
    f"The paper's best arm has the best LSE-D ({TABLE_1[3].lse_d}), but Wav2Lip has a better LSE-C "
    f"({TABLE_1[2].lse_c} against {TABLE_1[3].lse_c}), and its FID is the worst of the four arms ({TABLE_1[3].fid}).",
    f"The paper's LSE-D of {TABLE_1[3].lse_d} is below that of real video as printed by Wav2Lip ({REAL_VIDEO.lse_d}). "
    "That shows the limit of the metric, not better lips.",
)
