"""The image encoder's attention over the whole image, a few heads at a time: the same numbers in a fraction of the memory.

SAM's encoder compares each of 4096 image patches with every other, in some layers, for 12 to 16 heads at once: gigabytes
of scores that exist in several copies. Heads do not depend on each other, so on a CPU they are worked through in small
groups, with segment-anything's own layers and position helper. The result has the same bits and is ready sooner.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, cast

from sdclient.segment.doors import require_segment_anything, require_torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["few_heads_at_once"]

# Scores of one group of heads, in floats: 128 MiB.
_GROUP_FLOATS = 2**25


class _Attention(Protocol):
    """What is used of segment-anything's `Attention`, which has no types of its own."""

    num_heads: int
    scale: float
    use_rel_pos: bool
    rel_pos_h: Tensor
    rel_pos_w: Tensor
    qkv: Callable[[Tensor], Tensor]
    proj: Callable[[Tensor], Tensor]


@contextmanager
def few_heads_at_once(encoder: Module, *, group_floats: int = _GROUP_FLOATS) -> Generator[None, None, None]:
    """Let an image encoder's attention layers work through their heads in groups, for the duration of the block.

    Layers of any class but segment-anything's own are left alone.

    Args:
        encoder: segment-anything's `ImageEncoderViT`, on a CPU. One thread may use it at a time.
        group_floats: How many attention scores may exist at once; one head's at least do.
    """
    attention_class = require_segment_anything("modeling.image_encoder").Attention
    layers = [layer for layer in encoder.modules() if type(layer) is attention_class and "forward" not in vars(layer)]
    for layer in layers:
        # An attribute of the instance goes before the class's method; taking it away brings the method back.
        vars(layer)["forward"] = functools.partial(_attend, cast("_Attention", layer), group_floats)
    try:
        yield
    finally:
        for layer in layers:
            del vars(layer)["forward"]


def _attend(layer: _Attention, group_floats: int, patches: Tensor) -> Tensor:
    """Do what the layer's own `forward` does with `patches`, shape (B, H, W, C)."""
    torch = require_torch()
    encoder = require_segment_anything("modeling.image_encoder")
    batch, height, width, _ = patches.shape
    tokens = height * width
    rows = batch * layer.num_heads
    group = max(group_floats // tokens**2, 1)
    if group >= rows:
        whole: Tensor = encoder.Attention.forward(layer, patches)
        return whole
    qkv = layer.qkv(patches).reshape(batch, tokens, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    queries, keys, values = qkv.reshape(3, rows, tokens, -1).unbind(0)
    mixed: list[Tensor] = []
    for start in range(0, rows, group):
        query, key, value = (part[start : start + group] for part in (queries, keys, values))
        scores = (query * layer.scale) @ key.transpose(-2, -1)
        if layer.use_rel_pos:
            size = (height, width)
            scores = encoder.add_decomposed_rel_pos(scores, query, layer.rel_pos_h, layer.rel_pos_w, size, size)
        mixed.append(scores.softmax(dim=-1) @ value)
    heads: Tensor = torch.cat(mixed).view(batch, layer.num_heads, height, width, -1)
    return layer.proj(heads.permute(0, 2, 3, 1, 4).reshape(batch, height, width, -1))
