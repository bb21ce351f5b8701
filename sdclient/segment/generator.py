"""Every mask Segment Anything finds in an image, as its own generator finds them, in bounded memory.

The model, its predictor and its helpers are segment-anything's. What differs from its `SamAutomaticMaskGenerator` is the
order of the work, never the result: masks that the model itself rates too low are dropped before they are enlarged, on a
CPU before they are drawn; there, attention is computed a few rows and points are decoded a few at a time; masks are
enlarged, judged and turned into runs a few at a time, so that only a handful of full-size masks exist at once. Where no
mask passes, the list is empty.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sdclient.segment.decoder import PointDecoder
from sdclient.segment.doors import require_segment_anything, require_torch
from sdclient.segment.encoding import Encoding
from sdclient.segment.masks import CocoRle, MaskHW, MaskRuns, bbox_xywh_from_mask, runs_from_mask
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.options import MaskOptions, ResolvedOptions
from sdclient.segment.pixels import ImageRGB, check_image

if TYPE_CHECKING:
    import torch
    from typing_extensions import Unpack

__all__ = ["GeneratedMask", "MaskGenerator"]

# Numbers of one enlarged chunk, in floats: 128 MiB of masks on a CPU, 1 GiB on a GPU.
_CPU_CHUNK_FLOATS = 2**25
_GPU_CHUNK_FLOATS = 2**28

# SAM answers each point with three masks.
_MASKS_PER_POINT = 3


@dataclass(frozen=True, slots=True)
class GeneratedMask:
    """One mask, with the numbers segment-anything's generator gives for it.

    Attributes:
        runs: The mask, of the whole image's size.
        area: Number of pixels of the mask.
        bbox_xywh: x and y of the leftmost column and topmost row; then, as segment-anything counts them, the distance
            to the rightmost column and to the lowest row (one less than the columns and rows covered).
        predicted_iou: The model's own rating, around 0 to 1.
        stability_score: How little the mask changes with its threshold, 0 to 1.
        point_xy: The point the model was asked about, in pixels of the image.
        crop_box_xywh: The part of the image it was asked in, in pixels.
    """

    runs: MaskRuns
    area: int
    bbox_xywh: tuple[int, int, int, int]
    predicted_iou: float
    stability_score: float
    point_xy: tuple[float, float]
    crop_box_xywh: tuple[int, int, int, int]

    @property
    def mask_hw(self) -> MaskHW:
        """A new bool array, shape (H, W) of the whole image, True where the object is; row 0 is the top."""
        return self.runs.decode()

    @property
    def rle(self) -> CocoRle:
        """The mask in COCO's uncompressed run-length form."""
        return self.runs.to_coco()

    def to_object(self) -> SegmentedObject:
        """Return the mask as an object, whose box counts the columns and rows it covers."""
        score = min(max(self.predicted_iou, 0.0), 1.0)
        return SegmentedObject(
            self.runs, self.area, self.runs.bbox_xywh, score, self.stability_score, self.point_xy, self.crop_box_xywh
        )


@dataclass(slots=True)
class _Candidate:
    """A mask on its way: `box_xyxy` holds first and last column and row, in the image once the crop is done."""

    runs: MaskRuns
    box_xyxy: tuple[int, int, int, int]
    iou: float
    stability: float
    point_xy: tuple[float, float]
    crop_xyxy: tuple[int, int, int, int]


@dataclass(frozen=True, slots=True)
class _Rated:
    """A few masks that the model rates highly enough.

    Attributes:
        low_res: Float, shape (M, 256, 256), logits.
        ious: The predicted IoU of each.
        points: float64, shape (M, 2), the point each belongs to, in the crop's pixels.
    """

    low_res: torch.Tensor
    ious: list[float]
    points: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Crop:
    """Where the model looks: a box of an image of `image_hw` pixels."""

    box_xyxy: tuple[int, int, int, int]
    image_hw: tuple[int, int]

    @property
    def size_hw(self) -> tuple[int, int]:
        x0, y0, x1, y1 = self.box_xyxy
        return (y1 - y0, x1 - x0)


class MaskGenerator:
    """Asks a SAM model about a grid of points and keeps the good masks: the same as `SamAutomaticMaskGenerator`.

    ::

        generator = MaskGenerator(sam, points_per_side=16, pred_iou_thresh=0.9)
        for mask in generator.generate(image_rgb):
            ...

    Args:
        sam: A `segment_anything` model, on the device it shall run on.
        half: Encode images in half precision for as long as masks stay within the bound of `segment.encoding`; they
            are then no longer segment-anything's to the bit. An `Encoding` says how in full.
        options: See `MaskOptions`; names and defaults are segment-anything's.

    Raises:
        ConfigurationError: If an option is unknown or out of its range.
        MissingExtraError: If torch or segment-anything is not installed.
    """

    def __init__(self, sam: torch.nn.Module, *, half: bool | Encoding = False, **options: Unpack[MaskOptions]) -> None:
        self._options = ResolvedOptions.of(options)
        self._encoding = half if isinstance(half, Encoding) else Encoding(half=half)
        self._torch = require_torch()
        self._amg = require_segment_anything("utils.amg")
        self._boxes = require_segment_anything("automatic_mask_generator")
        self._predictor = require_segment_anything().SamPredictor(sam)
        self._sam = self._predictor.model
        self._decoder = PointDecoder(self._sam, self._options.pred_iou_thresh)
        self._grids: Sequence[NDArray[np.float64]] = self._options.grids(self._amg)

    def generate(self, image: ImageRGB) -> list[GeneratedMask]:
        """Find the masks of an image.

        Args:
            image: uint8, shape (H, W, 3), RGB.

        Returns:
            The masks that pass every threshold, in segment-anything's order; empty where none does. They may overlap.

        Raises:
            SegmentationError: If `image` is no such array.
        """
        check_image(image)
        image_hw = (image.shape[0], image.shape[1])
        if min(image_hw) * self._sam.image_encoder.img_size * 2 < max(image_hw):
            # Made as small as the model takes it, such a strip has no pixels left.
            return []
        options = self._options
        boxes, layers = self._amg.generate_crop_boxes(image_hw, options.crop_n_layers, options.crop_overlap_ratio)
        found: list[_Candidate] = []
        with self._torch.no_grad():
            for box, layer in zip(boxes, layers, strict=True):
                found += self._masks_of_crop(image, _Crop(tuple(box), image_hw), layer)
            if len(boxes) > 1:
                found = self._without_crop_duplicates(found)
            if options.min_mask_region_area > 0:
                found = self._mended(found)
        return [_finished(candidate) for candidate in found]

    def _masks_of_crop(self, image: ImageRGB, crop: _Crop, layer: int) -> list[_Candidate]:
        """Return the masks of one crop, best first, in the image's frame."""
        x0, y0, x1, y1 = crop.box_xyxy
        self._encoding.show(self._predictor, image[y0:y1, x0:x1])
        points = self._grids[layer] * np.array([crop.size_hw[::-1]])
        found: list[_Candidate] = []
        for batch in _slices(points, self._options.points_per_batch):
            for rated in self._ask(batch, crop):
                found += self._judge(rated, crop)
        self._predictor.reset_image()
        self._decoder.forget()
        kept = self._best_of_overlapping(found, [item.iou for item in found], self._options.box_nms_thresh)
        for item in kept:
            left, top, right, bottom = item.box_xyxy
            item.box_xyxy = (left + x0, top + y0, right + x0, bottom + y0)
            item.point_xy = (item.point_xy[0] + x0, item.point_xy[1] + y0)
        return kept

    @property
    def _on_cpu(self) -> bool:
        return bool(self._sam.device.type == "cpu")

    def _ask(self, points: NDArray[np.float64], crop: _Crop) -> Iterator[_Rated]:
        """Ask the model about points, shape (N, 2), in the crop's pixels."""
        torch, device = self._torch, self._sam.device
        moved = torch.as_tensor(self._predictor.transform.apply_coords(points, crop.size_hw))
        if device.type == "mps":
            # Apple's GPUs have no 64-bit floats.
            moved = moved.to(torch.float32)
        for answers in self._decoder.ask(self._predictor.features, moved.to(device)):
            scores = [float(iou) for iou in answers.ious.cpu().numpy()]
            for start in range(0, len(scores), self._masks_at_once(crop)):
                chunk = slice(start, start + self._masks_at_once(crop))
                yield _Rated(answers.low_res[chunk], scores[chunk], points[answers.places[chunk]])

    def _masks_at_once(self, crop: _Crop) -> int:
        budget = _CPU_CHUNK_FLOATS if self._on_cpu else _GPU_CHUNK_FLOATS
        encoded_px: int = self._sam.image_encoder.img_size**2
        larger_px = max(crop.size_hw[0] * crop.size_hw[1], encoded_px)
        return max(budget // larger_px // _MASKS_PER_POINT, 1) * _MASKS_PER_POINT

    def _judge(self, rated: _Rated, crop: _Crop) -> Iterator[_Candidate]:
        """Enlarge a chunk of masks and yield those that are stable and do not end at the crop's edge."""
        torch, options = self._torch, self._options
        logits = self._enlarge(rated.low_res)
        threshold: float = self._sam.mask_threshold
        stable = self._stability(logits, threshold)
        keep = torch.ones_like(stable, dtype=torch.bool)
        if options.stability_score_thresh > 0.0:
            keep = stable >= options.stability_score_thresh
        stabilities = [float(score) for score in stable.cpu().numpy()]
        whole_image = [0, 0, crop.image_hw[1], crop.image_hw[0]]
        for index, is_stable in enumerate(keep.cpu().numpy()):
            if not is_stable:
                continue
            mask: MaskHW = (logits[index] > threshold).cpu().numpy()
            box = _box_xyxy(mask)
            if bool(self._amg.is_box_near_crop_edge(torch.tensor([box]), list(crop.box_xyxy), whole_image)[0]):
                continue
            point = (float(rated.points[index, 0]), float(rated.points[index, 1]))
            runs = runs_from_mask(_uncropped(mask, crop))
            yield _Candidate(runs, box, rated.ious[index], stabilities[index], point, crop.box_xyxy)

    def _stability(self, logits: torch.Tensor, threshold: float) -> torch.Tensor:
        """Return how little each of N masks changes with its threshold, shape (N,)."""
        offset = self._options.stability_score_offset
        if not self._on_cpu:
            stability: torch.Tensor = self._amg.calculate_stability_score(logits, threshold, offset)
            return stability
        # The same counts and the same division; numpy counts several times as fast.
        planes = logits.numpy()
        inner, outer = (
            self._torch.tensor(
                [np.count_nonzero(plane > np.float32(limit)) for plane in planes], dtype=self._torch.int32
            )
            for limit in (threshold + offset, threshold - offset)
        )
        counted: torch.Tensor = inner / outer
        return counted

    def _enlarge(self, low_res: torch.Tensor) -> torch.Tensor:
        """Return masks of shape (N, 256, 256) as logits of the crop's size, shape (N, H, W)."""
        # In threes, as the model hands them over: torch picks its way of interpolating by the number of channels.
        missing = -len(low_res) % _MASKS_PER_POINT
        padded: torch.Tensor = self._torch.cat([low_res, low_res[:1].expand(missing, -1, -1)])
        threes = padded.reshape(-1, _MASKS_PER_POINT, *low_res.shape[1:])
        predictor = self._predictor
        enlarged = self._sam.postprocess_masks(threes, predictor.input_size, predictor.original_size)
        logits: torch.Tensor = enlarged.flatten(0, 1)[: len(low_res)]
        return logits

    def _best_of_overlapping(
        self, found: list[_Candidate], scores: list[float], iou_threshold: float
    ) -> list[_Candidate]:
        """Return the masks whose boxes do not overlap those of better ones too much, best first."""
        if not found:
            return []
        torch = self._torch
        device = self._sam.device
        boxes = torch.tensor([item.box_xyxy for item in found], device=device).float()
        ranks = torch.tensor(scores, dtype=torch.float32, device=device)
        keep = self._boxes.batched_nms(boxes, ranks, torch.zeros(len(found)), iou_threshold=iou_threshold)
        return [found[index] for index in keep.tolist()]

    def _without_crop_duplicates(self, found: list[_Candidate]) -> list[_Candidate]:
        if not found:
            return []
        # Masks of smaller crops are finer: they win.
        crops = self._torch.tensor([item.crop_xyxy for item in found])
        scores = (1 / self._boxes.box_area(crops)).tolist()
        return self._best_of_overlapping(found, scores, self._options.crop_nms_thresh)

    def _mended(self, found: list[_Candidate]) -> list[_Candidate]:
        """Fill small holes and drop small islands; then drop the duplicates that this made."""
        options = self._options
        mended: list[_Candidate] = []
        untouched: list[float] = []
        for item in found:
            mask, no_holes = self._amg.remove_small_regions(item.runs.decode(), options.min_mask_region_area, "holes")
            mask, no_islands = self._amg.remove_small_regions(mask, options.min_mask_region_area, "islands")
            changed = bool(no_holes or no_islands)
            runs = runs_from_mask(mask) if changed else item.runs
            mended.append(_Candidate(runs, _box_xyxy(mask), item.iou, item.stability, item.point_xy, item.crop_xyxy))
            # Masks that needed no mending win over mended ones.
            untouched.append(float(not changed))
        threshold = max(options.box_nms_thresh, options.crop_nms_thresh)
        return self._best_of_overlapping(mended, untouched, threshold)


def _finished(item: _Candidate) -> GeneratedMask:
    left, top, right, bottom = item.box_xyxy
    x0, y0, x1, y1 = item.crop_xyxy
    return GeneratedMask(
        runs=item.runs,
        area=item.runs.area_px,
        bbox_xywh=(left, top, right - left, bottom - top),
        predicted_iou=item.iou,
        stability_score=item.stability,
        point_xy=item.point_xy,
        crop_box_xywh=(x0, y0, x1 - x0, y1 - y0),
    )


def _box_xyxy(mask: MaskHW) -> tuple[int, int, int, int]:
    """Return first and last column and row of a mask, all 0 for an empty one, as segment-anything does."""
    x, y, width_px, height_px = bbox_xywh_from_mask(mask)
    return (x, y, max(x + width_px - 1, 0), max(y + height_px - 1, 0))


def _uncropped(mask: MaskHW, crop: _Crop) -> MaskHW:
    if mask.shape == crop.image_hw:
        return mask
    x0, y0, x1, y1 = crop.box_xyxy
    whole = np.zeros(crop.image_hw, dtype=np.bool_)
    whole[y0:y1, x0:x1] = mask
    return whole


def _slices(items: NDArray[np.float64], size: int) -> Iterator[NDArray[np.float64]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]
