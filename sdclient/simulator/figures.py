"""People and animals of the painter's scenes."""

from __future__ import annotations

import random
from dataclasses import dataclass

from sdclient.simulator.brush import Color, Pen, mix

__all__ = ["PERSON_WIDTH", "Look", "animal", "person", "random_look"]

PERSON_WIDTH = 0.43
_SKINS: tuple[Color, ...] = ((248, 200, 152), (236, 172, 122), (208, 146, 102), (166, 112, 78), (120, 78, 56))
_HAIRS: tuple[Color, ...] = ((52, 38, 34), (92, 60, 40), (142, 92, 52), (188, 140, 84), (70, 70, 78), (150, 70, 44))
_INK: Color = (58, 46, 50)
_WHITE: Color = (250, 246, 238)


@dataclass(frozen=True, slots=True)
class Look:
    """How one person looks.

    Attributes:
        skin: Colour of face and hands.
        hair: Colour of the hair.
        top: Colour of shirt or dress.
        bottom: Colour of trousers.
        dress: Whether a dress is worn.
        long_hair: Whether the hair falls to the shoulders.
        child: Whether the proportions are a child's.
        tool: What is held: nothing (""), `broom`, `shovel`, `bag` or `tray`.
        helmet: Whether a helmet is worn.
        wave: Whether an arm is lifted.
    """

    skin: Color
    hair: Color
    top: Color
    bottom: Color
    dress: bool = False
    long_hair: bool = False
    child: bool = False
    tool: str = ""
    helmet: bool = False
    wave: bool = False


def random_look(rng: random.Random, accents: tuple[Color, ...], *, child: bool = False, worker: bool = False) -> Look:
    """Draw a look whose clothes fit the palette; the top has the first of the accents."""
    top, bottom = accents[0], rng.choice(accents[1:])
    long_hair = rng.random() < 0.5  # noqa: PLR2004 - a coin
    return Look(
        skin=rng.choice(_SKINS[:4]),
        hair=rng.choice(_HAIRS),
        top=top,
        bottom=mix(bottom, (40, 44, 66), 0.45),
        dress=long_hair and rng.random() < (0.25 if worker else 0.7),
        long_hair=long_hair,
        child=child,
        tool=rng.choice(("broom", "shovel", "bag", "tray")) if worker else "",
        helmet=worker and rng.random() < 0.5,  # noqa: PLR2004 - a coin
        wave=not worker and rng.random() < 0.3,  # noqa: PLR2004 - some do
    )


def person(pen: Pen, look: Look) -> None:
    """Draw a standing person, facing us."""
    # A child's head is larger, and everything below it is squeezed.
    head = 0.105 if look.child else 0.075
    neck = 1 - 2.15 * head
    if look.long_hair:
        _hair_behind(pen, look, head)
    _legs(pen, look, neck)
    _arms(pen, look, neck, behind=True)
    _torso(pen, look, neck)
    _arms(pen, look, neck, behind=False)
    _head(pen, look, head)
    _tool(pen, look, neck)


def _legs(pen: Pen, look: Look, neck: float) -> None:
    hip = neck * 0.58
    for side in (-1, 1):
        x = side * 0.055
        color = look.skin if look.dress else look.bottom
        width = 0.045 if look.dress else 0.078
        pen.stroke([(x * 0.95, hip), (x * 1.05, 0.04)], width, color)
        pen.blob([(x - 0.045, 0.005), (x - 0.04, 0.04), (x + 0.035, 0.045), (x + 0.05, 0.005)], _INK)


def _torso(pen: Pen, look: Look, neck: float) -> None:
    shoulder, waist, hip = neck * 0.965, neck * 0.70, neck * 0.55
    if look.dress:
        hem = neck * 0.26
        flare = [(0.105, shoulder), (0.07, waist), (0.155, hem), (0.0, hem - 0.012)]
        pen.blob([*flare, *((-x, y) for x, y in flare[-2::-1])], look.top)
        pen.stroke([(-0.07, waist), (0.07, waist)], 0.02, mix(look.top, _INK, 0.35))
    else:
        half = [(0.04, neck), (0.112, shoulder), (0.088, waist), (0.096, hip)]
        pen.blob([*half, *((-x, y) for x, y in half[::-1])], look.top)
        pen.stroke([(-0.088, hip + 0.01), (0.088, hip + 0.01)], 0.022, mix(look.bottom, _INK, 0.3))
    pen.shape([(-0.035, neck + 0.012), (0.035, neck + 0.012), (0.0, neck - 0.055)], look.skin)


def _arms(pen: Pen, look: Look, neck: float, *, behind: bool) -> None:
    side = -1 if behind else 1
    shoulder, hand = neck * 0.93, neck * 0.52
    path = [(side * 0.105, shoulder), (side * 0.15, neck * 0.72), (side * 0.145, hand)]
    if not behind and look.wave:
        path = [(0.105, shoulder), (0.17, neck * 0.86), (0.19, neck * 1.06)]
    if not behind and look.tool:
        path = [(0.105, shoulder), (0.15, neck * 0.72), (0.175, neck * 0.62)]
    pen.stroke(path, 0.052, mix(look.top, _INK, 0.12))
    pen.oval(path[-1], (0.026, 0.026), look.skin)


def _head(pen: Pen, look: Look, head: float) -> None:
    middle = 1 - head * 1.12
    pen.stroke([(0, middle), (0, middle - head * 1.25)], head * 0.62, mix(look.skin, _INK, 0.12))
    pen.oval((0, middle), (head * 0.86, head), look.skin)
    for side in (-1, 1):
        pen.oval((side * head * 0.84, middle - head * 0.05), (head * 0.14, head * 0.2), look.skin)
        pen.oval((side * head * 0.33, middle - head * 0.05), (head * 0.09, head * 0.11), _INK)
    smile = [(-0.24, -0.42), (-0.1, -0.52), (0.1, -0.52), (0.24, -0.42)]
    pen.stroke([(x * head, middle + y * head) for x, y in smile], head * 0.08, mix(look.skin, (150, 60, 60), 0.6))
    color = (238, 190, 72) if look.helmet else look.hair
    cap = [(-0.92, 0.05), (-0.9, 0.62), (-0.45, 1.04), (0.1, 1.12), (0.66, 0.95), (0.94, 0.5), (0.9, 0.05)]
    fringe = [(0.62, 0.42), (0.1, 0.5), (-0.5, 0.38)]
    pen.blob([(x * head, middle + y * head) for x, y in (*cap, *fringe)], color)
    if look.helmet:
        pen.stroke([(-head * 1.12, middle + head * 0.36), (head * 1.12, middle + head * 0.36)], head * 0.16, color)


def _hair_behind(pen: Pen, look: Look, head: float) -> None:
    middle = 1 - head * 1.12
    fall = [(-1.0, 0.4), (0.0, 1.0), (1.0, 0.4), (1.12, -0.9), (0.6, -1.5), (-0.6, -1.5), (-1.12, -0.9)]
    pen.blob([(x * head, middle + y * head) for x, y in fall], mix(look.hair, _INK, 0.15))


def _tool(pen: Pen, look: Look, neck: float) -> None:
    wood, steel = (150, 108, 70), (142, 150, 160)
    grip = neck * 0.62
    if look.tool in {"broom", "shovel"}:
        pen.stroke([(0.178, 0.06), (0.172, neck * 0.98)], 0.017, wood)
    if look.tool == "broom":
        pen.shape([(0.135, 0.0), (0.225, 0.0), (0.2, 0.1), (0.16, 0.1)], (216, 178, 96))
    elif look.tool == "shovel":
        pen.blob([(0.14, 0.13), (0.216, 0.13), (0.21, 0.04), (0.178, 0.0), (0.146, 0.04)], steel)
    elif look.tool == "bag":
        pen.stroke([(0.15, grip - 0.06), (0.175, grip), (0.2, grip - 0.06)], 0.012, _INK)
        pen.box((0.12, grip - 0.17), (0.226, grip - 0.05), (134, 88, 60), radius=0.012)
    elif look.tool == "tray":
        pen.box((0.1, grip + 0.005), (0.225, grip + 0.025), wood, radius=0.006)
        pen.box((0.125, grip + 0.02), (0.165, grip + 0.085), _WHITE, radius=0.008)
        pen.oval((0.197, grip + 0.045), (0.02, 0.024), (204, 84, 70))
    if look.tool:
        pen.oval((0.175, grip), (0.024, 0.024), look.skin)


def animal(pen: Pen, kind: str, color: Color) -> None:
    """Draw a sitting `fox`, `cat` or `dog`, seen from the front and a little from the side."""
    pale, dark = mix(color, (255, 226, 176), 0.72), mix(color, _INK, 0.55)
    _tail(pen, kind, color, pale)
    pen.blob([(-0.2, 0.0), (-0.24, 0.2), (-0.15, 0.48), (0.0, 0.6), (0.14, 0.48), (0.22, 0.2), (0.18, 0.0)], color)
    pen.blob([(-0.08, 0.12), (-0.1, 0.36), (0.0, 0.52), (0.09, 0.36), (0.07, 0.12), (0.0, 0.08)], pale)
    for side in (-1, 1):
        pen.stroke([(side * 0.075, 0.3), (side * 0.08, 0.03)], 0.085, color)
        pen.oval((side * 0.085, 0.025), (0.06, 0.03), dark if kind == "fox" else pale)
        _ear(pen, kind, side, color, dark)
    pen.blob(
        [(-0.2, 0.72), (-0.13, 0.88), (0.0, 0.92), (0.13, 0.88), (0.2, 0.72), (0.08, 0.58), (0.0, 0.54), (-0.08, 0.58)],
        color,
    )
    for side in (-1, 1):
        pen.blob([(side * 0.19, 0.715), (side * 0.1, 0.70), (side * 0.02, 0.60), (side * 0.08, 0.585)], pale)
        pen.oval((side * 0.082, 0.76), (0.021, 0.026), _INK)
    pen.oval((0.0, 0.585), (0.032, 0.025), _INK)


def _ear(pen: Pen, kind: str, side: int, color: Color, dark: Color) -> None:
    if kind == "dog":
        pen.blob([(side * 0.12, 0.88), (side * 0.24, 0.82), (side * 0.25, 0.62), (side * 0.19, 0.6)], dark)
        return
    pen.shape([(side * 0.05, 0.88), (side * 0.2, 0.76), (side * 0.19, 1.0)], color)
    pen.shape([(side * 0.09, 0.88), (side * 0.18, 0.81), (side * 0.175, 0.95)], dark)


def _tail(pen: Pen, kind: str, color: Color, pale: Color) -> None:
    if kind == "fox":
        pen.blob([(0.1, 0.02), (0.3, 0.0), (0.44, 0.16), (0.46, 0.4), (0.38, 0.5), (0.3, 0.34), (0.22, 0.18)], color)
        pen.blob([(0.46, 0.34), (0.46, 0.42), (0.385, 0.52), (0.33, 0.42), (0.39, 0.35)], pale)
    else:
        pen.stroke([(0.12, 0.05), (0.32, 0.06), (0.4, 0.2), (0.38, 0.34)], 0.06, color)
