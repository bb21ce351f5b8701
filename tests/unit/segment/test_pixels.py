from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from sdclient.errors import CodecError, SegmentationError
from sdclient.segment import SegmentSettings, segment_image
from sdclient.segment.classical import ClassicalSegmenter
from sdclient.segment.pixels import check_image, read_rgb


def file_bytes(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return file_bytes(Image.new("RGB", (6, 4), (200, 10, 10)), "JPEG", exif=exif)


@pytest.mark.parametrize(
    ("data", "size_hw"),
    [
        pytest.param(file_bytes(Image.fromarray(np.full((4, 6), 40_000, np.uint16))), (4, 6), id="16-bit"),
        pytest.param(file_bytes(Image.new("P", (6, 4))), (4, 6), id="palette"),
        pytest.param(file_bytes(Image.new("CMYK", (6, 4)), "JPEG"), (4, 6), id="CMYK"),
        pytest.param(file_bytes(Image.new("RGBA", (6, 4))), (4, 6), id="alpha"),
        pytest.param(file_bytes(Image.new("L", (6, 4))), (4, 6), id="grey"),
        pytest.param(turned_jpeg(), (6, 4), id="EXIF-turned"),
        pytest.param(file_bytes(Image.new("RGB", (1, 1))), (1, 1), id="one pixel"),
        pytest.param(file_bytes(Image.new("RGB", (20_000, 2))), (2, 20_000), id="20,000 px wide"),
    ],
)
def test_whatever_the_file_holds_comes_out_as_upright_rgb(data: bytes, size_hw: tuple[int, int]) -> None:
    image = read_rgb(data)

    assert image.dtype == np.uint8
    assert image.shape == (*size_hw, 3)
    check_image(image)
    assert ClassicalSegmenter().segment(image) == []


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"not an image", id="text"),
        pytest.param(turned_jpeg()[:80], id="cut"),
    ],
)
def test_what_is_no_image_is_a_codec_error(data: bytes) -> None:
    with pytest.raises(CodecError):
        read_rgb(data)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros((4, 4), np.uint8), id="grey"),
        pytest.param(np.zeros((4, 4, 4), np.uint8), id="alpha"),
        pytest.param(np.zeros((4, 4, 3), np.float32), id="floats"),
        pytest.param(np.zeros((0, 4, 3), np.uint8), id="no rows"),
    ],
)
def test_an_array_that_is_no_rgb_image_is_refused_by_type_and_shape(array: np.ndarray) -> None:
    with pytest.raises(SegmentationError, match="uint8 array of shape") as caught:
        ClassicalSegmenter().segment(array)

    assert str(array.shape) in str(caught.value)


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.zeros((4, 4), np.uint8), id="grey"),
        pytest.param(np.zeros((4, 4, 2), np.uint8), id="two channels"),
        pytest.param(np.zeros((4, 4, 4), np.float32), id="floats with alpha"),
        pytest.param(np.zeros((0, 4, 4), np.uint8), id="no rows with alpha"),
    ],
)
def test_an_array_that_cannot_be_cut_up_is_refused_in_words_that_allow_alpha(array: np.ndarray) -> None:
    with pytest.raises(
        SegmentationError, match=r"\(height, width, 4\) with alpha, .*sdclient\.segment\.read_image"
    ) as caught:
        segment_image(ClassicalSegmenter(), array, SegmentSettings())

    assert str(array.shape) in str(caught.value)
