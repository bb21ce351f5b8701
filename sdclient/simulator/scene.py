"""Composition: which figures stand where, in front of what, for a prompt, a seed and a model."""

from __future__ import annotations

import math
import random
import re
from dataclasses import dataclass

from PIL import Image, ImageChops, ImageDraw, ImageFilter

from sdclient.simulator.brush import Color, Pen, glow, gradient, mix
from sdclient.simulator.figures import PERSON_WIDTH, animal, person, random_look
from sdclient.simulator.palette import Palette, choose_palette, digest_number
from sdclient.simulator.things import THINGS

__all__ = ["Figure", "Scene", "draw_scene"]

_GAP = 0.034
_LINE = 0.0035
_SUN = 0.09
_BALLOON = 0.25
_SHADOW_REDUCTION = 4
_MOST_GROWTH = 1.15
_ANIMALS: dict[str, Color] = {"fox": (214, 116, 58), "cat": (128, 124, 128), "dog": (176, 128, 84)}
_ANIMAL_WIDTH = 1.0
# Heights where the shorter side of the image is 1.
_HEIGHTS = {
    "adult": 0.52,
    "worker": 0.52,
    "child": 0.36,
    "fox": 0.24,
    "cat": 0.2,
    "dog": 0.22,
    "tree": 0.5,
    "pine": 0.54,
    "house": 0.3,
    "ball": 0.1,
    "vase": 0.32,
    "crate": 0.15,
    "desk": 0.24,
    "easel": 0.36,
    "barrow": 0.17,
    "lamp": 0.42,
    "plant": 0.28,
    "books": 0.1,
    "fruit": 0.11,
    "cup": 0.11,
}
_INDOOR_HEIGHTS = {"vase": 0.42, "books": 0.15, "fruit": 0.16, "cup": 0.16, "lamp": 0.5, "plant": 0.4, "ball": 0.15}
# Words of a prompt, and what they put into the scene.
_WORDS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"famil", ("adult", "child", "adult", "child")),
    (r"\bwork(ing|er|ers|shop)?\b", ("worker", "worker", "worker")),
    (r"\b(man|men|woman|women|person|people|portrait|friends|couple)\b", ("adult", "adult")),
    (r"\b(child|children|kid|kids|boy|girl)\b", ("child", "child")),
    (r"\bfox", ("fox", "fox")),
    (r"\bcat", ("cat", "cat")),
    (r"\b(dog|puppy)", ("dog", "dog")),
    (r"\b(house|village|cottage|lighthouse|town)", ("house", "house")),
    (r"\b(tree|forest|wood|park|garden)", ("tree", "pine", "tree")),
    (r"\b(vase|flower|bouquet)", ("vase", "vase")),
    (r"\b(apple|fruit|still life)", ("fruit", "vase", "cup", "fruit")),
    (r"\b(book|library)", ("books", "lamp")),
    (r"\b(cup|tea|coffee|mug)", ("cup", "cup")),
    (r"\bball(s)?\b", ("ball", "ball")),
    (r"balloon", ("balloon",)),
    (r"\b(paint|artist|easel)", ("easel",)),
    (r"\b(desk|office|computer|laptop)", ("desk", "lamp")),
)
_PROPS = {
    "family": ("tree", "dog", "ball", "house", "balloon", "pine", "child"),
    "work": ("desk", "crate", "easel", "plant", "barrow", "lamp"),
    "still": ("vase", "fruit", "cup", "books", "lamp", "plant", "ball"),
    "out": ("tree", "house", "adult", "pine", "fox", "balloon", "child", "ball"),
}
_STILL = re.compile(r"still life|\bvase|\bcup\b|\bapple|\bfruit|\bbook|studio|product|\btable|\bmug", re.IGNORECASE)
_WORK = re.compile(r"\bwork(ing|er|ers|shop)?\b|office|desk", re.IGNORECASE)
_SEA = re.compile(r"\b(sea|beach|ocean|coast|harbou?r|lighthouse|island|boat)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure as it was drawn.

    Attributes:
        kind: What it is, such as ``adult``, ``house`` or ``sun``.
        spot_xy: Where the top left pixel of `alpha` lies in the scene; it may lie outside.
        alpha: How much each pixel of it covers, 0 to 255, mode L.
    """

    kind: str
    spot_xy: tuple[int, int]
    alpha: Image.Image


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn scene.

    Attributes:
        image: The colours, RGB.
        figures: Mask of everything that is not background, same size.
        palette: The colours it was made of.
        cast: Each figure as it was drawn, from the back to the front; the sun, where there is one, is the first.
    """

    image: Image.Image
    figures: Image.Image
    palette: Palette
    cast: tuple[Figure, ...] = ()

    def masks(self) -> list[tuple[str, Image.Image]]:
        """Give the kind and the mask of every figure, mode L and as large as the scene, without what hides it."""
        masks: list[tuple[str, Image.Image]] = []
        hidden = Image.new("L", self.image.size)
        for figure in reversed(self.cast):
            mask = Image.new("L", self.image.size)
            mask.paste(figure.alpha, figure.spot_xy)
            masks.append((figure.kind, ImageChops.subtract(mask, hidden)))
            hidden = ImageChops.lighter(hidden, mask)
        return masks[::-1]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where one figure stands: x along the width, y of its foot along the height, height in shorter sides."""

    kind: str
    x: float
    y: float
    height: float
    seed: int


def draw_scene(prompt: str, seed: int, model: str, size: tuple[int, int]) -> Scene:
    """Draw the scene that belongs to a prompt, a seed and a model.

    Args:
        prompt: Its words choose figures, setting and colours.
        seed: Chooses among what the words leave open.
        model: Another model paints another picture.
        size: Width and height in pixels; the composition does not depend on it, only on the ratio of the two.
    """
    rng = random.Random(digest_number("scene", prompt, seed, model))
    palette = choose_palette(prompt, model)
    kind = _setting(prompt, rng)
    cast = _cast(prompt, kind, rng)
    places = _places([figure for figure in cast if figure != "balloon"], kind, size, rng)
    sun_x = rng.uniform(0.12, 0.88)
    if "balloon" in cast:
        places.append(_balloon(places, sun_x, size, rng))
    drawn: list[Figure] = []
    if kind in {"still", "work"}:
        image = _room(palette, size, rng)
    else:
        drawn.append(_sun_disc((sun_x, rng.uniform(0.1, 0.18)), size))
        image = _landscape(palette, drawn[0], rng, size, sea=kind == "sea")
    image = _shadows(image, places)
    figures = Image.new("L", size)
    first = rng.randrange(len(palette.accents))
    for index, place in sorted(enumerate(places), key=lambda pair: pair[1].y):
        # Neighbours begin at different colours, so that nobody wears the same.
        turn = (first + index * 2 + index // 3) % len(palette.accents)
        figure = _drawn(place, (*palette.accents[turn:], *palette.accents[:turn]), image)
        figures.paste(255, figure.spot_xy, figure.alpha)
        drawn.append(figure)
    return Scene(image, figures, palette, tuple(drawn))


# --- what is there, and where --------------------------------------------------------------------------------------------


def _setting(prompt: str, rng: random.Random) -> str:
    inside = rng.random() < 0.6  # noqa: PLR2004 - more often than not; drawn first, so that words do not shift the rest
    if _STILL.search(prompt):
        return "still"
    if _WORK.search(prompt):
        return "work" if inside else "field"
    if _SEA.search(prompt):
        return "sea"
    return "family" if "famil" in prompt.lower() else "out"


def _cast(prompt: str, kind: str, rng: random.Random) -> list[str]:
    """Choose five to nine figures: first what the words ask for, then what suits the setting."""
    cast = [figure for pattern, figures in _WORDS if re.search(pattern, prompt, re.IGNORECASE) for figure in figures]
    if "worker" in cast:
        # "people working" are those workers, not more people.
        cast = [figure for figure in cast if figure != "adult"]
    props = list(_PROPS.get({"field": "work"}.get(kind, kind), _PROPS["out"]))
    rng.shuffle(props)
    # Workers bring wide furniture; fewer things leave all of them larger.
    count = rng.randint(5, 6 if "worker" in cast else 7)
    for figure in props:
        if len(cast) < count and cast.count(figure) < 2:  # noqa: PLR2004 - two of a kind are enough
            cast.append(figure)
    cast = cast[:9]
    rng.shuffle(cast)
    return cast


def _places(cast: list[str], kind: str, size: tuple[int, int], rng: random.Random) -> list[_Place]:
    """Give every figure a lane of its own, so that all of them stand apart."""
    heights = _HEIGHTS | (_INDOOR_HEIGHTS if kind == "still" else {})
    wishes = [heights[figure] * rng.uniform(0.92, 1.08) for figure in cast]
    widths = [height * _width(figure) for figure, height in zip(cast, wishes, strict=True)]
    room = size[0] / min(size) - _GAP * (len(cast) + 1)
    scale = min(_MOST_GROWTH, room / sum(widths))
    gap = (size[0] / min(size) - scale * sum(widths)) / (len(cast) + 1)
    left, places = gap, list[_Place]()
    for figure, wish, width in zip(cast, wishes, widths, strict=True):
        depth = rng.uniform(0.0, 1.0)
        x = (left + scale * width / 2) * min(size) / size[0]
        places.append(_Place(figure, x, _foot(figure, depth, size), wish * scale, rng.getrandbits(32)))
        left += scale * width + gap
    return places


def _balloon(places: list[_Place], sun_x: float, size: tuple[int, int], rng: random.Random) -> _Place:
    """Find a place across from the sun and above everybody's head."""
    side = -1 if sun_x > 0.5 else 1  # noqa: PLR2004 - the middle
    unit_w, unit_h = min(size) / size[0], min(size) / size[1]

    def sky_below(x: float) -> float:
        """Return the height of the highest head beneath, measured from the top."""
        reach = _BALLOON * _width("balloon") / 2
        near = [one for one in places if abs(one.x - x) < (reach + one.height * _width(one.kind) / 2) * unit_w]
        return min((one.y - one.height * unit_h for one in near), default=1.0)

    x = max((0.5 + side * (0.18 + 0.2 * rng.random()) for _ in range(6)), key=sky_below)
    y = max(_BALLOON * unit_h + 0.02, min(rng.uniform(0.3, 0.36), sky_below(x) - 0.03))
    return _Place("balloon", x, y, _BALLOON, rng.getrandbits(32))


def _foot(figure: str, depth: float, size: tuple[int, int]) -> float:
    """Large things stand further back; near and far differ enough to look like a place."""
    back = 0.045 if figure in {"house", "tree", "pine"} else 0.0
    tall = size[1] / min(size)
    return 1 - (0.205 - 0.125 * depth + back) / math.sqrt(tall)


def _width(figure: str) -> float:
    if figure in {"adult", "worker", "child"}:
        return PERSON_WIDTH
    return _ANIMAL_WIDTH if figure in _ANIMALS else THINGS[figure][1]


# --- the setting -----------------------------------------------------------------------------------------------------------


def _landscape(palette: Palette, sun: Figure, rng: random.Random, size: tuple[int, int], *, sea: bool) -> Image.Image:
    """Paint sky, sun, clouds, hills and ground, or water before them."""
    width, height = size
    horizon = rng.uniform(0.55, 0.58)
    image = Image.new("RGB", size, palette.sky[2])
    image.paste(gradient((width, round(height * horizon) + 1), palette.sky), (0, 0))
    _shine(image, palette, sun)
    image = _clouds(image, rng, horizon)
    for index in range(2):
        # Hills in the haze stay behind everybody: far paler than clothes, and below most heads.
        color = mix(palette.hills[index], palette.sky[2], 0.78 - 0.14 * index)
        _ridge(image, horizon + 0.035 * index, 0.04 - 0.015 * index, (color, mix(color, palette.sky[2], 0.35)), rng)
    if sea:
        water = (mix(palette.sky[1], (44, 108, 140), 0.45), mix(palette.sky[0], (30, 96, 128), 0.55))
        top, bottom = round(height * (horizon + 0.02)), round(height * 0.72)
        image.paste(gradient((width, bottom - top), water), (0, top))
    _ridge(image, 0.66 if sea else horizon + 0.085, 0.014, palette.ground, rng)
    return image


def _clouds(image: Image.Image, rng: random.Random, horizon: float) -> Image.Image:
    """Lay a few thin, soft clouds over the sky."""
    width, height = (max(1, side // _SHADOW_REDUCTION) for side in image.size)
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    for _ in range(3):
        x, y, long = rng.uniform(0, 1), rng.uniform(0.06, horizon - 0.16), rng.uniform(0.08, 0.16)
        for shift in (-0.6, -0.1, 0.4):
            half = (long * rng.uniform(0.5, 0.9) * width, 0.018 * rng.uniform(0.7, 1.4) * height)
            middle = ((x + shift * long) * width, (y + rng.uniform(-0.01, 0.01)) * height)
            draw.ellipse((middle[0] - half[0], middle[1] - half[1], middle[0] + half[0], middle[1] + half[1]), fill=120)
    soft = layer.filter(ImageFilter.GaussianBlur(min(width, height) * 0.018)).resize(
        image.size, Image.Resampling.BILINEAR
    )
    return Image.composite(ImageChops.screen(image, Image.new("RGB", image.size, (150, 150, 150))), image, soft)


def _sun_disc(middle: tuple[float, float], size: tuple[int, int]) -> Figure:
    """Give the sun, as large in every scene; `middle` is in shares of width and height."""
    disc = max(4, round(min(size) * _SUN))
    mask = Image.new("L", (disc * 4, disc * 4))
    ImageDraw.Draw(mask).ellipse((4, 4, disc * 4 - 5, disc * 4 - 5), fill=255)
    x, y = round(middle[0] * size[0]), round(middle[1] * size[1])
    return Figure("sun", (x - disc // 2, y - disc // 2), mask.reduce(4))


def _shine(image: Image.Image, palette: Palette, sun: Figure) -> None:
    """Paint the sun and the light around it."""
    halo, disc = min(image.size), sun.alpha.width
    spot = tuple(side + disc // 2 - halo // 2 for side in sun.spot_xy)
    light = glow(halo).point([value * 150 // 255 for value in range(256)])
    image.paste(Image.new("RGB", (halo, halo), palette.sun), (spot[0], spot[1]), light)
    image.paste(mix(palette.sun, (255, 255, 255), 0.4), sun.spot_xy, sun.alpha)


def _ridge(image: Image.Image, line: float, swing: float, colors: tuple[Color, Color], rng: random.Random) -> None:
    """Paint everything below a gently waved line, with a gradient downwards."""
    waves = [
        (rng.uniform(0.7, 1.6), rng.uniform(0, math.tau), 0.65),
        (rng.uniform(2.0, 3.4), rng.uniform(0, math.tau), 0.35),
    ]
    width, height = image.size
    points = [
        (
            step / 64 * width * 2,
            (line - swing * sum(part * math.sin(math.tau * pace * step / 64 + start) for pace, start, part in waves))
            * height
            * 2,
        )
        for step in range(65)
    ]
    mask = Image.new("L", (width * 2, height * 2))
    ImageDraw.Draw(mask).polygon([*points, (width * 2, height * 2), (0, height * 2)], fill=255)
    top = max(0, round((line - swing) * height))
    slope = Image.new("RGB", image.size, colors[0])
    slope.paste(gradient((width, height - top), colors), (0, top))
    image.paste(slope, (0, 0), mask.reduce(2))


def _room(palette: Palette, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """A quiet wall and floor with a soft light on them."""
    width, height = size
    wall = mix(palette.sky[2], rng.choice(palette.accents), 0.3)
    floor = mix(mix(palette.ground[0], palette.sky[2], 0.3), wall, 0.25)
    line = round(height * rng.uniform(0.66, 0.7))
    image = gradient(size, (mix(wall, (30, 30, 44), 0.16), wall, mix(wall, (255, 255, 255), 0.12)))
    image.paste(
        gradient((width, height - line), (mix(floor, (30, 30, 44), 0.14), floor, mix(floor, (30, 30, 44), 0.1))),
        (0, line),
    )
    seam = ImageDraw.Draw(image)
    thick = max(1, round(min(size) * 0.008))
    seam.rectangle((0, line - thick, width, line), fill=mix(wall, (255, 255, 255), 0.12))
    light = glow(round(max(size) * 1.3)).point([value * 110 // 255 for value in range(256)])
    place = (round(width * rng.uniform(0.25, 0.6)) - light.width // 2, round(height * 0.32) - light.height // 2)
    image.paste(Image.new("RGB", light.size, palette.sun), place, light)
    return image


# --- the figures -------------------------------------------------------------------------------------------------------------


def _shadows(image: Image.Image, places: list[_Place]) -> Image.Image:
    """Lay a soft shadow to the right of everything that stands, and a dark one right under it."""
    width, height = (max(1, side // _SHADOW_REDUCTION) for side in image.size)
    unit = min(width, height)
    layer = Image.new("L", (width, height))
    draw = ImageDraw.Draw(layer)
    for place in places:
        if place.kind != "balloon":
            x, y, tall = place.x * width, place.y * height, place.height * unit
            half = tall * _width(place.kind) * 0.42
            draw.ellipse((x - half * 0.9, y - half * 0.16, x + half * 1.7, y + half * 0.2), fill=64)
    layer = layer.filter(ImageFilter.GaussianBlur(unit * 0.014))
    draw = ImageDraw.Draw(layer)
    for place in places:
        if place.kind != "balloon":
            x, y, half = place.x * width, place.y * height, place.height * unit * _width(place.kind) * 0.34
            draw.ellipse((x - half, y - half * 0.08, x + half * 1.1, y + half * 0.1), fill=72)
    layer = layer.filter(ImageFilter.GaussianBlur(unit * 0.006)).resize(image.size, Image.Resampling.BILINEAR)
    return Image.composite(ImageChops.multiply(image, Image.new("RGB", image.size, (96, 92, 116))), image, layer)


def _drawn(place: _Place, accents: tuple[Color, ...], image: Image.Image) -> Figure:
    """Draw one figure and paste it where it stands."""
    rng = random.Random(place.seed)
    unit = min(image.size)
    pen = Pen(_width(place.kind), max(4, round(place.height * unit)), max(1, round(_LINE * unit)))
    if place.kind in {"adult", "worker", "child"}:
        person(pen, random_look(rng, accents, child=place.kind == "child", worker=place.kind == "worker"))
    elif place.kind in _ANIMALS:
        animal(pen, place.kind, mix(_ANIMALS[place.kind], accents[0], 0.1))
    else:
        THINGS[place.kind][0](pen, rng, accents[0])
    tile, (foot_x, foot_y) = pen.finish(), pen.foot()
    spot = (round(place.x * image.width - foot_x), round(place.y * image.height - foot_y))
    image.paste(tile, spot, tile)
    return Figure(place.kind, spot, tile.getchannel("A"))
