"""Appearance of a rendered speaker: colours, proportions, hair and light."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]
"""RGB display values in [0, 1]."""

_SKINS = ("f1cdb4", "8d5a3b", "e6b998", "c08a62", "f6d8c4", "5f3a28", "d8a47e", "a87048",
          "eec2a2", "754a32", "dcae90", "b67c54")  # fmt: skip
_HAIR_LIGHT = ("5b3a22", "a17c4c", "2c211c", "8c4a2a", "b4925c", "6e6763", "3b2a20")
_HAIR_DARK = ("1b1614", "2a1d17", "38261c", "221a1a")
_IRISES = ("5a7d9a", "6b4a2c", "4f7156", "7b6a45", "47606f")
_IRISES_DARK = ("3d2819", "4b311d", "5a3c22")
_CLOTHES = ("35506e", "8b3a3a", "3f5d4a", "6b5876", "b4843f", "2f3338", "7d8a93", "a75d6c",
            "41707a", "c8bba6", "54463c", "34406b")  # fmt: skip
_BACKDROPS = (
    ("studio", "8fa3b4"), ("bookshelf", "6b4e38"), ("window", "b9c7cc"), ("bokeh", "2f3d55"),
    ("studio", "b49a86"), ("panels", "7f9484"), ("bokeh", "5a3f3a"), ("bookshelf", "4b5560"),
    ("window", "d3c7b2"), ("studio", "5f6f66"), ("panels", "a98e9a"), ("bokeh", "38514a"),
)  # fmt: skip

# Hair style, whether the appearance is feminine, beard (0 none, 1 stubble, 2 full), glasses.
_TYPES = (
    ("long", True, 0, False),
    ("crop", False, 2, False),
    ("bob", True, 0, True),
    ("part", False, 0, False),
    ("bangs", True, 0, False),
    ("buzz", False, 1, False),
    ("bun", True, 0, False),
    ("part", False, 1, True),
    ("curly", True, 0, False),
    ("crop", False, 0, False),
    ("long", True, 0, True),
    ("curly", False, 1, False),
)


@dataclass(frozen=True, kw_only=True)
class Look:
    """Appearance of one speaker. Lengths are in half face widths; colours are display RGB."""

    seed: int
    is_feminine: bool
    skin: Colour
    lips: Colour
    hair: Colour
    brow: Colour
    iris: Colour
    cloth: Colour
    backdrop_style: str
    backdrop: Colour
    hair_style: str
    beard: int
    has_glasses: bool
    collar: str
    light: tuple[float, float, float]
    """Unit vector towards the key light (right, down, out of the image)."""
    warmth: float
    chin: float
    jaw_power: float
    cheek_power: float
    nose_width: float
    nose_length: float
    eye_size: float
    eye_tilt: float
    brow_weight: float
    mouth_half_width: float
    mouth_height: float
    lip_fullness: float
    smile: float
    age: float

    @property
    def light_side(self) -> float:
        """1.0 if the key light comes from the right of the image, else -1.0."""
        return 1.0 if self.light[0] > 0 else -1.0


def _rgb(code: str) -> Colour:
    return tuple(int(code[i : i + 2], 16) / 255.0 for i in (0, 2, 4))  # type: ignore[return-value]


def _jitter(rng: np.random.Generator, colour: Colour, amount: float) -> Colour:
    shift = rng.normal(0.0, amount, 3) + rng.normal(0.0, amount)
    r, g, b = np.clip(np.asarray(colour) + shift, 0.02, 0.98).tolist()
    return r, g, b


def make_look(speaker: int, seed: int) -> Look:
    """The appearance of speaker number ``speaker`` (0-based). Equal arguments give equal results."""
    rng = np.random.default_rng([seed, speaker, 0x10C])
    kind = _TYPES[speaker % len(_TYPES)]
    turn = speaker // len(_TYPES)
    hair_style, is_feminine, beard, has_glasses = kind
    if turn:  # further speakers reuse the types with other colours and accessories
        has_glasses = bool(rng.random() < 0.25)
        beard = 0 if is_feminine else int(rng.integers(0, 3))
    skin = _jitter(rng, _rgb(_SKINS[(speaker + 5 * turn) % len(_SKINS)]), 0.012)
    is_dark = skin[0] < 0.72
    hair = _jitter(rng, _rgb(str(rng.choice(_HAIR_DARK if is_dark else _HAIR_LIGHT))), 0.01)
    iris = _rgb(str(rng.choice(_IRISES_DARK if is_dark else _IRISES)))
    rouge = np.array((0.70, 0.20, 0.24)) if is_feminine else np.array((0.74, 0.40, 0.38))
    lipstick = rng.uniform(0.30, 0.62) if is_feminine else rng.uniform(0.34, 0.48)
    lips = np.asarray(skin) * np.array((0.92, 0.70, 0.70)) * (1.0 - lipstick) + lipstick * (
        rouge * (0.62 + 0.38 * skin[0])
    )
    style, tone = _BACKDROPS[(speaker + 3 * turn) % len(_BACKDROPS)]
    side = 1.0 if rng.random() < 0.5 else -1.0
    light = np.array((side * rng.uniform(0.25, 0.62), -rng.uniform(0.35, 0.6), 1.0))
    light /= np.linalg.norm(light)
    darker = np.asarray(hair) * (0.72 if sum(hair) > 0.9 else 1.0)
    return Look(
        seed=int(rng.integers(2**31)),
        is_feminine=is_feminine,
        skin=skin,
        lips=(float(lips[0]), float(lips[1]), float(lips[2])),
        hair=hair,
        brow=(float(darker[0]), float(darker[1]), float(darker[2])),
        iris=iris,
        cloth=_jitter(rng, _rgb(_CLOTHES[(speaker * 5 + turn) % len(_CLOTHES)]), 0.015),
        backdrop_style=style,
        backdrop=_jitter(rng, _rgb(tone), 0.02),
        hair_style=hair_style,
        beard=beard,
        has_glasses=has_glasses,
        collar=str(rng.choice(["crew", "shirt", "turtle"] if not is_feminine else ["crew", "scoop", "turtle"])),
        light=(float(light[0]), float(light[1]), float(light[2])),
        warmth=float(rng.uniform(-0.5, 1.0)),
        chin=float(rng.uniform(1.42, 1.50) if is_feminine else rng.uniform(1.46, 1.55)),
        jaw_power=float(rng.uniform(1.95, 2.25) if is_feminine else rng.uniform(2.35, 2.9)),
        cheek_power=float(rng.uniform(1.75, 2.05) if is_feminine else rng.uniform(1.85, 2.3)),
        nose_width=float(rng.uniform(0.86, 1.02) if is_feminine else rng.uniform(0.98, 1.2)),
        nose_length=float(rng.uniform(0.96, 1.04)),
        eye_size=float(rng.uniform(1.04, 1.14) if is_feminine else rng.uniform(0.94, 1.04)),
        eye_tilt=float(rng.uniform(-0.02, 0.07)),
        brow_weight=float(rng.uniform(0.65, 0.9) if is_feminine else rng.uniform(1.0, 1.4)),
        mouth_half_width=float(rng.uniform(0.425, 0.455)),
        mouth_height=float(rng.uniform(0.965, 1.0)),
        lip_fullness=float(rng.uniform(1.0, 1.3) if is_feminine else rng.uniform(0.8, 1.08)),
        smile=float(rng.uniform(0.015, 0.05)),
        age=float(rng.uniform(0.0, 0.7)),
    )
