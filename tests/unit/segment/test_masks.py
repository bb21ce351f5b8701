from __future__ import annotations

import numpy as np
import pytest

from sdclient.errors import CodecError, SegmentationError
from sdclient.segment.masks import (
    MaskRuns,
    bbox_xywh_from_mask,
    decode_rle,
    encode_rle,
    fill_holes,
    remove_islands,
    runs_from_box,
    runs_from_coco,
    runs_from_mask,
)


def mask_of(*rows: str) -> np.ndarray:
    return np.array([[letter == "#" for letter in row] for row in rows])


@pytest.mark.parametrize(
    ("rows", "counts"),
    [
        pytest.param((".#", ".#"), [2, 2], id="right column"),
        pytest.param(("#.", "#."), [0, 2, 2], id="first pixel in the object"),
        pytest.param(("..", "##"), [1, 1, 1, 1], id="bottom row"),
        pytest.param(("...", "..."), [6], id="empty"),
        pytest.param(("###", "###"), [0, 6], id="full"),
        pytest.param((".#.", "#.."), [1, 2, 3], id="run over the foot of a column"),
    ],
)
def test_runs_are_counted_column_by_column_and_start_with_background(rows: tuple[str, ...], counts: list[int]) -> None:
    rle = encode_rle(mask_of(*rows))

    assert rle == {"size": [2, len(rows[0])], "counts": counts}


def test_counts_are_plain_numbers_that_json_takes() -> None:
    rle = encode_rle(mask_of(".#", "##"))

    assert {type(number) for number in (*rle["size"], *rle["counts"])} == {int}


@pytest.mark.parametrize(
    ("rows", "box"),
    [
        pytest.param(("....", ".##.", "...."), (1, 1, 2, 1), id="inside"),
        pytest.param(("....", "....", "...."), (0, 0, 0, 0), id="empty"),
        pytest.param((".#..", "....", "#..."), (0, 0, 2, 3), id="run over the foot of a column"),
        pytest.param(("####", "####", "####"), (0, 0, 4, 3), id="full"),
    ],
)
def test_the_box_of_the_runs_is_the_box_of_the_mask(rows: tuple[str, ...], box: tuple[int, int, int, int]) -> None:
    mask = mask_of(*rows)

    assert runs_from_mask(mask).bbox_xywh == box
    assert bbox_xywh_from_mask(mask) == box


def test_a_box_of_columns_decodes_without_the_rest() -> None:
    runs = runs_from_mask(mask_of("....", ".##.", "..#."))

    assert runs.decode_box().tolist() == [[True, True], [False, True]]


def test_equal_masks_have_equal_runs_and_hashes() -> None:
    one, same, other = (runs_from_mask(mask_of(row)) for row in (".#.", ".#.", "#.."))

    assert one == same
    assert hash(one) == hash(same)
    assert one != other
    assert one != "runs"


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros((2, 2), np.uint8), id="bytes"),
        pytest.param(np.zeros((2, 2, 1), np.bool_), id="three axes"),
        pytest.param(np.zeros((0, 2), np.bool_), id="no rows"),
    ],
)
def test_what_is_no_mask_is_refused_with_its_type_and_shape(array: np.ndarray) -> None:
    with pytest.raises(SegmentationError, match="bool array of shape") as caught:
        encode_rle(array)

    assert str(array.dtype) in str(caught.value)


@pytest.mark.parametrize(
    "rle",
    [
        pytest.param({"size": [2, 2], "counts": [3]}, id="too few"),
        pytest.param({"size": [2, 2], "counts": [3, 3]}, id="too many"),
        pytest.param({"size": [2, 2], "counts": [5, -1]}, id="negative"),
        pytest.param({"size": [0, 2], "counts": []}, id="no rows"),
        pytest.param({"size": [2], "counts": [2]}, id="no width"),
        pytest.param({"size": [2, 2], "counts": [1.5, 2.5]}, id="fractions"),
        pytest.param({"size": [2, 2]}, id="no counts"),
        pytest.param({"size": [2, 2], "counts": 4}, id="no list"),
        pytest.param({"size": [2**31, 2**31], "counts": [2**62]}, id="absurdly large"),
    ],
)
def test_damaged_run_lengths_are_refused(rle: object) -> None:
    with pytest.raises(CodecError, match="run lengths"):
        decode_rle(rle)  # type: ignore[arg-type]  # damaged on purpose


def test_runs_of_length_zero_inside_are_understood() -> None:
    runs = runs_from_coco({"size": [2, 2], "counts": [1, 0, 1, 2]})

    assert runs.area_px == 2
    assert runs.bbox_xywh == (1, 0, 1, 2)
    assert runs.decode().tolist() == [[False, True], [False, True]]


def test_runs_hold_a_large_mask_in_a_few_kilobytes() -> None:
    rows, columns = np.mgrid[:1024, :1024]

    runs = runs_from_mask((rows - 500) ** 2 + (columns - 500) ** 2 < 300**2)

    assert isinstance(runs, MaskRuns)
    assert runs.counts.nbytes < 8_000


def test_small_holes_are_filled_and_bays_and_large_holes_are_not() -> None:
    mask = mask_of(
        "#########",
        "#.###...#",
        "#####...#",
        "..#######",
    )

    filled = fill_holes(mask, 2)

    assert filled[1, 1]
    assert not filled[1, 5]
    assert not filled[3, 0]
    assert not mask[1, 1]


def test_small_islands_go_and_the_largest_piece_stays_whatever_its_size() -> None:
    mask = mask_of(
        "##....#",
        "##.....",
        "......#",
        "......#",
    )

    assert remove_islands(mask, 2).sum() == 6
    assert remove_islands(mask, 100).tolist() == (mask & mask_of("##.....", "##.....", ".......", ".......")).tolist()


def test_an_empty_mask_has_no_islands() -> None:
    mask = mask_of("..", "..")

    assert not remove_islands(mask, 3).any()
    assert not fill_holes(mask, 9).any()


def test_a_mask_given_by_its_box_is_the_mask_of_the_whole_image() -> None:
    box = mask_of("#.", "##")

    assert runs_from_box(box, (1, 2), (4, 5)) == runs_from_mask(mask_of(".....", ".....", ".#...", ".##.."))


@pytest.mark.parametrize("corner", [(-1, 0), (0, -1), (4, 0), (0, 3)])
def test_a_box_that_leaves_the_image_is_refused(corner: tuple[int, int]) -> None:
    with pytest.raises(SegmentationError, match="does not lie inside"):
        runs_from_box(mask_of("#.", "##"), corner, (4, 5))
