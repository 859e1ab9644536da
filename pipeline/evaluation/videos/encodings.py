"""How the scored videos are encoded: LSE depends on the codec."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.evaluation.videos.pairing import VideoPair
from pipeline.media.errors import MediaError
from pipeline.media.file import MediaFile

EFFECT = "the codec alone moves LSE by 0.4 to 1.2 (THEval, CVPR 2026)"


@dataclass(frozen=True)
class Encodings:
    """Number of videos by encoding (`MediaFile.encoding`) of each side, and the pairs whose two sides differ.

    A pair with a missing or unreadable video is left out of all three.
    """

    generated: Mapping[str, int]
    real: Mapping[str, int]
    unequal: Sequence[str]

    @classmethod
    def of(cls, pairs: Sequence[VideoPair]) -> Encodings:
        generated: Counter[str] = Counter()
        real: Counter[str] = Counter()
        unequal = []
        for pair in pairs:
            made, original = _encoding(pair.generated), _encoding(pair.real)
            if made is None or original is None:
                continue
            generated[made] += 1
            real[original] += 1
            if made != original:
                unequal.append(f"{pair.name}: {made} against {original}")
        return cls(generated, real, unequal)

    def described(self) -> dict[str, Any]:
        """The part of the protocol that names the encodings."""
        return {"generated": dict(sorted(self.generated.items())), "real": dict(sorted(self.real.items()))}

    def sentences(self) -> list[str]:
        """The encodings of both sides, and a warning if the two sides of a pair differ."""
        sentences = [f"encoding: generated {_listed(self.generated)}; real {_listed(self.real)}"]
        if self.unequal:
            sentences.append(
                f"warning: {len(self.unequal)} generated videos are encoded otherwise than their real ones, such as "
                f"{self.unequal[0]}; {EFFECT}: encode both sides alike, best without loss"
            )
        return sentences


def encoding_differences(ours: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> list[str]:
    """A warning if the generated videos of two protocols are encoded differently. ``name`` identifies ``theirs``."""
    here, there = (protocol.get("encodings", {}).get("generated", {}) for protocol in (ours, theirs))
    if here.keys() == there.keys():
        return []
    return [f"the generated videos are {_listed(here)} here and {_listed(there)} in {name}: {EFFECT}"]


def _encoding(path: Path | None) -> str | None:
    if path is None:
        return None
    try:
        with MediaFile(path) as media:
            return media.encoding
    except (MediaError, OSError):  # scoring reports it
        return None


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{encoding} ({num})" for encoding, num in sorted(counts.items())) or "unknown"
