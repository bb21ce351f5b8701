"""One object of an image, and which of many to keep."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from sdclient.errors import ConfigurationError
from sdclient.segment.masks import CocoRle, MaskHW, MaskRuns, runs_from_mask

__all__ = ["SegmentedObject", "select_objects"]


@dataclass(frozen=True, slots=True)
class SegmentedObject:
    """One object found in an image.

    The mask is kept as runs, so that hundreds of objects of a large image fit into memory; `mask_hw` decodes it anew
    each time it is asked for.

    Attributes:
        runs: The mask, of the whole image's size.
        area_px: Number of pixels of the object.
        bbox_xywh: The smallest box that holds it: x and y of its top left pixel, width, height.
        score: How good the segmenter thinks the mask is, 0 to 1 (SAM: predicted IoU; classical: contrast).
        stability_score: SAM: how little the mask changes with its threshold, 0 to 1. None where a segmenter has none.
        point_xy: The point in the image the mask was grown from, where there was one.
        crop_box_xywh: The part of the image the segmenter looked at, where that was not the whole image.
        label: What it is, where that was asked for or found out: a word, or the name of a prompt.
    """

    runs: MaskRuns
    area_px: int
    bbox_xywh: tuple[int, int, int, int]
    score: float
    stability_score: float | None = None
    point_xy: tuple[float, float] | None = None
    crop_box_xywh: tuple[int, int, int, int] | None = None
    label: str = ""

    @classmethod
    def from_mask(
        cls,
        mask_hw: MaskHW,
        *,
        score: float,
        stability_score: float | None = None,
        point_xy: tuple[float, float] | None = None,
        crop_box_xywh: tuple[int, int, int, int] | None = None,
        label: str = "",
    ) -> SegmentedObject:
        """Make an object from its mask; area and box are counted.

        Args:
            mask_hw: bool, shape (H, W) of the whole image, True where the object is.
            score: 0 to 1.
            stability_score: 0 to 1, or None.
            point_xy: In pixels of the image.
            crop_box_xywh: In pixels of the image.
            label: What it is.

        Raises:
            SegmentationError: If `mask_hw` is not such an array.
        """
        runs = runs_from_mask(mask_hw)
        return cls(runs, runs.area_px, runs.bbox_xywh, score, stability_score, point_xy, crop_box_xywh, label)

    def with_runs(self, runs: MaskRuns) -> SegmentedObject:
        """Return the object with another mask of the same image; area and box are counted anew."""
        return replace(self, runs=runs, area_px=runs.area_px, bbox_xywh=runs.bbox_xywh)

    @property
    def touches_edge(self) -> bool:
        """True where the object reaches the image's edge."""
        x, y, width_px, height_px = self.bbox_xywh
        return min(x, y) == 0 or y + height_px == self.runs.size_hw[0] or x + width_px == self.runs.size_hw[1]

    @property
    def mask_hw(self) -> MaskHW:
        """A new bool array, shape (H, W) of the whole image, True where the object is; row 0 is the top."""
        return self.runs.decode()

    @property
    def rle(self) -> CocoRle:
        """The mask in COCO's uncompressed run-length form."""
        return self.runs.to_coco()

    @property
    def area_fraction(self) -> float:
        """The object's share of the image, above 0 and at most 1."""
        height_px, width_px = self.runs.size_hw
        return self.area_px / (height_px * width_px)


def select_objects(
    objects: Iterable[SegmentedObject],
    *,
    min_area_fraction: float = 0.0,
    max_area_fraction: float = 1.0,
    min_score: float = 0.0,
    drop_border: bool = False,
    top_n: int | None = None,
) -> list[SegmentedObject]:
    """Choose objects and put them in order, largest first.

    The result depends on the objects alone, not on the order they come in: where areas are equal the higher score
    comes first, then the box further up, then the one further left.

    Args:
        objects: What a segmenter found in one image.
        min_area_fraction: Smallest share of the image an object may have, 0 to 1.
        max_area_fraction: Largest share of the image an object may have, 0 to 1.
        min_score: Lowest score an object may have.
        drop_border: Leave out what reaches the image's edge.
        top_n: How many to keep at most, the largest; None keeps all.

    Raises:
        ConfigurationError: If a limit is out of its range, or the smallest share is above the largest.
    """
    if not 0 <= min_area_fraction <= max_area_fraction <= 1:
        raise ConfigurationError(
            "areas to keep: 0 <= min_area_fraction <= max_area_fraction <= 1 must hold, "
            f"not {min_area_fraction:g} and {max_area_fraction:g}"
        )
    if top_n is not None and top_n < 0:
        raise ConfigurationError(f"objects to keep: top_n must be at least 0, not {top_n}")
    kept = [
        item
        for item in objects
        if item.area_px > 0 and min_area_fraction <= item.area_fraction <= max_area_fraction and item.score >= min_score
        if not (drop_border and item.touches_edge)
    ]
    return sorted(kept, key=_place)[:top_n]


def _place(item: SegmentedObject) -> tuple[int, float, int, int, bytes]:
    # The runs come last: they tell apart even objects of the same area, score and corner.
    x, y, _, _ = item.bbox_xywh
    return (-item.area_px, -item.score, y, x, item.runs.counts.tobytes())
