from __future__ import annotations

import io

import cv2
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdclient.segment.cutouts import encode_cutout
from sdclient.segment.layers import LayerStack
from sdclient.segment.masks import bbox_xywh_from_mask, decode_rle, encode_rle, runs_from_mask
from sdclient.segment.objects import SegmentedObject, select_objects
from sdclient.segment.png import encode_rgba_in_box


@st.composite
def masks(draw: st.DrawFn) -> np.ndarray:
    height, width = draw(st.integers(1, 24)), draw(st.integers(1, 24))
    share = draw(st.sampled_from([0.0, 0.02, 0.3, 0.7, 0.98, 1.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return rng.random((height, width)) < share


def reference_counts(mask: np.ndarray) -> list[int]:
    counts, value = [0], False
    for pixel in mask.flatten(order="F").tolist():
        if pixel != value:
            counts.append(0)
            value = pixel
        counts[-1] += 1
    return counts


@given(mask=masks())
def test_decoding_undoes_encoding(mask: np.ndarray) -> None:
    assert np.array_equal(decode_rle(encode_rle(mask)), mask)


@given(mask=masks())
def test_counts_are_those_of_walking_down_every_column(mask: np.ndarray) -> None:
    assert encode_rle(mask)["counts"] == reference_counts(mask)


@given(mask=masks())
def test_area_and_box_of_the_runs_are_those_of_the_mask(mask: np.ndarray) -> None:
    runs = runs_from_mask(mask)

    assert runs.area_px == mask.sum()
    assert runs.bbox_xywh == bbox_xywh_from_mask(mask)
    x, y, width, height = runs.bbox_xywh
    assert np.array_equal(runs.decode_box(), mask[y : y + height, x : x + width])


@given(mask=masks(), seed=st.integers(0, 2**32 - 1))
def test_cut_outs_of_a_mask_and_the_rest_put_the_image_together_again(mask: np.ndarray, seed: int) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (*mask.shape, 3), dtype=np.uint8)
    layers = [
        np.array(Image.open(io.BytesIO(encode_cutout(image, SegmentedObject.from_mask(part, score=1)))))
        for part in (mask, ~mask)
        if part.any()
    ]

    assert np.array_equal(np.sum(layers, axis=0)[..., :3], image)
    assert np.all(np.sum(layers, axis=0)[..., 3] == 255)


@given(
    canvas=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    corner=st.tuples(st.integers(0, 39), st.integers(0, 39)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**32 - 1),
)
def test_pillow_and_opencv_read_a_box_in_its_canvas_alike(
    canvas: tuple[int, int], corner: tuple[int, int], size: tuple[int, int], seed: int
) -> None:
    (height, width), x, y = canvas, corner[0] % canvas[1], corner[1] % canvas[0]
    box_hw = (min(size[0], height - y), min(size[1], width - x))
    box = np.random.default_rng(seed).integers(0, 256, (*box_hw, 4), dtype=np.uint8)
    expected = np.zeros((height, width, 4), np.uint8)
    expected[y : y + box_hw[0], x : x + box_hw[1]] = box

    data = encode_rgba_in_box(box, canvas_hw=canvas, corner_xy=(x, y))

    assert np.array_equal(np.array(Image.open(io.BytesIO(data))), expected)
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert np.array_equal(decoded[..., [2, 1, 0, 3]], expected)


@given(
    found=st.lists(st.tuples(masks(), st.sampled_from([0.1, 0.5, 0.5, 0.9])), max_size=6),
    order=st.randoms(use_true_random=False),
    top_n=st.none() | st.integers(0, 4),
)
def test_the_choice_does_not_depend_on_the_order_objects_come_in(
    found: list[tuple[np.ndarray, float]],
    order: object,
    top_n: int | None,
) -> None:
    objects = [SegmentedObject.from_mask(mask, score=score) for mask, score in found]
    shuffled = list(objects)
    order.shuffle(shuffled)

    chosen = select_objects(objects, top_n=top_n, max_area_fraction=0.9)

    assert select_objects(shuffled, top_n=top_n, max_area_fraction=0.9) == chosen
    assert [item.area_px for item in chosen] == sorted((item.area_px for item in chosen), reverse=True)


@given(masks(), st.integers(0, 2**32 - 1))
def test_two_masks_share_what_both_hold(mask: np.ndarray, seed: int) -> None:
    other = np.random.default_rng(seed).random(mask.shape) > 0.5

    assert runs_from_mask(mask).overlap_px(runs_from_mask(other)) == int((mask & other).sum())


@given(masks(), st.floats(0, 8), st.integers(0, 2**32 - 1))
def test_the_rest_completes_any_layers_to_the_image(mask: np.ndarray, feather_px: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (*mask.shape, 3)).astype(np.uint8)
    several = [mask, rng.random(mask.shape) < 0.2, rng.random(mask.shape) < 0.9]
    objects = [SegmentedObject.from_mask(one, score=1) for one in several if one.any()]
    stack = LayerStack(image, objects, feather_px)

    stacked = Image.fromarray(stack.rest().rgba)
    for layer in stack.layers():
        stacked.alpha_composite(Image.fromarray(layer.rgba), layer.corner_xy)

    assert np.array_equal(np.array(stacked)[..., :3], image)
