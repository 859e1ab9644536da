"""Direct implementations of published definitions, which compute one number at a time, as references for tests."""

from __future__ import annotations

import itertools
import math

import numpy as np

RATE_HZ = 16_000


def mfcc_by_the_book(signal: np.ndarray) -> np.ndarray:
    """MFCC by the definition of python_speech_features, one sample and one filter at a time.

    ``signal``: [n] at 16 kHz. Returns float64 [num_steps, 13].
    """
    emphasised = [float(signal[0])] + [float(b) - 0.97 * float(a) for a, b in itertools.pairwise(signal)]
    num = 1 if len(emphasised) <= 400 else 1 + math.ceil((len(emphasised) - 400) / 160)
    emphasised += [0.0] * ((num - 1) * 160 + 400 - len(emphasised))

    def to_mel(hz: float) -> float:
        return 2595 * math.log10(1 + hz / 700)

    def to_hz(mel: float) -> float:
        return 700 * (10 ** (mel / 2595) - 1)

    points = [math.floor(513 * to_hz(to_mel(8000) * k / 27) / RATE_HZ) for k in range(28)]
    result = []
    for index in range(num):
        frame = emphasised[index * 160 : index * 160 + 400]
        power = np.abs(np.fft.fft(frame, 512)[:257]) ** 2 / 512
        bands = []
        for low, centre, high in zip(points, points[1:], points[2:], strict=False):
            total = sum(power[k] * (k - low) / (centre - low) for k in range(low, centre))
            total += sum(power[k] * (high - k) / (high - centre) for k in range(centre, high))
            bands.append(math.log(total if total else np.finfo(float).eps))
        row = []
        for order in range(13):
            scale = math.sqrt((1 if order == 0 else 2) / 26)
            value = scale * sum(b * math.cos(math.pi * order * (2 * j + 1) / 52) for j, b in enumerate(bands))
            row.append(value * (1 + 11 * math.sin(math.pi * order / 22)))
        energy = float(power.sum())
        row[0] = math.log(energy if energy else np.finfo(float).eps)
        result.append(row)
    return np.array(result)
