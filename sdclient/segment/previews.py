"""Pictures for a quick look: the image with its objects tinted, and all objects side by side."""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import SegmentationError
from sdclient.segment.doors import require_cv2
from sdclient.segment.layers import cut_layer
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.pixels import ImageRGB

__all__ = ["draw_overlay", "draw_sheet"]

_OVERLAY_PX = 1600
_TINT = 0.45
_JPEG_QUALITY = 88

# A sheet's boxes and margins, in pixels, and its largest width.
_CELL_PX = 256
_SMALLEST_CELL_PX = 48
_CAPTION_PX = 20
_GAP_PX = 8
_SHEET_PX = 4096
_CHECKER_PX = 16
_CHECKER = (225, 245)
_PAPER = 255
_HALF = 128
_INK = (40, 40, 40)

# Each colour is this much of the circle away from the one before: neighbours never look alike.
_GOLDEN = 0.618034


def draw_overlay(image_rgb: ImageRGB, objects: Sequence[SegmentedObject]) -> bytes:
    """Return a JPEG of the image, at most 1600 pixels wide and high, with every object tinted, outlined and numbered.

    Args:
        image_rgb: uint8, shape (H, W, 3), RGB.
        objects: Largest first, so that parts lie over their wholes.
    """
    cv2 = require_cv2()
    scale = min(_OVERLAY_PX / max(image_rgb.shape[:2]), 1.0)
    size = tuple(max(round(side * scale), 1) for side in image_rgb.shape[1::-1])
    drawn = np.array(cv2.resize(image_rgb, size, interpolation=cv2.INTER_AREA))
    for number, item in enumerate(objects, start=1):
        (left, top), mask = _small_mask(item, scale, drawn)
        height_px, width_px = mask.shape
        colour = _colour(number)
        window = drawn[top : top + height_px, left : left + width_px]
        tinted = window * (1 - _TINT) + np.array(colour) * _TINT
        window[mask] = tinted[mask].astype(np.uint8)
        outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(drawn, outlines, -1, colour, 1, offset=(left, top))
    for number, item in enumerate(objects, start=1):
        x, y, width_px, height_px = item.bbox_xywh
        _write(drawn, str(number), (round((x + width_px / 2) * scale), round((y + height_px / 2) * scale)))
    return _jpeg(drawn)


def draw_sheet(image_rgb: ImageRGB, objects: Sequence[SegmentedObject]) -> bytes:
    """Return a JPEG with every object in a box of its own, on a checkerboard, with its number, label and area.

    Args:
        image_rgb: uint8, shape (H, W, 3), RGB.
        objects: At least one.
    """
    cv2 = require_cv2()
    columns = math.ceil(math.sqrt(len(objects)))
    rows = math.ceil(len(objects) / columns)
    cell = max(min(_CELL_PX, _SHEET_PX // columns - _GAP_PX), _SMALLEST_CELL_PX)
    pitch_xy = (cell + _GAP_PX, cell + _CAPTION_PX + _GAP_PX)
    sheet = np.full((rows * pitch_xy[1] + _GAP_PX, columns * pitch_xy[0] + _GAP_PX, 3), _PAPER, dtype=np.uint8)
    for index, item in enumerate(objects):
        row, column = divmod(index, columns)
        x, y = _GAP_PX + column * pitch_xy[0], _GAP_PX + row * pitch_xy[1]
        sheet[y : y + cell, x : x + cell] = _cell(image_rgb, item, cell)
        caption = f"{index + 1} {item.label} {item.area_px} px".replace("  ", " ")
        # OpenCV's letters are ASCII.
        shown = caption.encode("ascii", "replace").decode()
        place = (x, y + cell + _CAPTION_PX - 6)
        cv2.putText(sheet, shown, place, cv2.FONT_HERSHEY_SIMPLEX, 0.42, _INK, 1, cv2.LINE_AA)
    return _jpeg(sheet)


def _cell(image_rgb: ImageRGB, item: SegmentedObject, cell: int) -> NDArray[np.uint8]:
    cv2 = require_cv2()
    steps = np.arange(cell) // _CHECKER_PX
    board = np.where((steps[:, np.newaxis] + steps) % 2 == 0, *_CHECKER).astype(np.float32)
    drawn = np.repeat(board[..., np.newaxis], 3, axis=2)
    rgba = cut_layer(image_rgb, item).rgba
    scale = min(cell / max(rgba.shape[:2]), 1.0)
    size = tuple(max(round(side * scale), 1) for side in rgba.shape[1::-1])
    # The layer's colours are 0 where it is transparent, so its average is already weighted by alpha.
    small = cv2.resize(rgba, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    left, top = (cell - size[0]) // 2, (cell - size[1]) // 2
    window = drawn[top : top + size[1], left : left + size[0]]
    window *= 1 - small[..., 3:] / 255
    window += small[..., :3]
    return np.asarray(np.rint(np.minimum(drawn, 255)), dtype=np.uint8)


def _small_mask(
    item: SegmentedObject, scale: float, drawn: NDArray[np.uint8]
) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    """Return an object's mask as it lies in the smaller image: where its top left pixel is, and the mask."""
    cv2 = require_cv2()
    x, y, width_px, height_px = item.bbox_xywh
    left, top = min(int(x * scale), drawn.shape[1] - 1), min(int(y * scale), drawn.shape[0] - 1)
    size = (
        min(max(round(width_px * scale), 1), drawn.shape[1] - left),
        min(max(round(height_px * scale), 1), drawn.shape[0] - top),
    )
    mask = cv2.resize(item.runs.decode_box().astype(np.uint8) * 255, size, interpolation=cv2.INTER_AREA)
    return (left, top), np.asarray(mask >= _HALF, dtype=np.bool_)


def _colour(number: int) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(number * _GOLDEN % 1, 0.85, 1.0)
    return (round(red * 255), round(green * 255), round(blue * 255))


def _write(drawn: NDArray[np.uint8], text: str, centre_xy: tuple[int, int]) -> None:
    cv2 = require_cv2()
    font, size = cv2.FONT_HERSHEY_SIMPLEX, 0.5
    (width_px, height_px), _ = cv2.getTextSize(text, font, size, 1)
    place = (centre_xy[0] - width_px // 2, centre_xy[1] + height_px // 2)
    # Dark around white can be read on anything.
    cv2.putText(drawn, text, place, font, size, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(drawn, text, place, font, size, (255, 255, 255), 1, cv2.LINE_AA)


def _jpeg(pixels_rgb: NDArray[np.uint8]) -> bytes:
    cv2 = require_cv2()
    is_done, data = cv2.imencode(".jpg", pixels_rgb[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    if not is_done:
        height_px, width_px = pixels_rgb.shape[:2]
        raise SegmentationError(f"a preview of {width_px} x {height_px} px could not be written as JPEG")
    return bytes(data.tobytes())
