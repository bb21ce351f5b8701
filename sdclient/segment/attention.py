"""The image encoder's attention, a few rows at a time: the same numbers in a fraction of the memory and of the time.

SAM's encoder compares each of 4096 image patches with every other, in some layers, for 12 to 16 heads at once: gigabytes
of scores, written and read again from main memory for every step of the sum. No head depends on another and no patch's
scores on another's, so on a CPU they are worked through a few rows at a time, which stay in the processor's cache until
they are done, with segment-anything's own layers and position helper. The bits are the same: where a machine's matrix
products round differently by the number of rows, which is looked at once, whole heads are taken.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from sdclient.segment.doors import require_segment_anything, require_torch

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module

__all__ = ["few_rows_at_once"]

# Scores that exist at once, in floats: 2 MiB, what the caches next to the cores hold.
_GROUP_FLOATS = 2**19

# Whether parts of a head's rows give the same bits as the whole head: by its rows, the part's, its width, and the kind of
# numbers.
_PARTS_ARE_EXACT: dict[tuple[int, int, int, torch.dtype], bool] = {}


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
def few_rows_at_once(encoder: Module, *, group_floats: int = _GROUP_FLOATS) -> Generator[None, None, None]:
    """Let an image encoder's attention layers work through their scores in groups, for the duration of the block.

    Layers of any class but segment-anything's own are left alone.

    Args:
        encoder: segment-anything's `ImageEncoderViT`, on a CPU, without gradients. One thread may use it at a time.
        group_floats: How many attention scores may exist at once; those of one row of patches at least do.
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
    batch, height, width, _ = patches.shape
    tokens = height * width
    qkv = layer.qkv(patches).reshape(batch, tokens, 3, layer.num_heads, -1).permute(2, 0, 3, 1, 4)
    queries, keys, values = qkv.reshape(3, batch * layer.num_heads, tokens, -1).unbind(0)
    heads = _Heads.of(layer, queries, keys, values, (height, width))
    mixed = heads.mixed(group_floats).view(batch, layer.num_heads, height, width, -1)
    return layer.proj(mixed.permute(0, 2, 3, 1, 4).reshape(batch, height, width, -1))


@dataclass(frozen=True, slots=True)
class _Heads:
    """What a layer's heads compare: N heads of H x W patches, each described by C numbers.

    Attributes:
        queries: Float, shape (N, H x W, C), scaled.
        keys: Float, shape (N, H x W, C).
        values: Float, shape (N, H x W, C).
        by_row: Float, shape (N, H x W, H, 1), what is added for the row of the other patch; None without positions.
        by_column: Float, shape (N, H x W, 1, W), what is added for its column.
        size: H and W.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    by_row: Tensor | None
    by_column: Tensor | None
    size: tuple[int, int]

    @classmethod
    def of(cls, layer: _Attention, queries: Tensor, keys: Tensor, values: Tensor, size: tuple[int, int]) -> _Heads:
        scaled = queries * layer.scale
        if not layer.use_rel_pos:
            return cls(scaled, keys, values, None, None, size)
        torch, encoder = require_torch(), require_segment_anything("modeling.image_encoder")
        (height, width), count = size, len(queries)
        placed = queries.reshape(count, height, width, -1)
        rows = encoder.get_rel_pos(height, height, layer.rel_pos_h)
        columns = encoder.get_rel_pos(width, width, layer.rel_pos_w)
        by_row = torch.einsum("bhwc,hkc->bhwk", placed, rows).reshape(count, -1, height, 1)
        by_column = torch.einsum("bhwc,wkc->bhwk", placed, columns).reshape(count, -1, 1, width)
        return cls(scaled, keys, values, by_row, by_column, size)

    def mixed(self, group_floats: int) -> Tensor:
        """Return the values mixed by the scores, shape (N, H x W, C)."""
        count, tokens, depth = self.queries.shape
        # Whole rows of patches, then whole heads.
        rows = max(group_floats // tokens // self.size[1], 1) * self.size[1]
        heads = max(group_floats // tokens**2, 1)
        if rows < tokens:
            key = (tokens, rows, depth, self.queries.dtype)
            if key not in _PARTS_ARE_EXACT:
                _PARTS_ARE_EXACT[key] = self._parts_are_exact(rows)
            rows = rows if _PARTS_ARE_EXACT[key] else tokens
        result: Tensor = require_torch().empty_like(self.queries)
        for first in range(0, count, heads):
            for start in range(0, tokens, rows):
                part = (slice(first, first + heads), slice(start, start + rows))
                result[part] = self._mix(*part)
        return result

    def _parts_are_exact(self, rows: int) -> bool:
        torch = require_torch()
        head, tokens = slice(0, 1), self.queries.shape[1]
        parts = [self._mix(head, slice(start, start + rows)) for start in range(0, tokens, rows)]
        return bool(torch.equal(torch.cat(parts, dim=1), self._mix(head, slice(0, tokens))))

    def _mix(self, heads: slice, tokens: slice) -> Tensor:
        scores = self.queries[heads, tokens] @ self.keys[heads].transpose(-2, -1)
        if self.by_row is not None and self.by_column is not None:
            placed = scores.view(*scores.shape[:2], *self.size)
            placed += self.by_row[heads, tokens]
            placed += self.by_column[heads, tokens]
        mixed: Tensor = scores.softmax(dim=-1) @ self.values[heads]
        return mixed
