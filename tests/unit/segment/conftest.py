"""A Segment Anything model small enough for tests, made of segment-anything's own parts with seeded weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from segment_anything.modeling import ImageEncoderViT, MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

EMBED = 32


class RecordingSam(Sam):
    """Notes how many masks it is asked to enlarge at once."""

    def __init__(self, **parts: torch.nn.Module) -> None:
        super().__init__(**parts)
        self.enlarged_at_once: list[int] = []

    def postprocess_masks(self, masks: torch.Tensor, *sizes: tuple[int, ...]) -> torch.Tensor:
        self.enlarged_at_once.append(masks.shape[0] * masks.shape[1])
        return super().postprocess_masks(masks, *sizes)


def build_tiny_sam(kind: type[Sam] = Sam, image_size: int = 128) -> Sam:
    torch.manual_seed(0)
    grid = image_size // 16
    sam = kind(
        image_encoder=ImageEncoderViT(
            img_size=image_size,
            patch_size=16,
            embed_dim=32,
            depth=2,
            num_heads=2,
            out_chans=EMBED,
            norm_layer=partial(torch.nn.LayerNorm, eps=1e-6),
            use_rel_pos=True,
            window_size=4,
            global_attn_indexes=(1,),
        ),
        prompt_encoder=PromptEncoder(EMBED, (grid, grid), (image_size, image_size), 4),
        mask_decoder=MaskDecoder(
            transformer_dim=EMBED,
            transformer=TwoWayTransformer(depth=2, embedding_dim=EMBED, mlp_dim=64, num_heads=2),
            num_multimask_outputs=3,
            iou_head_depth=2,
            iou_head_hidden_dim=32,
        ),
    )
    # Weights fresh from the generator answer every point with nearly the same mask.
    with torch.no_grad():
        for parameter in sam.parameters():
            parameter.mul_(2.0)
    return sam.eval()


@pytest.fixture(scope="session")
def tiny_sam() -> Sam:
    return build_tiny_sam()


@pytest.fixture(scope="session")
def speckled_sam() -> Sam:
    """Its masks are a few specks each, so that those of quarters need not touch the quarter's edge."""
    sam = build_tiny_sam()
    sam.mask_threshold = 2.5
    return sam


@pytest.fixture
def recording_sam() -> RecordingSam:
    return build_tiny_sam(RecordingSam)


@pytest.fixture(scope="session")
def scene_rgb() -> np.ndarray:
    """A calm gradient with a red disc, a blue square and a green triangle standing apart; 320 x 240 pixels."""
    height, width = 240, 320
    rows, columns = np.mgrid[:height, :width]
    image = np.stack([150 + rows / 6, 170 + rows / 8, 210 - rows / 9], axis=2)
    image[(columns - 70) ** 2 + (rows - 90) ** 2 < 40**2] = (200, 40, 40)
    image[60:130, 150:220] = (30, 60, 170)
    image[(rows > 60) & (rows < 180) & (abs(columns - 270) < (rows - 60) / 4)] = (20, 130, 50)
    return image.clip(0, 255).astype(np.uint8)
