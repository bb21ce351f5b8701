"""Which of the objects that were found are kept, and in what shape: mended, chosen, and told apart as wholes and parts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sdclient.segment.masks import MaskHW, fill_holes, remove_islands, runs_from_box
from sdclient.segment.objects import SegmentedObject, select_objects
from sdclient.segment.settings import SegmentSettings

__all__ = ["choose_objects", "find_parents", "mend_object"]

# A part lies inside its whole with at least this share of its pixels; masks of one outline differ by a rim.
_INSIDE = 0.9


def choose_objects(
    objects: Iterable[SegmentedObject], settings: SegmentSettings, *, visible_hw: MaskHW | None = None
) -> list[SegmentedObject]:
    """Mend the objects of one image, choose among them, and put them in order, largest first.

    Args:
        objects: What a segmenter found in one image.
        settings: What to mend and what to keep.
        visible_hw: bool, shape (H, W): where the image is not wholly transparent; objects are cut to it. None: everywhere.
    """
    fill, drop = settings.fill_holes_px, settings.drop_islands_px
    mended = (mend_object(item, fill_holes_px=fill, drop_islands_px=drop, visible_hw=visible_hw) for item in objects)
    kept = select_objects(
        mended,
        min_area_fraction=settings.min_area_fraction,
        max_area_fraction=settings.max_area_fraction,
        min_score=settings.min_score,
        drop_border=settings.drop_border,
    )
    if settings.nested != "both":
        parents = find_parents(kept)
        wholes = set(parents)
        is_kept = {
            "wholes": [parent is None for parent in parents],
            "parts": [index not in wholes for index in range(len(kept))],
        }[settings.nested]
        kept = [item for item, keep in zip(kept, is_kept, strict=True) if keep]
    return kept[: settings.top_n]


def mend_object(
    item: SegmentedObject, *, fill_holes_px: int = 0, drop_islands_px: int = 0, visible_hw: MaskHW | None = None
) -> SegmentedObject:
    """Return an object with its small holes filled and its small separate pieces dropped, as far as it can be seen.

    Args:
        item: The object.
        fill_holes_px: Holes of at most this many pixels are filled; 0 leaves them.
        drop_islands_px: Pieces of fewer pixels are dropped, the largest stays; 0 leaves them.
        visible_hw: bool, shape (H, W): where the image is not wholly transparent. None: everywhere.
    """
    if not item.area_px or not (fill_holes_px or drop_islands_px or visible_hw is not None):
        return item
    # What is empty at the edge of the object's own box is open to the outside: the box is as good as the whole image.
    mask = item.runs.decode_box()
    x, y, width_px, height_px = item.bbox_xywh
    visible = None if visible_hw is None else visible_hw[y : y + height_px, x : x + width_px]
    if visible is not None:
        mask &= visible
    if drop_islands_px:
        mask = remove_islands(mask, drop_islands_px)
    if fill_holes_px:
        mask = fill_holes(mask, fill_holes_px)
    if visible is not None:
        # What looked like a hole may be one in the image.
        mask &= visible
    return item.with_runs(runs_from_box(mask, item.bbox_xywh[:2], item.runs.size_hw))


def find_parents(objects: Sequence[SegmentedObject]) -> list[int | None]:
    """Return for each object the place of the smallest larger one that it lies in; None where there is none.

    Args:
        objects: Of one image, largest first.

    Returns:
        Indices into `objects`, each smaller than the index it belongs to.
    """
    parents: list[int | None] = []
    for index, item in enumerate(objects):
        larger = (place for place in range(index - 1, -1, -1) if objects[place].area_px > item.area_px)
        parents.append(next((place for place in larger if _lies_in(item, objects[place])), None))
    return parents


def _lies_in(item: SegmentedObject, whole: SegmentedObject) -> bool:
    # Boxes are compared first: for most pairs that settles it.
    x, y, width, height = item.bbox_xywh
    left, top, wide, high = whole.bbox_xywh
    common_w = min(x + width, left + wide) - max(x, left)
    common_h = min(y + height, top + high) - max(y, top)
    if common_w <= 0 or common_h <= 0 or common_w * common_h < _INSIDE * item.area_px:
        return False
    return item.runs.overlap_px(whole.runs) >= _INSIDE * item.area_px
