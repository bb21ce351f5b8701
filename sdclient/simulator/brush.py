"""Drawing tools of the painter: colours, gradients, smooth outlines, shaded cut-outs."""

from __future__ import annotations

import colorsys
import random
from collections.abc import Sequence

from PIL import Image, ImageChops, ImageDraw, ImageFilter

__all__ = ["Color", "Pen", "Point", "glow", "gradient", "hsv", "mix", "soft_field", "spline"]

Color = tuple[int, int, int]
Point = tuple[float, float]

_OVERSAMPLING = 3
_SPLINE_STEPS = 10
_MARGIN = 0.04
_INK: Color = (72, 58, 60)
_EIGHT_WAYS = ((1.0, 0.0), (0.7, 0.7), (0.0, 1.0), (-0.7, 0.7), (-1.0, 0.0), (-0.7, -0.7), (0.0, -1.0), (0.7, -0.7))


def hsv(hue: float, saturation: float, value: float) -> Color:
    """Give the RGB colour (0 to 255) of hue, saturation and value (0 to 1; the hue wraps around)."""
    red, green, blue = colorsys.hsv_to_rgb(hue % 1.0, min(1.0, max(0.0, saturation)), min(1.0, max(0.0, value)))
    return round(red * 255), round(green * 255), round(blue * 255)


def mix(first: Color, second: Color, share: float) -> Color:
    """Go from `first` to `second` by `share` (0 to 1)."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(first, second, strict=True))
    return red, green, blue


def gradient(size: tuple[int, int], stops: Sequence[Color]) -> Image.Image:
    """Fill an image from top to bottom with evenly spaced colours."""
    column = Image.new("RGB", (1, len(stops)))
    column.putdata(list(stops))
    # The box cuts half a pixel off both ends, so that the outer colours are reached exactly at the edges.
    return column.resize(size, Image.Resampling.BILINEAR, box=(0, 0.5, 1, len(stops) - 0.5))


def glow(diameter: int) -> Image.Image:
    """Give a round mask that is white in the middle and fades to black at its rim."""
    disc = Image.radial_gradient("L").resize((max(1, diameter), max(1, diameter)), Image.Resampling.BILINEAR)
    return disc.point([max(0, 255 - value * 361 // 255) ** 2 // 255 for value in range(256)])


def soft_field(rng: random.Random, cells: int, size: tuple[int, int]) -> Image.Image:
    """Give a grey image of soft random clouds around 128, `cells` patches along each side."""
    small = Image.frombytes("L", (cells, cells), rng.randbytes(cells * cells))
    return small.resize(size, Image.Resampling.BICUBIC)


def spline(points: Sequence[Point]) -> list[Point]:
    """Round a closed outline off with a Catmull-Rom curve through all of its points."""
    count = len(points)
    curve: list[Point] = []
    for index in range(count):
        before, start, end, after = (points[(index + step) % count] for step in (-1, 0, 1, 2))
        for step in range(_SPLINE_STEPS):
            t = step / _SPLINE_STEPS
            x, y = (_catmull(t, (before[a], start[a], end[a], after[a])) for a in (0, 1))
            curve.append((x, y))
    return curve


def _catmull(t: float, p: tuple[float, float, float, float]) -> float:
    linear = p[2] - p[0]
    square = 2 * p[0] - 5 * p[1] + 4 * p[2] - p[3]
    cube = 3 * p[1] - p[0] - 3 * p[2] + p[3]
    return (2 * p[1] + linear * t + square * t * t + cube * t * t * t) / 2


class Pen:
    """Draws one figure, larger than needed, and hands it out smooth and softly shaded.

    Coordinates are the figure's own: x from -width/2 to width/2, y from 0 at its foot up to 1.

    Args:
        width: Width of the figure, where its height is 1.
        height_px: Height of the figure in the finished image.
        line_px: Width of the dark line drawn around it, in pixels of the finished image.
    """

    def __init__(self, width: float, height_px: int, line_px: int = 1) -> None:
        self._line_px = line_px
        self._scale = height_px * _OVERSAMPLING
        self._width = width + 2 * _MARGIN
        size = (round(self._width * self._scale), round((1 + 2 * _MARGIN) * self._scale))
        padded = [side + -side % _OVERSAMPLING for side in size]
        self._tile = Image.new("RGBA", (max(_OVERSAMPLING, padded[0]), max(_OVERSAMPLING, padded[1])))
        self._draw = ImageDraw.Draw(self._tile)

    def oval(self, middle: Point, radii: Point, color: Color) -> None:
        """Fill an ellipse."""
        (x, y), (rx, ry) = middle, radii
        left, top = self._at((x - rx, y + ry))
        right, bottom = self._at((x + rx, y - ry))
        self._draw.ellipse((left, top, right, bottom), fill=color)

    def box(self, low: Point, high: Point, color: Color, *, radius: float = 0.0) -> None:
        """Fill a rectangle given by two corners, with rounded corners if asked."""
        left, top = self._at((low[0], high[1]))
        right, bottom = self._at((high[0], low[1]))
        self._draw.rounded_rectangle((left, top, right, bottom), radius=radius * self._scale, fill=color)

    def shape(self, points: Sequence[Point], color: Color) -> None:
        """Fill a polygon with straight edges."""
        self._draw.polygon([self._at(point) for point in points], fill=color)

    def blob(self, points: Sequence[Point], color: Color) -> None:
        """Fill a smooth closed outline through the points."""
        self.shape(spline(points), color)

    def stroke(self, points: Sequence[Point], width: float, color: Color) -> None:
        """Draw a line with round joints and ends."""
        pixels = max(1, round(width * self._scale))
        path = [self._at(point) for point in points]
        self._draw.line(path, fill=color, width=pixels, joint="curve")
        for x, y in (path[0], path[-1]):
            self._draw.ellipse((x - pixels / 2, y - pixels / 2, x + pixels / 2, y + pixels / 2), fill=color)

    def finish(self) -> Image.Image:
        """Scale down, shade (light from the upper left, dark at the lower right), and draw a line around it. RGBA."""
        tile = self._tile.reduce(_OVERSAMPLING)
        alpha = tile.getchannel("A")
        depth = max(1, round(tile.height * 0.018))
        dark = _rim(alpha, -depth).point([value * 95 // 255 for value in range(256)])
        light = _rim(alpha, depth).point([value * 85 // 255 for value in range(256)])
        body = tile.convert("RGB")
        slope = Image.linear_gradient("L").rotate(90).resize(tile.size, Image.Resampling.BILINEAR)
        body = ImageChops.multiply(body, slope.point([255 - value * 42 // 255 for value in range(256)]).convert("RGB"))
        body = Image.composite(ImageChops.multiply(body, body), body, dark)
        body = Image.composite(ImageChops.screen(body, body), body, light)
        whole = Image.new("RGB", tile.size, _INK)
        whole.paste(body, (0, 0), alpha)
        whole.putalpha(_widened(alpha, self._line_px))
        return whole

    def foot(self) -> Point:
        """Where the figure's foot is within the finished tile, in pixels."""
        return self._width * self._scale / _OVERSAMPLING / 2, (1 + _MARGIN) * self._scale / _OVERSAMPLING

    def _at(self, point: Point) -> Point:
        return (point[0] + self._width / 2) * self._scale, (1 + _MARGIN - point[1]) * self._scale


def _widened(alpha: Image.Image, by_px: int) -> Image.Image:
    """The mask together with a band of some pixels around it."""
    wide = alpha
    for dx, dy in _EIGHT_WAYS:
        moved = Image.new("L", alpha.size)
        moved.paste(alpha, (round(dx * by_px), round(dy * by_px)))
        wide = ImageChops.lighter(wide, moved)
    return wide


def _rim(alpha: Image.Image, shift: int) -> Image.Image:
    """The band inside the outline that a copy shifted down and right by `shift` pixels leaves free, blurred."""
    moved = Image.new("L", alpha.size)
    moved.paste(alpha, (shift, shift))
    band = ImageChops.subtract(alpha, moved)
    return ImageChops.multiply(band.filter(ImageFilter.BoxBlur(abs(shift) * 0.8)), alpha)
