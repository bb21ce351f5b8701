"""What the mask generator can be told: segment-anything's option names, defaults and ranges."""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from types import ModuleType
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from sdclient.errors import ConfigurationError

__all__ = ["MaskOptions", "ResolvedOptions"]

PointGrids = Sequence[NDArray[np.float64]]


class MaskOptions(TypedDict, total=False):
    """Options of `MaskGenerator`, each with segment-anything's name, meaning and default.

    Attributes:
        points_per_side: The model is asked about this number of points squared; None needs `point_grids`. Default 32.
        points_per_batch: Points per batch; the masks do not depend on it, memory on a GPU does. Default 64.
        pred_iou_thresh: Masks whose predicted IoU is not above this are dropped. Default 0.88.
        stability_score_thresh: Masks whose stability score is below this are dropped. Default 0.95.
        stability_score_offset: How far the threshold is moved to measure stability. Default 1.0.
        box_nms_thresh: Of two masks of a crop whose boxes overlap by more (IoU), the lower rated goes. Default 0.7.
        crop_n_layers: 0 looks at the whole image; 1 at its four quarters too; 2 at its sixteenths as well. Default 0.
        crop_nms_thresh: Like `box_nms_thresh`, between crops. Default 0.7.
        crop_overlap_ratio: How much quarters overlap, as a share of the image's short side. Default 512/1500.
        crop_n_points_downscale_factor: In layer n, `points_per_side` is divided by this to the power n. Default 1.
        point_grids: For each layer an array of shape (N, 2), x and y from 0 to 1; instead of `points_per_side`.
        min_mask_region_area: Holes and islands of fewer pixels are mended; 0 leaves them. Default 0.
    """

    points_per_side: int | None
    points_per_batch: int
    pred_iou_thresh: float
    stability_score_thresh: float
    stability_score_offset: float
    box_nms_thresh: float
    crop_n_layers: int
    crop_nms_thresh: float
    crop_overlap_ratio: float
    crop_n_points_downscale_factor: int
    point_grids: PointGrids | None
    min_mask_region_area: int


@dataclass(frozen=True, slots=True)
class ResolvedOptions:
    """`MaskOptions` with the defaults filled in, checked."""

    points_per_side: int | None = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    stability_score_offset: float = 1.0
    box_nms_thresh: float = 0.7
    crop_n_layers: int = 0
    crop_nms_thresh: float = 0.7
    crop_overlap_ratio: float = 512 / 1500
    crop_n_points_downscale_factor: int = 1
    point_grids: PointGrids | None = None
    min_mask_region_area: int = 0

    @classmethod
    def of(cls, options: Mapping[str, object]) -> ResolvedOptions:
        """Fill in the defaults.

        Raises:
            ConfigurationError: If an option is unknown or out of its range.
        """
        known = [field.name for field in fields(cls)]
        for name in options:
            if name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(known)}"
                raise ConfigurationError(f"mask generator: unknown option {name!r}: {hint}")
        return cls(**options)  # type: ignore[arg-type]  # names are checked here, values in __post_init__

    def __post_init__(self) -> None:
        if (self.points_per_side is None) == (self.point_grids is None):
            raise ConfigurationError(
                "mask generator: exactly one of points_per_side and point_grids must be given: "
                "with point_grids, say points_per_side=None"
            )
        lowest = {"points_per_batch": 1, "crop_n_layers": 0, "crop_n_points_downscale_factor": 1}
        lowest |= {"min_mask_region_area": 0}
        if self.points_per_side is not None:
            lowest["points_per_side"] = 1
        for name, low in lowest.items():
            value: object = getattr(self, name)
            if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < low:
                raise ConfigurationError(
                    f"mask generator: {name} must be a whole number of at least {low}, not {value!r:.40}"
                )
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, float) and not _is_finite(value):
                raise ConfigurationError(f"mask generator: {field.name} must be a finite number, not {value!r:.40}")
        if self.point_grids is not None and len(self.point_grids) <= self.crop_n_layers:
            raise ConfigurationError(
                f"mask generator: {self.crop_n_layers} crop layers need {self.crop_n_layers + 1} point grids, "
                f"not {len(self.point_grids)}"
            )

    def grids(self, amg: ModuleType) -> PointGrids:
        """Return the points to ask about, one array of shape (N, 2) per layer, x and y from 0 to 1."""
        if self.point_grids is not None:
            return [np.asarray(grid, dtype=np.float64) for grid in self.point_grids]
        grids: PointGrids = amg.build_all_layer_point_grids(
            self.points_per_side, self.crop_n_layers, self.crop_n_points_downscale_factor
        )
        return grids


def _is_finite(value: object) -> bool:
    # numpy's 64-bit float is a float too.
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
