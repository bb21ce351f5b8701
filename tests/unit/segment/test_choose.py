from __future__ import annotations

import numpy as np
import pytest

from sdclient.segment import SegmentedObject, SegmentSettings
from sdclient.segment.choose import choose_objects, find_parents, mend_object
from sdclient.segment.masks import runs_from_mask

SIZE_HW = (60, 80)


def box(x: int, y: int, width: int, height: int, *, score: float = 1.0) -> SegmentedObject:
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[y : y + height, x : x + width] = True
    return SegmentedObject.from_mask(mask, score=score)


WHOLE, PART, PART_OF_PART, APART = box(10, 10, 40, 40), box(15, 15, 20, 20), box(18, 18, 5, 5), box(60, 5, 10, 10)
FAMILY = [WHOLE, PART, APART, PART_OF_PART]


def settings(**changes: object) -> SegmentSettings:
    return SegmentSettings(min_area_fraction=0.0, max_area_fraction=1.0, **changes)


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        pytest.param({}, FAMILY, id="everything"),
        pytest.param({"nested": "wholes"}, [WHOLE, APART], id="wholes"),
        pytest.param({"nested": "parts"}, [APART, PART_OF_PART], id="parts"),
        pytest.param({"nested": "wholes", "top_n": 1}, [WHOLE], id="top after nesting"),
        pytest.param({"top_n": 2}, [WHOLE, PART], id="top two"),
    ],
)
def test_wholes_and_parts_are_kept_as_asked(changes: dict[str, object], kept: list[SegmentedObject]) -> None:
    assert choose_objects(reversed(FAMILY), settings(**changes)) == kept


def test_a_part_names_the_smallest_object_it_lies_in() -> None:
    assert find_parents(FAMILY) == [None, 0, None, 1]


def test_objects_of_one_size_are_nobodys_parent() -> None:
    assert find_parents([PART, PART]) == [None, None]


def test_boxes_that_overlap_while_the_masks_do_not_make_no_parent() -> None:
    ring = np.ones(SIZE_HW, np.bool_)
    ring[5:55, 5:75] = False

    assert find_parents([SegmentedObject.from_mask(ring, score=1), APART]) == [None, None]


def test_what_reaches_the_edge_is_dropped_when_asked() -> None:
    edges = [box(0, 20, 5, 5), box(20, 0, 5, 5), box(75, 20, 5, 5), box(20, 55, 5, 5)]

    assert choose_objects([*edges, APART], settings(drop_border=True)) == [APART]


def test_objects_below_the_score_are_dropped() -> None:
    unsure = box(40, 40, 30, 10, score=0.4)

    assert choose_objects([unsure, APART], settings(min_score=0.5)) == [APART]


def test_holes_are_filled_and_islands_dropped_and_the_box_is_counted_anew() -> None:
    mask = WHOLE.mask_hw
    mask[20:22, 20:22] = False
    mask[30:40, 30:40] = False
    mask[55:57, 70:72] = True
    torn = SegmentedObject.from_mask(mask, score=0.5, label="coat")

    mended = mend_object(torn, fill_holes_px=4, drop_islands_px=5)

    expected = WHOLE.mask_hw
    expected[30:40, 30:40] = False
    assert np.array_equal(mended.mask_hw, expected)
    assert (mended.bbox_xywh, mended.area_px) == (WHOLE.bbox_xywh, 1500)
    assert (mended.score, mended.label) == (0.5, "coat")


def test_a_bay_that_is_open_to_the_outside_is_no_hole() -> None:
    mask = WHOLE.mask_hw
    mask[10:13, 20:22] = False
    torn = SegmentedObject.from_mask(mask, score=1)

    assert mend_object(torn, fill_holes_px=100) == torn


@pytest.mark.parametrize("seed", range(5))
def test_runs_know_how_many_pixels_two_masks_share(seed: int) -> None:
    rng = np.random.default_rng(seed)
    one, two = rng.random((2, 23, 17)) > rng.random()

    assert runs_from_mask(one).overlap_px(runs_from_mask(two)) == int((one & two).sum())
