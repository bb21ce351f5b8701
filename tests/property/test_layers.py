"""Laws of cut-outs as layers, for any objects of any image."""

from __future__ import annotations

import io

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdclient.segment import SegmentedObject, encode_cutout
from sdclient.segment.layers import cut_layer, rest_layer
from sdclient.segment.openraster import NamedLayer, encode_openraster
from sdclient.segment.png import encode_pixels

_sizes = st.tuples(st.integers(1, 23), st.integers(1, 37))


def image_and_objects(seed: int, size_hw: tuple[int, int], count: int) -> tuple[np.ndarray, list[SegmentedObject]]:
    """Return noise, and objects that overlap each other, reach the edge, and have holes and islands."""
    rng = np.random.default_rng(seed)
    masks = [rng.random(size_hw) < rng.uniform(0, 1) for _ in range(count)]
    objects = [SegmentedObject.from_mask(mask, score=1.0) for mask in masks if mask.any()]
    return rng.integers(0, 256, (*size_hw, 3)).astype(np.uint8), objects


@given(
    seed=st.integers(0, 2**32),
    size_hw=_sizes,
    count=st.integers(0, 5),
    feather_px=st.sampled_from([0.0, 1.0, 2.5, 9.0]),
)
def test_the_rest_and_all_cutouts_stacked_are_the_image(
    seed: int, size_hw: tuple[int, int], count: int, feather_px: float
) -> None:
    image, objects = image_and_objects(seed, size_hw, count)
    layers = [cut_layer(image, item, feather_px=feather_px) for item in objects]

    stacked = Image.open(io.BytesIO(encode_pixels(rest_layer(image, layers).rgba)))
    for item in objects:
        cutout = Image.open(io.BytesIO(encode_cutout(image, item, feather_px=feather_px)))
        stacked = Image.alpha_composite(stacked, cutout)

    assert np.array_equal(np.array(stacked)[..., :3], image)
    assert np.all(np.array(stacked)[..., 3] == 255)


@given(seed=st.integers(0, 2**32), size_hw=_sizes, padding_px=st.integers(0, 12))
def test_a_crop_laid_at_its_place_is_the_full_canvas_cutout(
    seed: int, size_hw: tuple[int, int], padding_px: int
) -> None:
    image, objects = image_and_objects(seed, size_hw, 1)
    for item in objects:
        layer = cut_layer(image, item, padding_px=padding_px)

        canvas = Image.new("RGBA", (size_hw[1], size_hw[0]))
        canvas.paste(Image.open(io.BytesIO(encode_pixels(layer.rgba, offset_xy=layer.corner_xy))), layer.corner_xy)

        assert np.array_equal(np.array(canvas), np.array(Image.open(io.BytesIO(encode_cutout(image, item)))))


@given(seed=st.integers(0, 2**32), size_hw=_sizes, count=st.integers(0, 4))
def test_an_openraster_file_shows_the_image(seed: int, size_hw: tuple[int, int], count: int) -> None:
    import zipfile

    image, objects = image_and_objects(seed, size_hw, count)
    layers = [cut_layer(image, item) for item in objects]
    named = [NamedLayer(str(number), layer) for number, layer in enumerate(layers)]

    data = encode_openraster(image, NamedLayer("rest", rest_layer(image, layers)), named)

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.namelist()[0] == "mimetype"
        merged = np.array(Image.open(io.BytesIO(file.read("mergedimage.png"))).convert("RGB"))
    assert np.array_equal(merged, image)
