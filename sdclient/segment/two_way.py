"""SAM's mask decoder with what all points of an image share worked out once: its own layers, called in its own order.

::

    image = ImageSide.of(decoder, features, image_pe, dense)      # once an image
    answer = image.ask(sparse)                                    # a few points
    answer.ious                                                   # known before any mask is drawn
    answer.draw(0)                                                # the masks of the first of these points

`is_known` tells whether a decoder is one of segment-anything's own, layer by layer; others are none of this module's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from sdclient.segment.doors import require_segment_anything, require_torch

if TYPE_CHECKING:
    from torch import Tensor
    from torch.nn import Module

__all__ = ["ImageSide", "MaskDecoder", "PointAnswers", "is_known"]

_Layer = Callable[..., "Tensor"]

# Tokens before a point's own: one for the ratings, then one for each mask. The first mask is the one for unclear prompts
# left out; SAM answers a point with the other three.
_RATING_TOKEN = 0
_FIRST_MASK_TOKEN = 1


class _Attention(Protocol):
    """segment-anything's `Attention` between points and image, which has no types of its own."""

    num_heads: int
    q_proj: _Layer
    k_proj: _Layer
    v_proj: _Layer
    out_proj: _Layer


class _Block(Protocol):
    """segment-anything's `TwoWayAttentionBlock`."""

    skip_first_layer_pe: bool
    self_attn: _Layer
    cross_attn_token_to_image: _Attention
    cross_attn_image_to_token: _Attention
    mlp: _Layer
    norm1: _Layer
    norm2: _Layer
    norm3: _Layer
    norm4: _Layer


class _Transformer(Protocol):
    """segment-anything's `TwoWayTransformer`."""

    layers: Sequence[_Block]
    final_attn_token_to_image: _Attention
    norm_final_attn: _Layer


class _Embedding(Protocol):
    weight: Tensor


class MaskDecoder(Protocol):
    """What is used of segment-anything's `MaskDecoder`."""

    transformer: _Transformer
    iou_token: _Embedding
    mask_tokens: _Embedding
    output_upscaling: _Layer
    output_hypernetworks_mlps: Sequence[_Layer]
    iou_prediction_head: _Layer


def is_known(decoder: Module) -> bool:
    """Tell whether a decoder and its layers are segment-anything's own classes, and nobody has hung anything on them."""
    ways = require_segment_anything("modeling.transformer")
    if type(decoder) is not require_segment_anything("modeling.mask_decoder").MaskDecoder:
        return False
    transformer = cast("MaskDecoder", decoder).transformer
    if type(transformer) is not ways.TwoWayTransformer:
        return False
    crossing: list[object] = [transformer.final_attn_token_to_image]
    for block in transformer.layers:
        crossing += [block, block.cross_attn_token_to_image, block.cross_attn_image_to_token]
    hung_on = ("forward", "_forward_hooks", "_forward_pre_hooks")
    return all(type(part) in (ways.TwoWayAttentionBlock, ways.Attention) for part in crossing) and not any(
        vars(part).get(name) for part in decoder.modules() for name in hung_on
    )


@dataclass(frozen=True, slots=True)
class _Side:
    """An image as one attention sees it, in heads: float, each of shape (N, heads, h x w, C), N = 1 where points share it."""

    keys: Tensor
    values: Tensor


@dataclass(frozen=True, slots=True)
class ImageSide:
    """One image, ready to be asked about points.

    Attributes:
        decoder: The decoder.
        image: Float, shape (1, h x w, C), the image's features.
        places: Float, shape (1, h x w, C), what tells the decoder where each of them lies.
        first: What the first layer makes of them as keys and values, the same for all points.
        asking: What it makes of them as queries.
        size_hw: h and w.
    """

    decoder: MaskDecoder
    image: Tensor
    places: Tensor
    first: _Side
    asking: Tensor
    size_hw: tuple[int, int]

    @classmethod
    def of(cls, decoder: MaskDecoder, features: Tensor, image_pe: Tensor, dense: Tensor) -> ImageSide:
        """Prepare an image.

        Args:
            decoder: segment-anything's decoder, one that `is_known`.
            features: Float, shape (1, C, h, w), what the encoder made of the image.
            image_pe: Float, shape (1, C, h, w), where each feature lies.
            dense: Float, shape (1, C, h, w), what the prompt encoder adds where there is no earlier mask.
        """
        # As segment-anything has them, one column of the matrix after the other: its products round by that.
        image = (features + dense).flatten(2).permute(0, 2, 1)
        places = image_pe.flatten(2).permute(0, 2, 1)
        block = decoder.transformer.layers[0]
        first = _side(block.cross_attn_token_to_image, image, image + places)
        asking = _in_heads(block.cross_attn_image_to_token.q_proj(image + places), block.cross_attn_image_to_token)
        size_hw = (features.shape[2], features.shape[3])
        return cls(decoder, image.contiguous(), places.contiguous(), first, asking, size_hw)

    def ask(self, sparse: Tensor) -> PointAnswers:
        """Ask about points.

        Args:
            sparse: Float, shape (N, tokens, C), what the prompt encoder made of the points.
        """
        torch, decoder = require_torch(), self.decoder
        own = torch.cat([decoder.iou_token.weight, decoder.mask_tokens.weight]).unsqueeze(0)
        tokens = torch.cat((own.expand(len(sparse), -1, -1), sparse), dim=1)
        told, image = self._transform(tokens)
        drawn = len(decoder.output_hypernetworks_mlps)
        weights = torch.stack(
            [
                layer(told[:, _FIRST_MASK_TOKEN + index])
                for index, layer in enumerate(decoder.output_hypernetworks_mlps)
            ],
            dim=1,
        )
        ious = decoder.iou_prediction_head(told[:, _RATING_TOKEN])[:, 1:drawn]
        seen = image.transpose(1, 2).view(len(sparse), -1, *self.size_hw)
        return PointAnswers(decoder, ious, weights, seen)

    def _transform(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """Let points and image look at each other, as `TwoWayTransformer` does; return both as they are afterwards."""
        transformer = self.decoder.transformer
        points, image = tokens, self.image
        for index, block in enumerate(transformer.layers):
            points = block.norm1(_looked_around(block, points, tokens))
            to_image, to_points = block.cross_attn_token_to_image, block.cross_attn_image_to_token
            if index == 0:
                side, asking = self.first, self.asking
            else:
                placed = image + self.places
                side, asking = _side(to_image, image, placed), _in_heads(to_points.q_proj(placed), to_points)
            points = block.norm2(
                points + _attend(to_image, _in_heads(to_image.q_proj(points + tokens), to_image), side)
            )
            points = block.norm3(points + block.mlp(points))
            learnt = _attend(to_points, asking, _side(to_points, points, points + tokens))
            learnt += image
            image = block.norm4(learnt)
        last = transformer.final_attn_token_to_image
        side = _side(last, image, image + self.places)
        points = points + _attend(last, _in_heads(last.q_proj(points + tokens), last), side)
        return transformer.norm_final_attn(points), image


@dataclass(frozen=True, slots=True)
class PointAnswers:
    """What the decoder says about N points.

    Attributes:
        decoder: The decoder.
        ious: Float, shape (N, 3), the predicted IoU of each point's masks.
        weights: Float, shape (N, 4, C), how to draw each mask.
        seen: Float, shape (N, C, h, w), the image as each point has left it.
    """

    decoder: MaskDecoder
    ious: Tensor
    weights: Tensor
    seen: Tensor

    def draw(self, point: int) -> Tensor:
        """Return the masks of one point, float, shape (3, 4h, 4w), logits."""
        one = slice(point, point + 1)
        large = self.decoder.output_upscaling(self.seen[one])
        _, depth, height, width = large.shape
        drawn: Tensor = (self.weights[one] @ large.view(1, depth, -1)).view(-1, height, width)[1:]
        return drawn


def _looked_around(block: _Block, points: Tensor, tokens: Tensor) -> Tensor:
    """Return the points after they have looked at each other."""
    if block.skip_first_layer_pe:
        return block.self_attn(q=points, k=points, v=points)
    placed = points + tokens
    return points + block.self_attn(q=placed, k=placed, v=points)


def _side(attention: _Attention, values: Tensor, keys: Tensor) -> _Side:
    return _Side(_in_heads(attention.k_proj(keys), attention), _in_heads(attention.v_proj(values), attention))


def _in_heads(rows: Tensor, attention: _Attention) -> Tensor:
    """Return rows, shape (N, R, C), as shape (N, heads, R, C / heads)."""
    return rows.reshape(*rows.shape[:2], attention.num_heads, -1).transpose(1, 2)


def _attend(attention: _Attention, queries: Tensor, side: _Side) -> Tensor:
    """Do what the attention's own `forward` does after its input layers."""
    scores = queries @ side.keys.transpose(-2, -1)
    scores /= math.sqrt(queries.shape[-1])
    mixed = scores.softmax(dim=-1) @ side.values
    return attention.out_proj(mixed.transpose(1, 2).reshape(mixed.shape[0], mixed.shape[2], -1))
