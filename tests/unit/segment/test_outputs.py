from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import cv2
import numpy as np
import pytest
from PIL import Image

from sdclient.errors import SegmentationError
from sdclient.segment import SegmentedObject, SegmentSettings, decode_rle, write_cutouts
from sdclient.segment.layers import Layer, LayerStack, cut_layer
from sdclient.segment.openraster import NamedLayer, encode_openraster
from sdclient.segment.png import encode_mask_in_box, encode_pixels, encode_rgba_in_box


@pytest.fixture
def objects(scene_rgb: np.ndarray) -> list[SegmentedObject]:
    """A disc, a spot inside it, and a square that reaches the right edge."""
    height, width = scene_rgb.shape[:2]
    rows, columns = np.mgrid[:height, :width]
    return [
        SegmentedObject.from_mask((columns - 70) ** 2 + (rows - 90) ** 2 < 40**2, score=0.75),
        SegmentedObject.from_mask((rows >= 150) & (rows < 210) & (columns >= 260), score=0.5, label="red coat/a"),
        SegmentedObject.from_mask((columns - 70) ** 2 + (rows - 90) ** 2 < 10**2, score=0.25),
    ]


def write(image: np.ndarray, objects: list[SegmentedObject], folder: Path, **changes: object) -> dict[str, object]:
    write_cutouts(image, objects, folder, "fox", settings=SegmentSettings(**changes))
    return json.loads((folder / "objects.json").read_text(encoding="utf-8"))


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def read(path: Path) -> np.ndarray:
    return np.array(Image.open(path))


def test_any_mix_of_outputs_is_written_under_its_own_names(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject]
) -> None:
    record = write(
        scene_rgb, objects, tmp_path, outputs=("cutout", "crop", "mask", "overlay", "sheet", "ora"), cover=True
    )

    each = [f"fox_{name}{end}.png" for name in ("01", "02_red_coat_a", "03") for end in ("", "_crop", "_mask")]
    whole = ["fox.ora", "fox_overlay.jpg", "fox_rest.png", "fox_sheet.jpg", "objects.json"]
    assert names(tmp_path) == sorted(each + whole)
    assert record["rest"] == "fox_rest.png"
    assert [one["parent"] for one in record["objects"]] == [None, None, 1]
    assert [one["number"] for one in record["objects"]] == [1, 2, 3]


def test_only_what_was_asked_for_is_written(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject]
) -> None:
    record = write(scene_rgb, objects[:1], tmp_path, outputs=("mask",))

    assert names(tmp_path) == ["fox_01_mask.png", "objects.json"]
    assert record["objects"][0].keys().isdisjoint({"file", "crop", "crop_offset_xy"})


def test_a_crop_knows_where_it_was(tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject]) -> None:
    one = write(scene_rgb, objects, tmp_path, outputs=("crop",), padding_px=7)["objects"][0]

    x, y = one["crop_offset_xy"]
    data = (tmp_path / one["crop"]).read_bytes()
    crop = read(tmp_path / one["crop"])
    assert struct.unpack(">iiB", data[data.index(b"oFFs") + 4 :][:9]) == (x, y, 0)
    assert (x, y) == (objects[0].bbox_xywh[0] - 7, objects[0].bbox_xywh[1] - 7)
    mask = objects[0].mask_hw[y : y + crop.shape[0], x : x + crop.shape[1]]
    assert mask.sum() == objects[0].area_px
    assert np.array_equal(crop[..., 3], mask * 255)
    assert np.array_equal(crop[mask][:, :3], scene_rgb[y : y + crop.shape[0], x : x + crop.shape[1]][mask])


def test_a_mask_is_a_one_bit_png_that_pillow_and_opencv_read_alike(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject]
) -> None:
    record = write(scene_rgb, objects, tmp_path, outputs=("mask",))

    for item, one in zip(objects, record["objects"], strict=True):
        with Image.open(tmp_path / one["mask"]) as image:
            assert image.mode == "1"
            assert np.array_equal(np.array(image), item.mask_hw)
        assert np.array_equal(cv2.imread(str(tmp_path / one["mask"]), cv2.IMREAD_GRAYSCALE) > 0, decode_rle(one["rle"]))


@pytest.mark.parametrize("left", range(9))
def test_mask_bits_fall_into_place_wherever_a_byte_begins(left: int) -> None:
    mask = np.random.default_rng(left).random((3, 5)) > 0.4
    canvas = np.zeros((6, 19), np.bool_)
    canvas[2:5, left : left + 5] = mask

    data = encode_mask_in_box(mask, canvas_hw=(6, 19), corner_xy=(left, 2))

    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), canvas)


@pytest.mark.parametrize("feather_px", [0.0, 1.0, 6.5])
def test_all_layers_and_the_rest_give_the_image_back_exactly(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject], feather_px: float
) -> None:
    record = write(scene_rgb, objects, tmp_path, cover=True, feather_px=feather_px)

    stacked = Image.open(tmp_path / record["rest"])
    for one in record["objects"]:
        stacked = Image.alpha_composite(stacked, Image.open(tmp_path / one["file"]))
    pixels = np.array(stacked)
    assert np.array_equal(pixels[..., :3], scene_rgb)
    assert np.all(pixels[..., 3] == 255)


def test_a_feathered_edge_fades_over_the_width_asked_for(scene_rgb: np.ndarray) -> None:
    mask = np.zeros(scene_rgb.shape[:2], np.bool_)
    mask[50:200, 100:] = True
    item = SegmentedObject.from_mask(mask, score=1)

    layer = cut_layer(scene_rgb, item, feather_px=8)

    row = layer.rgba[75, :, 3].astype(int)
    assert layer.corner_xy == (96, 46)
    assert list(row[:8]) == [16, 48, 80, 112, 143, 175, 207, 239]
    # The image's own edge is no outline.
    assert np.all(row[8:] == 255)
    assert np.array_equal(layer.rgba[75, :, :3], scene_rgb[121, 96:])


def test_the_rest_of_no_layers_is_the_whole_image(scene_rgb: np.ndarray) -> None:
    rest = LayerStack(scene_rgb, []).rest()

    assert np.array_equal(rest.rgba[..., :3], scene_rgb)
    assert np.all(rest.rgba[..., 3] == 255)


def test_an_openraster_file_stacks_up_to_the_image(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject]
) -> None:
    odd = SegmentedObject.from_mask(objects[0].mask_hw, score=1, label='"<\x07&')
    write(scene_rgb, [odd, *objects[1:]], tmp_path, outputs=("ora",), feather_px=3)

    with zipfile.ZipFile(tmp_path / "fox.ora") as archive:
        first = archive.infolist()[0]
        assert (first.filename, first.compress_type) == ("mimetype", zipfile.ZIP_STORED)
        assert archive.read("mimetype") == b"image/openraster"
        image = ET.fromstring(archive.read("stack.xml"))  # noqa: S314 - we wrote it ourselves
        layers = image.findall("stack/layer")
        assert [layer.get("name") for layer in layers] == ["03", "02 red coat/a", '01 "<_&', "rest"]
        canvas = Image.new("RGBA", (int(image.get("w", "")), int(image.get("h", ""))))
        for layer in reversed(layers):
            piece = Image.open(io.BytesIO(archive.read(layer.get("src", ""))))
            canvas.alpha_composite(piece, (int(layer.get("x", "")), int(layer.get("y", ""))))
        assert np.array_equal(np.array(canvas)[..., :3], scene_rgb)
        assert np.array_equal(np.array(Image.open(io.BytesIO(archive.read("mergedimage.png")))), scene_rgb)
        assert max(Image.open(io.BytesIO(archive.read("Thumbnails/thumbnail.png"))).size) == 256


def test_an_openraster_file_takes_no_more_than_a_few_layers_of_memory(scene_rgb: np.ndarray) -> None:
    def layers() -> Iterator[NamedLayer]:
        for number in range(40):
            yield NamedLayer(str(number), Layer((0, 0), np.zeros((512, 512, 4), dtype=np.uint8)))

    tracemalloc.start()
    encode_openraster(scene_rgb, NamedLayer("rest", Layer((0, 0), np.zeros((8, 8, 4), dtype=np.uint8))), layers())
    _, most_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most_bytes < 10 * 512 * 512 * 4


def test_the_same_image_makes_the_same_openraster_file(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject]
) -> None:
    for name in "ab":
        write(scene_rgb, objects, tmp_path / name, outputs=("ora",))

    assert (tmp_path / "a" / "fox.ora").read_bytes() == (tmp_path / "b" / "fox.ora").read_bytes()


def test_the_overlay_tints_what_is_an_object_and_leaves_the_rest(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject]
) -> None:
    write(scene_rgb, objects, tmp_path, outputs=("overlay",))

    overlay = read(tmp_path / "fox_overlay.jpg").astype(int)
    change = np.abs(overlay - scene_rgb).sum(axis=2)
    assert overlay.shape == scene_rgb.shape
    assert np.median(change[objects[1].mask_hw]) > 60
    assert np.median(change[220:, :200]) < 12


def test_a_large_image_has_a_small_overlay(tmp_path: Path) -> None:
    image = np.full((40, 20_000, 3), 90, np.uint8)
    mask = np.zeros((40, 20_000), np.bool_)
    mask[10:30, 19_990:] = True
    write(image, [SegmentedObject.from_mask(mask, score=1)], tmp_path, outputs=("overlay", "sheet", "cutout"))

    assert read(tmp_path / "fox_overlay.jpg").shape == (3, 1600, 3)
    assert read(tmp_path / "fox_01.png").shape == (40, 20_000, 4)


@pytest.mark.parametrize(("count", "grid"), [(1, (1, 1)), (3, (2, 2)), (10, (4, 3))], ids=["one", "three", "ten"])
def test_the_contact_sheet_has_a_box_for_every_object(
    tmp_path: Path, scene_rgb: np.ndarray, objects: list[SegmentedObject], count: int, grid: tuple[int, int]
) -> None:
    write(scene_rgb, [objects[0]] * count, tmp_path, outputs=("sheet",))

    sheet = read(tmp_path / "fox_sheet.jpg")
    columns, rows = grid
    assert sheet.shape == (rows * 284 + 8, columns * 264 + 8, 3)
    # The disc is red, and in the middle of the first box.
    red, green, _ = sheet[8 + 128, 8 + 128].astype(int)
    assert red > green + 80


def test_pixels_of_a_wrong_shape_are_refused() -> None:
    with pytest.raises(SegmentationError, match="pixels must be"):
        encode_pixels(np.zeros((2, 2), np.uint8))


def test_an_opaque_box_of_three_channels_reads_back() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (5, 4, 3)).astype(np.uint8)

    assert np.array_equal(np.array(Image.open(io.BytesIO(encode_pixels(pixels)))), pixels)


def test_a_box_as_large_as_its_canvas_reads_back() -> None:
    pixels = np.random.default_rng(1).integers(0, 255, (5, 4, 4)).astype(np.uint8)

    data = encode_rgba_in_box(pixels, canvas_hw=(5, 4), corner_xy=(0, 0))

    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), pixels)
