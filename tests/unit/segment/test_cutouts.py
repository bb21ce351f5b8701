from __future__ import annotations

import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from sdclient.errors import SegmentationError, StorageError
from sdclient.segment.cutouts import MadeBy, encode_cutout, write_cutouts
from sdclient.segment.masks import decode_rle
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.png import encode_rgba_in_box


@pytest.fixture
def disc_and_square(scene_rgb: np.ndarray) -> list[SegmentedObject]:
    height, width = scene_rgb.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    disc = (columns - 70) ** 2 + (rows - 90) ** 2 < 40**2
    square = (rows >= 60) & (rows < 130) & (columns >= 150) & (columns < 220)
    return [
        SegmentedObject.from_mask(disc, score=0.75, stability_score=0.5),
        SegmentedObject.from_mask(square, score=0.25),
    ]


def test_each_object_becomes_a_png_of_the_whole_canvas_at_its_place(
    tmp_path: Path, scene_rgb: np.ndarray, disc_and_square: list[SegmentedObject]
) -> None:
    files = write_cutouts(scene_rgb, disc_and_square, tmp_path / "new" / "fox", "fox")

    assert [(file.path.name, file.role) for file in files] == [
        ("fox_01.png", "cutout"),
        ("fox_02.png", "cutout"),
        ("objects.json", "objects"),
    ]
    for file, item in zip(files, disc_and_square, strict=False):
        mask = item.mask_hw
        pixels = np.array(Image.open(file.path))
        assert pixels.shape == (*scene_rgb.shape[:2], 4)
        assert np.array_equal(pixels[mask][:, :3], scene_rgb[mask])
        assert np.all(pixels[mask][:, 3] == 255)
        assert not pixels[~mask].any()
        assert file.size_bytes == file.path.stat().st_size
        assert file.sha256 == hashlib.sha256(file.path.read_bytes()).hexdigest()


def test_opencv_reads_the_same_pixels_as_pillow(
    tmp_path: Path, scene_rgb: np.ndarray, disc_and_square: list[SegmentedObject]
) -> None:
    path = write_cutouts(scene_rgb, disc_and_square, tmp_path, "fox")[0].path

    by_opencv = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)

    assert np.array_equal(by_opencv[..., [2, 1, 0, 3]], np.array(Image.open(path)))


def test_objects_json_says_what_was_found_and_by_whom(
    tmp_path: Path, scene_rgb: np.ndarray, disc_and_square: list[SegmentedObject]
) -> None:
    write_cutouts(scene_rgb, disc_and_square, tmp_path, "fuchs-ü", made_by=MadeBy("vit_b", "cpu"))

    record = json.loads((tmp_path / "objects.json").read_text(encoding="utf-8"))
    first, second = record.pop("objects")
    assert record == {
        "format": 1,
        "image": {"name": "fuchs-ü", "width": 320, "height": 240},
        "segmenter": {"name": "vit_b", "device": "cpu"},
    }
    assert first["file"] == "fuchs-ü_01.png"
    assert first["bbox_xywh"] == list(disc_and_square[0].bbox_xywh)
    assert (first["area_px"], first["score"], first["stability_score"]) == (disc_and_square[0].area_px, 0.75, 0.5)
    assert np.array_equal(decode_rle(first["rle"]), disc_and_square[0].mask_hw)
    assert second["stability_score"] is None


def test_an_image_without_objects_leaves_no_file(tmp_path: Path, scene_rgb: np.ndarray) -> None:
    assert write_cutouts(scene_rgb, [], tmp_path / "fox", "fox") == []
    assert list(tmp_path.iterdir()) == []


def test_numbers_grow_wider_past_ninety_nine(tmp_path: Path) -> None:
    image = np.full((2, 2, 3), 7, np.uint8)
    item = SegmentedObject.from_mask(np.ones((2, 2), np.bool_), score=1)

    files = write_cutouts(image, [item] * 100, tmp_path, "x")

    assert [files[0].path.name, files[99].path.name] == ["x_001.png", "x_100.png"]


def test_a_file_that_is_there_is_not_replaced(
    tmp_path: Path, scene_rgb: np.ndarray, disc_and_square: list[SegmentedObject]
) -> None:
    (tmp_path / "fox_02.png").write_bytes(b"mine")

    with pytest.raises(StorageError):
        write_cutouts(scene_rgb, disc_and_square, tmp_path, "fox")

    assert (tmp_path / "fox_02.png").read_bytes() == b"mine"


def test_a_folder_that_cannot_be_made_is_a_storage_error(
    tmp_path: Path, scene_rgb: np.ndarray, disc_and_square: list[SegmentedObject]
) -> None:
    (tmp_path / "taken").write_bytes(b"a file")

    with pytest.raises(StorageError, match="taken"):
        write_cutouts(scene_rgb, disc_and_square, tmp_path / "taken" / "fox", "fox")


@pytest.mark.parametrize(
    "mask",
    [
        pytest.param(np.ones((3, 4), np.bool_), id="mask of another image"),
        pytest.param(np.zeros((4, 4), np.bool_), id="empty mask"),
    ],
)
def test_an_object_that_cannot_be_cut_out_of_the_image_is_refused(mask: np.ndarray) -> None:
    with pytest.raises(SegmentationError, match="cannot cut"):
        encode_cutout(np.zeros((4, 4, 3), np.uint8), SegmentedObject.from_mask(mask, score=1))


@pytest.mark.parametrize(
    ("box", "canvas_hw", "corner_xy"),
    [
        pytest.param(np.zeros((2, 2, 3), np.uint8), (4, 4), (0, 0), id="three channels"),
        pytest.param(np.zeros((2, 2, 4), np.float32), (4, 4), (0, 0), id="floats"),
        pytest.param(np.zeros((0, 2, 4), np.uint8), (4, 4), (0, 0), id="no rows"),
        pytest.param(np.zeros((2, 2, 4), np.uint8), (4, 4), (3, 0), id="over the right edge"),
        pytest.param(np.zeros((2, 2, 4), np.uint8), (4, 4), (0, -1), id="above the top"),
    ],
)
def test_a_box_that_does_not_fit_its_canvas_is_refused(
    box: np.ndarray, canvas_hw: tuple[int, int], corner_xy: tuple[int, int]
) -> None:
    with pytest.raises(SegmentationError, match="cut-out"):
        encode_rgba_in_box(box, canvas_hw=canvas_hw, corner_xy=corner_xy)
