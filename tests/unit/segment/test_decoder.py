"""The mask decoder with what points share worked out once: always segment-anything's own bits."""

from __future__ import annotations

import pytest
import torch
from segment_anything.modeling import MaskDecoder, PromptEncoder, Sam, TwoWayTransformer

from sdclient.segment.decoder import Answers, PointDecoder
from sdclient.segment.two_way import ImageSide, is_known
from tests.unit.segment.conftest import EMBED, build_tiny_sam

FULL = 256


class Counting(MaskDecoder):
    """Notes how many points it is asked about at once."""

    def __init__(self, decoder: MaskDecoder) -> None:
        head = {"iou_head_depth": 2, "iou_head_hidden_dim": 32}
        super().__init__(transformer_dim=EMBED, transformer=decoder.transformer, **head)
        self.load_state_dict(decoder.state_dict())
        self.asked: list[int] = []

    def predict_masks(
        self,
        image_embeddings: torch.Tensor,
        image_pe: torch.Tensor,
        sparse_prompt_embeddings: torch.Tensor,
        dense_prompt_embeddings: torch.Tensor,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        self.asked.append(len(sparse_prompt_embeddings))
        return super().predict_masks(image_embeddings, image_pe, sparse_prompt_embeddings, dense_prompt_embeddings)


class SizeOfBatch(torch.nn.Module):
    """A layer whose numbers depend on how many points come at once, as some machines' products do."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        return values + len(values) / 100


def features_of(sam: Sam) -> torch.Tensor:
    grid = sam.prompt_encoder.image_embedding_size
    return torch.randn(1, sam.prompt_encoder.embed_dim, *grid, generator=torch.Generator().manual_seed(2))


def some_points(count: int) -> torch.Tensor:
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(3)) * 128


@torch.no_grad()
def whole(sam: Sam, points: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return what segment-anything's decoder says about all points at once."""
    ones = torch.ones((len(points), 1), dtype=torch.int)
    sparse, dense = sam.prompt_encoder(points=(points[:, None], ones), boxes=None, masks=None)
    masks, ious = sam.mask_decoder(
        features_of(sam), sam.prompt_encoder.get_dense_pe(), sparse, dense, multimask_output=True
    )
    return masks.flatten(0, 1), ious.flatten()


@torch.no_grad()
def ask(sam: Sam, points: torch.Tensor, threshold: float = 0.0) -> list[Answers]:
    return list(PointDecoder(sam, threshold).ask(features_of(sam), points))


@pytest.mark.parametrize("count", [1, 3, 4, 7, 9, 30])
def test_any_number_of_points_gets_segment_anythings_own_bits(tiny_sam: Sam, count: int) -> None:
    masks, ious = whole(tiny_sam, some_points(count))

    answers = ask(tiny_sam, some_points(count))

    assert torch.equal(torch.cat([one.low_res for one in answers]), masks)
    assert torch.equal(torch.cat([one.ious for one in answers]), ious)
    assert [place for one in answers for place in one.places] == [place for place in range(count) for _ in range(3)]


def test_only_masks_above_the_threshold_are_given_with_their_points(tiny_sam: Sam) -> None:
    masks, ious = whole(tiny_sam, some_points(20))
    threshold = float(ious.clamp(min=1e-6).quantile(0.9))

    answers = ask(tiny_sam, some_points(20), threshold)

    passing = (ious > threshold).nonzero()[:, 0]
    assert 0 < len(passing) < 20
    assert torch.equal(torch.cat([one.low_res for one in answers if len(one.ious)]), masks[passing])
    assert [place for one in answers for place in one.places] == (passing // 3).tolist()


def test_a_decoder_of_full_size_answers_part_by_part_with_the_same_bits() -> None:
    torch.manual_seed(0)
    transformer = TwoWayTransformer(depth=2, embedding_dim=FULL, mlp_dim=2048, num_heads=8)
    decoder = MaskDecoder(transformer_dim=FULL, transformer=transformer).eval()
    prompts = PromptEncoder(FULL, (64, 64), (1024, 1024), 16)
    points, features = torch.rand(8, 1, 2) * 1024, torch.randn(1, FULL, 64, 64)
    with torch.no_grad():
        sparse, dense = prompts(points=(points, torch.ones(8, 1)), boxes=None, masks=None)
        masks, ious = decoder(features, prompts.get_dense_pe(), sparse, dense, multimask_output=True)

        side = ImageSide.of(decoder, features, prompts.get_dense_pe(), dense[:1])
        answers = [side.ask(part) for part in sparse.split(4)]
        drawn = [answer.draw(point) for answer in answers for point in range(4)]

    # Machines differ in how they round; where these did, `PointDecoder` would find out and leave it.
    assert torch.allclose(torch.cat([answer.ious for answer in answers]), ious, atol=1e-5)
    assert torch.allclose(torch.stack(drawn), masks, atol=1e-4)


def test_where_parts_give_other_bits_the_decoder_is_asked_for_whole_batches() -> None:
    sam = build_tiny_sam()
    sam.mask_decoder.output_upscaling.append(SizeOfBatch())
    masks, ious = whole(sam, some_points(30))

    (answers,) = ask(sam, some_points(30))

    assert torch.equal(answers.low_res, masks)
    assert torch.equal(answers.ious, ious)


def test_a_decoder_of_another_class_is_left_to_itself() -> None:
    sam = build_tiny_sam()
    sam.mask_decoder = Counting(sam.mask_decoder)

    ask(sam, some_points(30))

    assert sam.mask_decoder.asked == [30]


def test_a_decoder_somebody_watches_or_has_changed_is_not_taken_apart(tiny_sam: Sam) -> None:
    watched, changed, replaced = (build_tiny_sam().mask_decoder for _ in range(3))
    watched.transformer.layers[0].norm1.register_forward_hook(lambda *_: None)
    changed.forward = changed.forward
    replaced.transformer = torch.nn.Identity()

    assert is_known(tiny_sam.mask_decoder)
    assert not any(is_known(decoder) for decoder in (watched, changed, replaced))
