from __future__ import annotations

import numpy as np
import pytest

from sdclient.errors import ConfigurationError
from sdclient.segment.objects import SegmentedObject, select_objects


def square(x: int, y: int, side: int, score: float = 0.5) -> SegmentedObject:
    mask = np.zeros((20, 20), np.bool_)
    mask[y : y + side, x : x + side] = True
    return SegmentedObject.from_mask(mask, score=score)


def test_an_object_counts_its_own_area_and_box_and_gives_its_mask_back() -> None:
    item = square(3, 5, 4)

    assert (item.area_px, item.bbox_xywh, item.area_fraction) == (16, (3, 5, 4, 4), 0.04)
    assert item.mask_hw.sum() == 16
    assert item.mask_hw[5:9, 3:7].all()
    assert item.rle["size"] == [20, 20]


def test_objects_come_largest_first_then_by_score_then_from_the_top_left() -> None:
    big, good, low, left, right = (
        square(0, 0, 9),
        square(9, 9, 3, 0.9),
        square(0, 15, 3),
        square(1, 2, 3),
        square(8, 2, 3),
    )

    assert select_objects([right, low, good, left, big]) == [big, good, left, right, low]


def test_limits_of_area_and_score_and_number_are_kept() -> None:
    objects = [square(0, 0, 2), square(0, 0, 6), square(0, 0, 10, 0.1), square(0, 0, 18)]

    assert select_objects(objects, min_area_fraction=0.05, max_area_fraction=0.5, min_score=0.2) == [objects[1]]
    assert select_objects(objects, top_n=2) == [objects[3], objects[2]]
    assert select_objects(objects, top_n=0) == []


def test_an_empty_mask_is_no_object() -> None:
    nothing = SegmentedObject.from_mask(np.zeros((4, 4), np.bool_), score=1)

    assert select_objects([nothing]) == []


@pytest.mark.parametrize(
    "limits",
    [
        pytest.param({"min_area_fraction": -0.1}, id="negative"),
        pytest.param({"max_area_fraction": 1.1}, id="above the whole"),
        pytest.param({"min_area_fraction": 0.5, "max_area_fraction": 0.4}, id="crossed"),
        pytest.param({"min_area_fraction": float("nan")}, id="not a number"),
        pytest.param({"top_n": -1}, id="fewer than none"),
    ],
)
def test_impossible_limits_are_refused(limits: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match=r"objects to keep|areas to keep"):
        select_objects([], **limits)  # type: ignore[arg-type]  # wrong on purpose
