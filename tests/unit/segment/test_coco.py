from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from sdclient.segment import SegmentedObject
from sdclient.segment.coco import CocoImage, coco_pieces, polygons_of
from sdclient.segment.cutouts import object_facts

# pycocotools 2.0.11 was built before numpy 2 asked for `copy`.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def masks() -> list[np.ndarray]:
    rows, columns = np.mgrid[:60, :90]
    disc = (columns - 30) ** 2 + (rows - 30) ** 2 < 20**2
    pair = ((columns > 50) & (columns < 60) | (columns > 70) & (columns < 88)) & (rows > 10) & (rows < 40)
    dot = (columns == 3) & (rows == 4)
    return [disc, pair, dot]


def facts(mask: np.ndarray, number: int, label: str = "") -> dict[str, object]:
    item = SegmentedObject.from_mask(mask, score=0.5, label=label)
    return {**object_facts(item, number, None), "rle": dict(item.rle)}


def load(tmp_path: Path, images: list[CocoImage], form: str) -> COCO:
    path = tmp_path / "coco.json"
    path.write_text("".join(coco_pieces(images, ["hair"], form=form, info=lambda: {"a": 1})), encoding="utf-8")
    return COCO(str(path))


@pytest.mark.parametrize(("form", "least_iou"), [("rle", 1.0), ("polygons", 0.9)])
def test_pycocotools_reads_the_masks_back(tmp_path: Path, masks: list[np.ndarray], form: str, least_iou: float) -> None:
    image = CocoImage("fox-ü.png", (60, 90), [facts(mask, number) for number, mask in enumerate(masks, start=1)])

    coco = load(tmp_path, [image], form)

    assert coco.loadImgs([1])[0]["file_name"] == "fox-ü.png"
    for mask, annotation in zip(masks, coco.loadAnns(coco.getAnnIds(imgIds=[1])), strict=True):
        found = coco.annToMask(annotation).astype(bool)
        assert (found & mask).sum() / (found | mask).sum() >= least_iou
        assert annotation["area"] == mask.sum()


def test_labels_become_categories_and_images_without_objects_stay(tmp_path: Path, masks: list[np.ndarray]) -> None:
    images = [
        CocoImage("empty.png", (10, 10), []),
        CocoImage("fox.png", (60, 90), [facts(masks[0], 1, "hair"), facts(masks[1], 2)]),
    ]

    coco = load(tmp_path, images, "rle")

    assert [image["file_name"] for image in coco.loadImgs(coco.getImgIds())] == ["empty.png", "fox.png"]
    named = {one["id"]: one["name"] for one in coco.loadCats(coco.getCatIds())}
    assert [named[one["category_id"]] for one in coco.loadAnns(coco.getAnnIds())] == ["hair", "object"]


def test_an_image_cut_out_in_two_variants_has_an_id_and_objects_for_each(
    tmp_path: Path, masks: list[np.ndarray]
) -> None:
    images = [
        CocoImage("fox.png", (60, 90), [facts(mask, number) for number, mask in enumerate(masks, start=1)]),
        CocoImage("fox.png", (60, 90), [facts(masks[0], 1)]),
    ]

    coco = load(tmp_path, images, "rle")

    assert [coco.loadImgs([number])[0]["file_name"] for number in (1, 2)] == ["fox.png", "fox.png"]
    assert [len(coco.getAnnIds(imgIds=[number])) for number in (1, 2)] == [3, 1]
    assert len(coco.anns) == 4


def test_a_file_of_nothing_is_still_valid() -> None:
    value = json.loads("".join(coco_pieces([], [], form="rle", info=dict)))

    assert (value["images"], value["annotations"]) == ([], [])


def test_polygons_have_enough_corners_even_for_one_pixel(masks: list[np.ndarray]) -> None:
    (outline,) = polygons_of(SegmentedObject.from_mask(masks[2], score=1).runs)

    assert sorted(zip(outline[::2], outline[1::2], strict=True)) == [
        (3.25, 4.25),
        (3.25, 4.75),
        (3.75, 4.25),
        (3.75, 4.75),
    ]
