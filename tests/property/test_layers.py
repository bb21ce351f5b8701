"""Laws of cut-outs as layers, for any objects of any image."""

from __future__ import annotations

import io
import zipfile

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdclient.segment import SegmentedObject, SegmentSettings, choose_objects, encode_cutout
from sdclient.segment.layers import LayerStack, cut_layer
from sdclient.segment.openraster import NamedLayer, encode_openraster
from sdclient.segment.png import encode_pixels, encode_rgba_in_box

_sizes = st.tuples(st.integers(1, 23), st.integers(1, 37))
_feathers = st.sampled_from([0.0, 1.0, 2.5, 9.0])


def image_and_objects(
    seed: int, size_hw: tuple[int, int], count: int, channels: int = 3
) -> tuple[np.ndarray, list[SegmentedObject]]:
    """Return noise, and objects that overlap each other, reach the edge, and have holes and islands.

    Of alpha a third is 0, a third 255, and a third anything.
    """
    rng = np.random.default_rng(seed)
    masks = [rng.random(size_hw) < rng.uniform(0, 1) for _ in range(count)]
    objects = [SegmentedObject.from_mask(mask, score=1.0) for mask in masks if mask.any()]
    image = rng.integers(0, 256, (*size_hw, channels)).astype(np.uint8)
    if channels == 4:
        whole = rng.random(size_hw) < 2 / 3
        image[whole, 3] = rng.choice([0, 255], int(whole.sum()))
    return image, objects


def as_seen(image: np.ndarray) -> np.ndarray:
    """Return an image as RGBA; what is wholly transparent is black."""
    alpha = image[..., 3:] if image.shape[2] == 4 else np.full((*image.shape[:2], 1), 255, np.uint8)
    return np.concatenate([image[..., :3] * (alpha > 0), alpha], axis=2)


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data))


@given(
    seed=st.integers(0, 2**32),
    size_hw=_sizes,
    count=st.integers(0, 5),
    feather_px=_feathers,
    channels=st.sampled_from([3, 4]),
)
def test_the_rest_and_all_cutouts_stacked_are_the_image(
    seed: int, size_hw: tuple[int, int], count: int, feather_px: float, channels: int
) -> None:
    image, objects = image_and_objects(seed, size_hw, count, channels)
    stack = LayerStack(image, objects, feather_px)

    stacked = opened(encode_pixels(stack.rest().rgba))
    for layer in stack.layers():
        data = encode_rgba_in_box(layer.rgba, canvas_hw=size_hw, corner_xy=layer.corner_xy)
        stacked = Image.alpha_composite(stacked, opened(data))

    assert np.array_equal(np.array(stacked), as_seen(image))


@given(seed=st.integers(0, 2**32), size_hw=_sizes, feather_px=_feathers)
def test_a_cutout_is_as_opaque_as_its_mask_times_the_image(
    seed: int, size_hw: tuple[int, int], feather_px: float
) -> None:
    image, objects = image_and_objects(seed, size_hw, 2, channels=4)
    for item in objects:
        covered = np.array(opened(encode_cutout(image[..., :3], item, feather_px=feather_px)))[..., 3]

        cutout = np.array(opened(encode_cutout(image, item, feather_px=feather_px)))

        alpha = np.floor(covered.astype(float) * image[..., 3] / 255 + 0.5)
        assert np.array_equal(cutout[..., 3], alpha)
        assert np.array_equal(cutout[..., :3], image[..., :3] * (alpha > 0)[..., np.newaxis])


@given(seed=st.integers(0, 2**32), size_hw=_sizes, count=st.integers(0, 4), feather_px=_feathers)
def test_alpha_that_is_full_all_over_changes_no_layer(
    seed: int, size_hw: tuple[int, int], count: int, feather_px: float
) -> None:
    image, objects = image_and_objects(seed, size_hw, count)
    opaque = np.concatenate([image, np.full((*size_hw, 1), 255, np.uint8)], axis=2)

    stacks = [LayerStack(pixels, objects, feather_px) for pixels in (image, opaque)]

    layers, same = ([*stack.layers(), stack.rest()] for stack in stacks)

    for one, other in zip(layers, same, strict=True):
        assert one.corner_xy == other.corner_xy
        assert np.array_equal(one.rgba, other.rgba)


@given(
    seed=st.integers(0, 2**32),
    size_hw=_sizes,
    fill_holes_px=st.integers(0, 9),
    drop_islands_px=st.integers(0, 9),
)
def test_objects_are_cut_to_what_can_be_seen_whatever_is_mended(
    seed: int, size_hw: tuple[int, int], fill_holes_px: int, drop_islands_px: int
) -> None:
    image, objects = image_and_objects(seed, size_hw, 3, channels=4)
    settings = SegmentSettings(
        fill_holes_px=fill_holes_px, drop_islands_px=drop_islands_px, min_area_fraction=0, max_area_fraction=1
    )
    visible = image[..., 3] > 0

    kept = choose_objects(objects, settings, visible_hw=visible)

    assert len(kept) == sum(bool((item.mask_hw & visible).any()) for item in objects)
    assert not any((item.mask_hw & ~visible).any() for item in kept)
    if not (fill_holes_px or drop_islands_px):
        assert sum(item.area_px for item in kept) == sum(int((item.mask_hw & visible).sum()) for item in objects)


@given(seed=st.integers(0, 2**32), size_hw=_sizes, padding_px=st.integers(0, 12), channels=st.sampled_from([3, 4]))
def test_a_crop_laid_at_its_place_is_the_full_canvas_cutout(
    seed: int, size_hw: tuple[int, int], padding_px: int, channels: int
) -> None:
    image, objects = image_and_objects(seed, size_hw, 1, channels)
    for item in objects:
        layer = cut_layer(image, item, padding_px=padding_px)

        canvas = Image.new("RGBA", (size_hw[1], size_hw[0]))
        canvas.paste(opened(encode_pixels(layer.rgba, offset_xy=layer.corner_xy)), layer.corner_xy)

        assert np.array_equal(np.array(canvas), np.array(opened(encode_cutout(image, item))))


@given(seed=st.integers(0, 2**32), size_hw=_sizes, count=st.integers(0, 4), channels=st.sampled_from([3, 4]))
def test_an_openraster_file_shows_the_image(seed: int, size_hw: tuple[int, int], count: int, channels: int) -> None:
    image, objects = image_and_objects(seed, size_hw, count, channels)
    stack = LayerStack(image, objects)
    named = [NamedLayer(str(number), layer) for number, layer in enumerate(stack.layers())]

    data = encode_openraster(image, NamedLayer("rest", stack.rest()), named)

    with zipfile.ZipFile(io.BytesIO(data)) as file:
        assert file.namelist()[0] == "mimetype"
        merged = opened(file.read("mergedimage.png"))
        assert opened(file.read("Thumbnails/thumbnail.png")).mode == "RGB"
    assert merged.mode == {3: "RGB", 4: "RGBA"}[channels]
    assert np.array_equal(np.array(merged.convert("RGBA")), as_seen(image))
