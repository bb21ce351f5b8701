"""Harmonious colours for scenes, chosen by the words of a prompt."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from sdclient.simulator.brush import Color, hsv, mix

__all__ = ["Palette", "choose_palette", "digest_number"]

_BREATH = 0.07


@dataclass(frozen=True, slots=True)
class Palette:
    """The colours of one scene.

    Attributes:
        sky: Zenith, middle and horizon.
        hills: Far and near.
        ground: At the horizon and in front.
        sun: The sun or moon.
        accents: Colours of clothes and things; they all go together.
    """

    sky: tuple[Color, Color, Color]
    hills: tuple[Color, Color]
    ground: tuple[Color, Color]
    sun: Color
    accents: tuple[Color, ...]


_PALETTES = (
    Palette(  # a morning in spring
        ((128, 182, 212), (188, 216, 222), (246, 232, 208)),
        ((160, 186, 182), (134, 170, 142)),
        ((176, 198, 134), (120, 156, 98)),
        (255, 244, 210),
        ((204, 88, 74), (58, 104, 146), (238, 186, 86), (120, 78, 120), (230, 208, 172), (62, 120, 112)),
    ),
    Palette(  # dusk
        ((72, 82, 132), (164, 120, 152), (246, 184, 144)),
        ((134, 108, 144), (104, 88, 126)),
        ((150, 116, 124), (96, 78, 100)),
        (255, 220, 170),
        ((240, 152, 96), (242, 210, 144), (104, 160, 178), (214, 92, 104), (236, 206, 176), (130, 178, 146)),
    ),
    Palette(  # the south
        ((72, 150, 204), (140, 198, 224), (232, 236, 222)),
        ((172, 188, 194), (192, 178, 150)),
        ((230, 208, 164), (208, 178, 130)),
        (255, 250, 224),
        ((196, 78, 54), (36, 98, 140), (236, 160, 50), (84, 122, 82), (142, 150, 92), (150, 68, 90)),
    ),
    Palette(  # autumn
        ((146, 170, 186), (206, 206, 196), (246, 224, 186)),
        ((186, 162, 138), (170, 132, 100)),
        ((204, 162, 102), (158, 114, 72)),
        (255, 238, 200),
        ((172, 60, 46), (46, 80, 92), (240, 196, 96), (104, 60, 62), (228, 200, 158), (88, 110, 76)),
    ),
    Palette(  # winter
        ((136, 168, 206), (194, 212, 230), (244, 240, 240)),
        ((190, 204, 220), (172, 190, 208)),
        ((240, 242, 246), (208, 220, 232)),
        (255, 250, 236),
        ((178, 50, 62), (40, 72, 116), (228, 168, 76), (58, 108, 102), (120, 72, 104), (206, 116, 84)),
    ),
    Palette(  # lavender
        ((164, 152, 206), (220, 192, 220), (254, 228, 212)),
        ((182, 170, 206), (158, 160, 190)),
        ((184, 202, 172), (134, 168, 144)),
        (255, 240, 222),
        ((216, 100, 112), (82, 84, 148), (244, 196, 116), (72, 130, 128), (238, 200, 178), (142, 82, 128)),
    ),
    Palette(  # the north sea
        ((94, 138, 158), (158, 190, 196), (226, 230, 218)),
        ((146, 170, 172), (116, 146, 144)),
        ((198, 200, 166), (148, 158, 122)),
        (255, 250, 230),
        ((214, 106, 66), (34, 76, 100), (240, 200, 104), (136, 62, 66), (232, 210, 164), (74, 132, 120)),
    ),
    Palette(  # the rose hour
        ((116, 152, 190), (226, 190, 190), (255, 220, 186)),
        ((190, 158, 168), (160, 136, 148)),
        ((200, 180, 146), (154, 138, 112)),
        (255, 236, 206),
        ((190, 72, 88), (60, 92, 128), (240, 178, 92), (98, 124, 96), (240, 206, 176), (116, 76, 112)),
    ),
)


def digest_number(*parts: object) -> int:
    """Turn values into one large number that is the same on every machine."""
    return int.from_bytes(hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()[:16], "big")


def choose_palette(prompt: str, model: str) -> Palette:
    """Choose the colours that go with the words; every prompt shifts its palette a little its own way."""
    number = digest_number("palette", prompt.lower(), model)
    base = _PALETTES[number % len(_PALETTES)]
    breath = hsv((number >> 32) % 997 / 997, 0.5, 0.85)

    def air(color: Color) -> Color:
        return mix(color, breath, _BREATH)

    return Palette(
        (air(base.sky[0]), air(base.sky[1]), air(base.sky[2])),
        (air(base.hills[0]), air(base.hills[1])),
        (air(base.ground[0]), air(base.ground[1])),
        base.sun,
        tuple(mix(color, breath, _BREATH / 2) for color in base.accents),
    )
