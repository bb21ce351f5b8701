from __future__ import annotations

import cv2
import numpy as np
import pytest

from sdclient.segment.classical import ClassicalSegmenter
from sdclient.segment.masks import MaskHW
from sdclient.simulator.painter import Brief, paint, repaint
from sdclient.simulator.scene import draw_scene


def overlap(one: MaskHW, other: MaskHW) -> float:
    return float((one & other).sum() / (one | other).sum())


def figures(scene_rgb: np.ndarray) -> list[MaskHW]:
    height, width = scene_rgb.shape[:2]
    rows, columns = (lines * 240 / height for lines in np.mgrid[:height, :width])
    return [
        (columns - 70) ** 2 + (rows - 90) ** 2 < 40**2,
        (rows >= 60) & (rows < 130) & (columns >= 150) & (columns < 220),
        (rows > 60) & (rows < 180) & (abs(columns - 270) < (rows - 60) / 4),
    ]


def test_separate_figures_on_a_calm_ground_are_the_objects_and_the_ground_is_none(scene_rgb: np.ndarray) -> None:
    found = ClassicalSegmenter().segment(scene_rgb)

    assert len(found) == 3
    for figure in figures(scene_rgb):
        assert max(overlap(item.mask_hw, figure) for item in found) > 0.95
    assert all(0.5 < item.score < 1 for item in found)


def test_outlines_of_a_large_image_are_those_of_the_large_image(scene_rgb: np.ndarray) -> None:
    large = cv2.resize(scene_rgb, (1600, 1200), interpolation=cv2.INTER_CUBIC)

    found = ClassicalSegmenter().segment(large)

    assert len(found) == 3
    assert min(max(overlap(item.mask_hw, figure) for item in found) for figure in figures(large)) > 0.97


def test_the_same_image_gives_the_same_objects_on_any_number_of_threads(scene_rgb: np.ndarray) -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(1)
        one = ClassicalSegmenter().segment(scene_rgb)
        cv2.setNumThreads(4)
        four = ClassicalSegmenter().segment(scene_rgb)
    finally:
        cv2.setNumThreads(threads)

    assert one == four


def test_objects_do_not_overlap_and_come_largest_first(scene_rgb: np.ndarray) -> None:
    found = ClassicalSegmenter().segment(scene_rgb)

    assert np.sum([item.mask_hw for item in found], axis=0).max() == 1
    assert [item.area_px for item in found] == sorted((item.area_px for item in found), reverse=True)


@pytest.mark.parametrize("is_high", [False, True])
def test_a_thing_in_a_strip_two_hundred_times_as_long_as_wide_is_found(*, is_high: bool) -> None:
    strip = np.full((40, 8_000, 3), (205, 210, 215), np.uint8)
    strip[10:30, 3_000:3_200] = (150, 30, 30)

    found = ClassicalSegmenter().segment(np.ascontiguousarray(strip.swapaxes(0, 1)) if is_high else strip)

    assert [item.bbox_xywh for item in found] == [(10, 3_000, 20, 200) if is_high else (3_000, 10, 200, 20)]


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(np.full((300, 400, 3), 90, np.uint8), id="one colour"),
        pytest.param(np.repeat(np.linspace(60, 200, 300).astype(np.uint8), 1200).reshape(300, 400, 3), id="gradient"),
        pytest.param(np.zeros((15, 400, 3), np.uint8), id="a strip"),
    ],
)
def test_an_image_where_nothing_stands_out_has_no_objects(image: np.ndarray) -> None:
    assert ClassicalSegmenter().segment(image) == []


def test_sky_ground_and_hills_are_no_objects_and_a_house_before_them_is_one() -> None:
    image = np.empty((300, 400, 3), np.uint8)
    image[:] = (150, 190, 230)
    image[190:] = (120, 150, 80)
    image[150:190] = (90, 120, 130)
    house = np.zeros((300, 400), np.bool_)
    house[170:250, 120:220] = True
    image[house] = (200, 60, 40)

    found = ClassicalSegmenter().segment(image)

    assert [overlap(item.mask_hw, house) > 0.95 for item in found] == [True]


def test_a_figure_cut_off_by_the_lower_edge_is_still_an_object() -> None:
    image = np.full((300, 400, 3), (190, 200, 205), np.uint8)
    figure = np.zeros((300, 400), np.bool_)
    figure[100:, 150:250] = True
    image[figure] = (160, 40, 90)

    found = ClassicalSegmenter().segment(image)

    assert [overlap(item.mask_hw, figure) > 0.95 for item in found] == [True]


def test_background_seen_through_a_ring_is_a_hole_in_it() -> None:
    rows, columns = np.mgrid[:300, :400]
    distance = np.hypot(rows - 150, columns - 200)
    image = np.full((300, 400, 3), (190, 200, 205), np.uint8)
    ring = (distance < 90) & (distance > 35)
    image[ring] = (40, 60, 140)

    found = ClassicalSegmenter().segment(image)

    assert [overlap(item.mask_hw, ring) > 0.95 for item in found] == [True]


def test_a_thing_that_fills_the_frame_is_given_in_parts() -> None:
    image = np.full((300, 400, 3), (200, 205, 210), np.uint8)
    image[20:300, 30:370] = (180, 90, 30)
    image[80:220, 120:280] = (30, 50, 120)

    found = ClassicalSegmenter().segment(image)

    assert len(found) == 2
    assert found[0].area_px > found[1].area_px > 0.9 * 140 * 160


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    "prompt", ["a family", "people working", "still life", "a lighthouse by the sea", "a dog and a ball"]
)
def test_every_figure_of_a_simulated_scene_is_one_whole_object(prompt: str, seed: int) -> None:
    brief = Brief(prompt, seed, "model", 1024, 1024)
    image = repaint(brief, paint(brief), 0.3)
    drawn = [(kind, np.asarray(mask) > 127) for kind, mask in draw_scene(prompt, seed, "model", (1024, 1024)).masks()]

    found = [item.mask_hw for item in ClassicalSegmenter().segment(np.asarray(image))]

    assert abs(len(found) - len(drawn)) <= 1
    assert {kind for kind, mask in drawn if max(overlap(mask, other) for other in found) < 0.85} == set()


def test_a_thing_outlined_on_its_own_colour_is_whole_and_a_gap_in_it_is_background() -> None:
    image = np.full((300, 400, 3), (200, 205, 210), np.uint8)
    cv2.rectangle(image, (150, 60), (250, 250), (170, 180, 180), -1)
    cv2.rectangle(image, (150, 60), (250, 250), (60, 50, 50), 3)
    cv2.rectangle(image, (185, 160), (215, 250), (60, 50, 50), 3)
    image[163:260, 188:213] = (200, 205, 210)
    figure = np.zeros((300, 400), np.bool_)
    figure[59:252, 149:252] = True
    figure[163:260, 188:213] = False

    found = ClassicalSegmenter().segment(image)

    assert [overlap(item.mask_hw, figure) > 0.95 for item in found] == [True]


def test_shards_beside_a_large_object_are_left_out() -> None:
    image = np.full((300, 400, 3), (190, 200, 205), np.uint8)
    image[40:260, 60:240] = (160, 40, 90)
    image[100:115, 300:320] = (30, 90, 40)

    found = ClassicalSegmenter().segment(image)

    assert [item.bbox_xywh for item in found] == [(60, 40, 180, 220)]
