from __future__ import annotations

import pytest
import torch
from segment_anything.modeling import Sam

from sdclient.segment.attention import few_rows_at_once


def encode(sam: Sam, seed: int = 1) -> torch.Tensor:
    side = sam.image_encoder.img_size
    image = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        return sam.image_encoder(image)


def test_one_head_at_a_time_gives_the_same_bits_as_all_at_once(tiny_sam: Sam) -> None:
    expected = encode(tiny_sam)

    with few_rows_at_once(tiny_sam.image_encoder, group_floats=1):
        found = encode(tiny_sam)

    assert torch.equal(found, expected)


def test_an_encoder_without_relative_positions_is_served_too(tiny_sam: Sam) -> None:
    layers = [block.attn for block in tiny_sam.image_encoder.blocks]
    try:
        for layer in layers:
            layer.use_rel_pos = False
        expected = encode(tiny_sam)
        with few_rows_at_once(tiny_sam.image_encoder, group_floats=1):
            found = encode(tiny_sam)
    finally:
        for layer in layers:
            layer.use_rel_pos = True

    assert torch.equal(found, expected)


def test_the_layers_are_their_own_again_afterwards_even_after_a_failure(tiny_sam: Sam) -> None:
    with pytest.raises(ZeroDivisionError), few_rows_at_once(tiny_sam.image_encoder):
        _ = 1 / 0

    assert not any("forward" in vars(layer) for layer in tiny_sam.image_encoder.modules())


def test_layers_that_somebody_changed_are_left_alone(tiny_sam: Sam) -> None:
    layer = tiny_sam.image_encoder.blocks[0].attn
    own = layer.forward
    layer.forward = own
    try:
        with few_rows_at_once(tiny_sam.image_encoder, group_floats=1):
            assert vars(layer)["forward"] is own
        assert vars(layer)["forward"] is own
    finally:
        del layer.forward
