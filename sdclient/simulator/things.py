"""Trees, houses, furniture and other things of the painter's scenes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from sdclient.simulator.brush import Color, Pen, mix

__all__ = ["THINGS", "Thing"]

Thing = Callable[[Pen, random.Random, Color], None]

_INK: Color = (58, 46, 50)
_WHITE: Color = (250, 246, 238)
_WOOD: Color = (146, 104, 68)
_LEAF: Color = (86, 132, 84)


def _round_tree(pen: Pen, rng: random.Random, color: Color) -> None:
    green = mix(_LEAF, color, 0.35)
    pen.blob([(-0.05, 0.0), (-0.032, 0.3), (-0.03, 0.55), (0.03, 0.55), (0.032, 0.3), (0.055, 0.0)], _WOOD)
    spots = [
        (0.0, 0.5, 0.2),
        (-0.17, 0.58, 0.16),
        (0.17, 0.58, 0.16),
        (-0.1, 0.76, 0.17),
        (0.11, 0.76, 0.17),
        (0.0, 0.84, 0.15),
    ]
    for x, y, r in spots:
        pen.oval((x + rng.uniform(-0.015, 0.015), y), (r, r * 0.95), green)
    for x, y, r in ((-0.12, 0.8, 0.1), (0.04, 0.88, 0.08), (-0.2, 0.62, 0.07)):
        pen.oval((x, y), (r, r * 0.85), mix(green, _WHITE, 0.16))
    for x, y, r in ((0.16, 0.54, 0.09), (0.02, 0.46, 0.08)):
        pen.oval((x, y), (r, r * 0.7), mix(green, _INK, 0.2))


def _pine(pen: Pen, rng: random.Random, color: Color) -> None:
    green = mix((52, 96, 84), color, 0.22)
    pen.box((-0.03, 0.0), (0.03, 0.25), _WOOD)
    for index, (low, top, half) in enumerate(((0.12, 0.55, 0.24), (0.36, 0.78, 0.19), (0.6, 1.0, 0.13))):
        lean = rng.uniform(-0.008, 0.008)
        shade = mix(green, _WHITE, 0.07 * index)
        pen.shape(
            [
                (-half, low),
                (-half * 0.5, low - 0.02),
                (0.0, low + 0.01),
                (half * 0.5, low - 0.02),
                (half, low),
                (lean, top),
            ],
            shade,
        )


def _house(pen: Pen, rng: random.Random, color: Color) -> None:
    wall, roof = mix(_WHITE, color, 0.22), mix((176, 84, 62), color, 0.3)
    pen.box((0.2, 0.62), (0.3, 0.94), mix(roof, _INK, 0.25))
    pen.box((-0.46, 0.0), (0.46, 0.58), wall)
    pen.shape([(-0.56, 0.54), (-0.34, 0.9), (0.34, 0.9), (0.56, 0.54)], roof)
    pen.box((-0.08, 0.0), (0.1, 0.36), mix(color, _INK, 0.25), radius=0.02)
    pen.oval((0.065, 0.17), (0.013, 0.013), _WHITE)
    glass = mix((150, 186, 204), color, 0.15)
    for x in (-0.28, 0.29):
        pen.box((x - 0.1, 0.2), (x + 0.1, 0.42), _WHITE)
        pen.box((x - 0.08, 0.22), (x + 0.08, 0.4), glass)
        pen.stroke([(x, 0.22), (x, 0.4)], 0.014, _WHITE)
    if rng.random() < 0.5:  # noqa: PLR2004 - a coin
        pen.box((-0.39, 0.15), (-0.17, 0.2), mix(_WOOD, color, 0.3))


def _ball(pen: Pen, rng: random.Random, color: Color) -> None:
    pen.oval((0.0, 0.5), (0.5, 0.5), color)
    tilt = rng.uniform(-0.1, 0.1)
    pen.blob(
        [
            (-0.46, 0.62 + tilt),
            (0.0, 0.78),
            (0.46, 0.62 - tilt),
            (0.48, 0.44 - tilt),
            (0.0, 0.56),
            (-0.48, 0.44 + tilt),
        ],
        mix(color, _WHITE, 0.72),
    )


def _vase(pen: Pen, rng: random.Random, color: Color) -> None:
    stem = mix(_LEAF, color, 0.2)
    blooms = [(-0.2, 0.86), (0.02, 0.95), (0.22, 0.84), (-0.09, 0.76), (0.12, 0.74)]
    for x, y in blooms:
        pen.stroke([(0.0, 0.5), (x * 0.5, 0.66), (x, y)], 0.018, stem)
    for index, (x, y) in enumerate(blooms):
        bloom = mix(color, ((232, 120, 104), (240, 196, 92), _WHITE)[(index + rng.randrange(3)) % 3], 0.75)
        for dx, dy in ((-0.045, 0), (0.045, 0), (0, 0.045), (0, -0.045)):
            pen.oval((x + dx, min(0.95, y + dy)), (0.045, 0.045), bloom)
        pen.oval((x, y), (0.03, 0.03), (244, 214, 120))
    half = [(0.1, 0.0), (0.2, 0.16), (0.2, 0.32), (0.09, 0.46), (0.12, 0.56)]
    pen.blob([*half, *((-x, y) for x, y in half[::-1])], color)
    pen.stroke([(-0.19, 0.24), (0.19, 0.24)], 0.03, mix(color, _WHITE, 0.5))


def _crate(pen: Pen, rng: random.Random, color: Color) -> None:
    wood = mix(_WOOD, color, 0.3)
    pen.box((-0.5, 0.0), (0.5, 0.98), wood, radius=0.02)
    for y in (0.04, 0.37, 0.7):
        pen.box((-0.46, y), (0.46, y + 0.25), mix(wood, _WHITE, 0.2 + rng.uniform(-0.03, 0.03)))
    pen.shape([(-0.46, 0.04), (-0.34, 0.04), (0.46, 0.95), (0.34, 0.95)], mix(wood, _INK, 0.12))


def _desk(pen: Pen, rng: random.Random, color: Color) -> None:
    wood = mix(_WOOD, color, 0.2)
    for x in (-0.6, 0.54):
        pen.box((x, 0.0), (x + 0.06, 0.6), mix(wood, _INK, 0.25))
    pen.box((0.2, 0.28), (0.58, 0.58), mix(wood, _INK, 0.12), radius=0.01)
    pen.box((-0.7, 0.56), (0.7, 0.64), wood, radius=0.02)
    pen.shape([(-0.34, 0.64), (0.14, 0.64), (0.18, 0.97), (-0.3, 0.97)], (84, 92, 106))
    pen.shape([(-0.305, 0.67), (0.115, 0.67), (0.148, 0.94), (-0.27, 0.94)], mix((196, 222, 232), color, 0.2))
    pen.box((0.36, 0.64), (0.47, 0.78), mix(color, _WHITE, rng.uniform(0.05, 0.25)), radius=0.015)


def _easel(pen: Pen, rng: random.Random, color: Color) -> None:
    for x in (-0.26, 0.26, 0.0):
        pen.stroke([(x, 0.02), (x * 0.15, 0.98)], 0.03, _WOOD)
    pen.box((-0.27, 0.32), (0.27, 0.86), mix(_WOOD, _INK, 0.2))
    pen.box((-0.24, 0.35), (0.24, 0.83), mix(_WHITE, color, 0.12))
    pen.oval((rng.uniform(-0.08, 0.08), 0.66), (0.07, 0.07), mix(color, (240, 190, 92), 0.5))
    pen.blob([(-0.23, 0.36), (-0.22, 0.5), (-0.05, 0.55), (0.1, 0.46), (0.22, 0.52), (0.23, 0.36)], color)


def _barrow(pen: Pen, rng: random.Random, color: Color) -> None:
    pen.stroke([(-0.62, 0.66), (0.1, 0.3), (0.42, 0.2)], 0.05, _WOOD)
    pen.stroke([(-0.12, 0.4), (-0.2, 0.04)], 0.05, mix(_WOOD, _INK, 0.3))
    heap = mix((128, 96, 70), _LEAF, rng.uniform(0.1, 0.6))
    pen.blob([(-0.34, 0.68), (-0.1, 0.95), (0.24, 0.9), (0.5, 0.68), (0.1, 0.6)], heap)
    pen.shape([(-0.4, 0.72), (0.58, 0.72), (0.36, 0.32), (-0.16, 0.32)], color)
    pen.oval((0.46, 0.17), (0.17, 0.17), _INK)
    pen.oval((0.46, 0.17), (0.08, 0.08), mix(_WHITE, _INK, 0.3))


def _lamp(pen: Pen, rng: random.Random, color: Color) -> None:
    pen.blob([(-0.2, 0.0), (-0.17, 0.05), (0.17, 0.05), (0.2, 0.0)], _INK)
    pen.stroke([(0.0, 0.04), (0.0, 0.66)], 0.035, _INK)
    pen.shape([(-0.28, 0.6), (0.28, 0.6), (0.16, 0.98), (-0.16, 0.98)], mix(color, (252, 226, 160), 0.55))
    pen.stroke([(-0.275, 0.62), (0.275, 0.62)], 0.025, mix(color, _INK, rng.uniform(0.1, 0.3)))


def _plant(pen: Pen, rng: random.Random, color: Color) -> None:
    for index in range(7):
        x = (index - 3) / 3 * 0.34
        top = 0.98 - abs(x) * 0.9 + rng.uniform(-0.03, 0.0)
        green = mix(_LEAF, _WHITE, 0.1 * (index % 3))
        pen.blob(
            [(x * 0.1 - 0.02, 0.34), (x * 0.7 - 0.07, 0.6), (x, top), (x * 0.7 + 0.07, 0.62), (x * 0.1 + 0.02, 0.34)],
            green,
        )
    pen.shape([(-0.2, 0.36), (0.2, 0.36), (0.14, 0.0), (-0.14, 0.0)], mix((186, 104, 74), color, 0.35))
    pen.box((-0.225, 0.32), (0.225, 0.4), mix((170, 92, 66), color, 0.35), radius=0.01)


def _books(pen: Pen, rng: random.Random, color: Color) -> None:
    y = 0.0
    for index in range(4):
        shift, height = rng.uniform(-0.08, 0.08), 0.245
        cover = mix(color, ((92, 116, 140), (206, 148, 84), (152, 82, 84), (98, 128, 104))[index], 0.6)
        pen.box((-0.6 + shift, y), (0.6 + shift, y + height), cover, radius=0.02)
        pen.box((-0.52 + shift, y + 0.05), (0.61 + shift, y + height - 0.05), _WHITE)
        pen.box((-0.6 + shift, y), (-0.4 + shift, y + height), mix(cover, _INK, 0.12), radius=0.02)
        y += height


def _fruit(pen: Pen, rng: random.Random, color: Color) -> None:
    skin = mix(color, (206, 64, 54), 0.6)
    pen.blob(
        [
            (0.0, 0.8),
            (0.3, 0.86),
            (0.46, 0.56),
            (0.34, 0.14),
            (0.08, 0.0),
            (0.0, 0.04),
            (-0.08, 0.0),
            (-0.34, 0.14),
            (-0.46, 0.56),
            (-0.3, 0.86),
        ],
        skin,
    )
    pen.stroke([(0.0, 0.78), (rng.uniform(0.02, 0.06), 0.97)], 0.04, _WOOD)
    pen.blob([(0.04, 0.86), (0.2, 0.99), (0.3, 0.94), (0.16, 0.85)], _LEAF)


def _cup(pen: Pen, rng: random.Random, color: Color) -> None:
    rim = mix(color, _WHITE, 0.35)
    pen.oval((0.42, 0.5), (0.24, 0.26), rim)
    pen.oval((0.42, 0.5), (0.14, 0.16), mix(rim, _INK, 0.35))
    pen.blob([(-0.44, 0.94), (-0.42, 0.3), (-0.22, 0.0), (0.22, 0.0), (0.42, 0.3), (0.44, 0.94)], color)
    pen.oval((0.0, 0.9), (0.45, 0.09), rim)
    pen.oval((0.0, 0.9), (0.38, 0.06), mix((92, 60, 44), color, rng.uniform(0.0, 0.15)))


def _balloon(pen: Pen, rng: random.Random, color: Color) -> None:
    pen.blob(
        [
            (0.0, 1.0),
            (0.3, 0.9),
            (0.38, 0.66),
            (0.24, 0.42),
            (0.09, 0.27),
            (-0.09, 0.27),
            (-0.24, 0.42),
            (-0.38, 0.66),
            (-0.3, 0.9),
        ],
        color,
    )
    pale = mix(color, (255, 228, 150), 0.62 + rng.uniform(0.0, 0.15))
    for side in (-1, 1):
        pen.blob(
            [
                (side * 0.04, 0.985),
                (side * 0.2, 0.9),
                (side * 0.25, 0.66),
                (side * 0.15, 0.42),
                (side * 0.05, 0.28),
                (side * 0.09, 0.66),
            ],
            pale,
        )
        pen.stroke([(side * 0.08, 0.28), (side * 0.06, 0.13)], 0.02, _INK)
    pen.box((-0.075, 0.0), (0.075, 0.14), _WOOD, radius=0.02)


# What there is to put into a scene: how it is drawn, and its width where its height is 1.
THINGS: Mapping[str, tuple[Thing, float]] = {
    "tree": (_round_tree, 0.7),
    "pine": (_pine, 0.5),
    "house": (_house, 1.14),
    "ball": (_ball, 1.0),
    "vase": (_vase, 0.56),
    "crate": (_crate, 1.0),
    "desk": (_desk, 1.42),
    "easel": (_easel, 0.58),
    "barrow": (_barrow, 1.3),
    "lamp": (_lamp, 0.58),
    "plant": (_plant, 0.74),
    "books": (_books, 1.4),
    "fruit": (_fruit, 0.94),
    "cup": (_cup, 1.1),
    "balloon": (_balloon, 0.78),
}
