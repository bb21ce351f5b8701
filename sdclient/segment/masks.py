"""Masks as plain arrays and as runs: pure numpy, no image, no model.

A mask is `mask_hw`: bool, shape (H, W) of the source image, True where the object is; row 0 is the top.
Its runs follow COCO's uncompressed form: the image read column by column (top to bottom, then left to right),
as the lengths of alternating stretches of False and True. The first stretch is always False, so it is 0 long where
the top left pixel belongs to the object.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TypedDict, cast

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import CodecError, SegmentationError
from sdclient.segment.doors import require_cv2

__all__ = [
    "CocoRle",
    "MaskHW",
    "MaskRuns",
    "bbox_xywh_from_mask",
    "check_mask",
    "decode_rle",
    "encode_rle",
    "fill_holes",
    "remove_islands",
    "runs_from_box",
    "runs_from_coco",
    "runs_from_mask",
]

MaskHW = NDArray[np.bool_]

# Height and width.
_MASK_AXES = 2

# Counts are stored in 32 bits; an image of more pixels than that is refused long before it gets here.
_MAX_PIXELS = 2**32 - 1


class CocoRle(TypedDict):
    """A mask in COCO's uncompressed run-length form, ready for JSON.

    Attributes:
        size: `[height_px, width_px]`.
        counts: Run lengths in column-major order, the first one False; they add up to height x width.
    """

    size: list[int]
    counts: list[int]


@dataclass(frozen=True, slots=True, eq=False)
class MaskRuns:
    """A mask kept as runs: some kilobytes where the array would be megabytes.

    Attributes:
        size_hw: Height and width of the whole image, in pixels.
        counts: uint32, shape (N,), alternating False and True run lengths, column-major, the first one False.
    """

    size_hw: tuple[int, int]
    counts: NDArray[np.uint32]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, MaskRuns):
            return NotImplemented
        return self.size_hw == other.size_hw and np.array_equal(self.counts, other.counts)

    def __hash__(self) -> int:
        return hash((self.size_hw, self.counts.tobytes()))

    @property
    def area_px(self) -> int:
        """Number of pixels of the object."""
        return int(self.counts[1::2].sum(dtype=np.int64))

    @property
    def bbox_xywh(self) -> tuple[int, int, int, int]:
        """The smallest box that holds the object, `(x, y, width, height)` in pixels; all 0 for an empty mask."""
        height_px = self.size_hw[0]
        starts, ends = self._ones()
        if not starts.size:
            return (0, 0, 0, 0)
        first_column, last_column = int(starts[0]) // height_px, int(ends[-1] - 1) // height_px
        # A run that goes on into the next column holds the foot of the one and the head of the other.
        if bool(np.any(starts // height_px != (ends - 1) // height_px)):
            top, bottom = 0, height_px - 1
        else:
            top, bottom = int((starts % height_px).min()), int(((ends - 1) % height_px).max())
        return (first_column, top, last_column - first_column + 1, bottom - top + 1)

    def decode(self) -> MaskHW:
        """Return the mask as a new bool array of shape (H, W), C order."""
        return self.decode_columns(0, self.size_hw[1])

    def decode_columns(self, first: int, stop: int) -> MaskHW:
        """Return columns `first` to `stop` (exclusive) of the mask, shape (H, stop - first), C order."""
        height_px = self.size_hw[0]
        edges = np.cumsum(self.counts, dtype=np.int64)
        inside = np.minimum(np.maximum(edges, first * height_px), stop * height_px)
        lengths = np.diff(inside, prepend=first * height_px)
        values = (np.arange(lengths.size) & 1).astype(np.bool_)
        columns = np.reshape(np.repeat(values, lengths), (stop - first, height_px))
        return np.ascontiguousarray(np.transpose(columns))

    def decode_box(self) -> MaskHW:
        """Return the mask inside its own `bbox_xywh`, shape (height, width) of that box."""
        x, y, width_px, height_px = self.bbox_xywh
        return self.decode_columns(x, x + width_px)[y : y + height_px]

    def overlap_px(self, other: MaskRuns) -> int:
        """Return how many pixels two masks of images of one size have in common."""
        starts, ends = self._ones()
        edges = np.concatenate([[0], np.cumsum(other.counts, dtype=np.int64)])
        # How many pixels of the other mask lie before each of its edges; straight lines in between.
        before = np.concatenate([[0], np.cumsum(other.counts * (np.arange(other.counts.size) & 1), dtype=np.int64)])
        return round(float((np.interp(ends, edges, before) - np.interp(starts, edges, before)).sum()))

    def to_coco(self) -> CocoRle:
        """Return the runs as COCO's uncompressed dictionary of plain Python numbers."""
        return {"size": [int(side) for side in self.size_hw], "counts": [int(count) for count in self.counts.tolist()]}

    def _ones(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return first and one-past-last column-major index of every True run that is not empty."""
        edges = np.cumsum(self.counts, dtype=np.int64)
        pairs = np.reshape(edges[: edges.size // 2 * 2], (-1, 2))
        pairs = pairs[pairs[:, 0] < pairs[:, 1]]
        return pairs[:, 0], pairs[:, 1]


def check_mask(mask_hw: MaskHW) -> None:
    """Refuse what is no mask.

    Raises:
        SegmentationError: If `mask_hw` is not a bool array of shape (H, W) with at least one pixel.
    """
    if mask_hw.dtype != np.bool_ or mask_hw.ndim != _MASK_AXES or not 0 < mask_hw.size <= _MAX_PIXELS:
        raise SegmentationError(
            f"a mask must be a bool array of shape (height, width), not {mask_hw.dtype} {mask_hw.shape}: "
            "use `array > 0` to make one"
        )


def runs_from_mask(mask_hw: MaskHW) -> MaskRuns:
    """Encode a mask as runs.

    Args:
        mask_hw: bool, shape (H, W), True where the object is.

    Raises:
        SegmentationError: If `mask_hw` is not such an array.
    """
    check_mask(mask_hw)
    columns = np.flatnonzero(mask_hw.any(axis=0))
    if not columns.size:
        return MaskRuns((mask_hw.shape[0], mask_hw.shape[1]), np.array([mask_hw.size], dtype=np.uint32))
    # Only the columns that hold something are turned column-major: that copy is most of the cost.
    first, stop = int(columns[0]), int(columns[-1]) + 1
    return _runs_of_columns(mask_hw[:, first:stop], first, mask_hw.shape[1])


def runs_from_box(box_mask: MaskHW, corner_xy: tuple[int, int], size_hw: tuple[int, int]) -> MaskRuns:
    """Encode a mask that is empty outside one box.

    Args:
        box_mask: bool, shape (h, w), True where the object is.
        corner_xy: Where the box's top left pixel lies in the image, in pixels.
        size_hw: Height and width of the image, in pixels.

    Raises:
        SegmentationError: If `box_mask` is not such an array or does not lie inside the image.
    """
    check_mask(box_mask)
    (height_px, width_px), (x, y) = box_mask.shape, corner_xy
    if x < 0 or y < 0 or x + width_px > size_hw[1] or y + height_px > size_hw[0]:
        raise SegmentationError(
            f"a mask of {width_px} x {height_px} px at ({x}, {y}) does not lie inside an image of "
            f"{size_hw[1]} x {size_hw[0]} px"
        )
    columns = np.zeros((size_hw[0], width_px), dtype=np.bool_)
    columns[y : y + height_px] = box_mask
    return _runs_of_columns(columns, x, size_hw[1])


def _runs_of_columns(columns: MaskHW, first: int, image_width_px: int) -> MaskRuns:
    """Encode an image of which only some columns, the first of them at `first`, hold anything."""
    height_px, width_px = columns.shape
    # OpenCV turns an array in blocks that fit the processor's cache, an order of magnitude faster than numpy.
    flat = cast("NDArray[np.uint8]", require_cv2().transpose(columns.astype(np.uint8, order="C"))).ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1 + first * height_px
    stop = first + width_px
    pixels = height_px * image_width_px
    head = [first * height_px] if flat[0] else []
    tail = [stop * height_px] if flat[-1] and stop < image_width_px else []
    marks = np.concatenate([[0], head, edges, tail, [pixels]]).astype(np.int64)
    return MaskRuns((height_px, image_width_px), np.diff(marks).astype(np.uint32))


def encode_rle(mask_hw: MaskHW) -> CocoRle:
    """Encode a mask in COCO's uncompressed run-length form.

    Args:
        mask_hw: bool, shape (H, W), True where the object is.

    Returns:
        `{"size": [H, W], "counts": [...]}`, plain numbers, column-major, the first run False.

    Raises:
        SegmentationError: If `mask_hw` is not such an array.
    """
    return runs_from_mask(mask_hw).to_coco()


def runs_from_coco(rle: CocoRle) -> MaskRuns:
    """Read COCO's uncompressed run-length form.

    Raises:
        CodecError: If a key is missing, a number is not a whole number of at least 0, or the counts do not add up to
            height x width.
    """
    try:
        height_px, width_px = (operator.index(side) for side in rle["size"])
        counts = [operator.index(count) for count in rle["counts"]]
    except (KeyError, TypeError, ValueError) as exc:
        raise CodecError(
            f"run lengths must be {{'size': [height, width], 'counts': [...]}} of whole numbers: {exc}"
        ) from exc
    pixels = height_px * width_px
    if min(height_px, width_px) < 1 or pixels > _MAX_PIXELS or min(counts, default=0) < 0 or sum(counts) != pixels:
        raise CodecError(
            f"run lengths of a {height_px} x {width_px} mask add up to {sum(counts)}, not to {pixels}: "
            "the file is damaged or belongs to another image"
        )
    return MaskRuns((height_px, width_px), np.array(counts, dtype=np.uint32))


def decode_rle(rle: CocoRle) -> MaskHW:
    """Decode COCO's uncompressed run-length form: what `encode_rle` made comes back.

    Returns:
        bool, shape (H, W), a new array in C order.

    Raises:
        CodecError: If `rle` is damaged.
    """
    return runs_from_coco(rle).decode()


def bbox_xywh_from_mask(mask_hw: MaskHW) -> tuple[int, int, int, int]:
    """Return the smallest box that holds the mask, `(x, y, width, height)` in pixels; all 0 for an empty mask."""
    columns = np.flatnonzero(mask_hw.any(axis=0))
    if not columns.size:
        return (0, 0, 0, 0)
    rows = np.flatnonzero(mask_hw[:, columns[0] : columns[-1] + 1].any(axis=1))
    x, y = int(columns[0]), int(rows[0])
    return (x, y, int(columns[-1]) - x + 1, int(rows[-1]) - y + 1)


def fill_holes(mask_hw: MaskHW, max_area_px: int) -> MaskHW:
    """Return a copy in which every hole of at most `max_area_px` pixels is filled.

    A hole is background that does not touch the image's edge. Regions are joined over their sides, not their corners,
    so a line of one pixel closes a hole.
    """
    cv2 = require_cv2()
    _, labels, stats, _ = cv2.connectedComponentsWithStats((~mask_hw).astype(np.uint8), connectivity=4)
    small = stats[:, cv2.CC_STAT_AREA] <= max_area_px
    height_px, width_px = mask_hw.shape
    inside = (stats[:, cv2.CC_STAT_LEFT] > 0) & (stats[:, cv2.CC_STAT_TOP] > 0)
    inside &= stats[:, cv2.CC_STAT_LEFT] + stats[:, cv2.CC_STAT_WIDTH] < width_px
    inside &= stats[:, cv2.CC_STAT_TOP] + stats[:, cv2.CC_STAT_HEIGHT] < height_px
    fill = small & inside
    # Label 0 is the object itself.
    fill[0] = False
    return np.asarray(mask_hw | fill[labels], dtype=np.bool_)


def remove_islands(mask_hw: MaskHW, min_area_px: int) -> MaskHW:
    """Return a copy without the separate pieces smaller than `min_area_px` pixels; the largest piece always stays."""
    cv2 = require_cv2()
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask_hw.astype(np.uint8), connectivity=8)
    if count <= 1:
        return np.array(mask_hw)
    areas = stats[:, cv2.CC_STAT_AREA]
    keep = areas >= min_area_px
    keep[1 + int(np.argmax(areas[1:]))] = True
    # Label 0 is what was no object before.
    keep[0] = False
    return np.asarray(keep[labels], dtype=np.bool_)
