"""How a run cuts its images: the settings a plan stores, the same on every machine."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Literal, cast

from sdclient.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import JsonValue

    from sdclient.segment.options import MaskOptions

__all__ = ["MAX_RATING_DIFFERENCE", "MIN_MEAN_IOU", "OUTPUTS", "CocoForm", "Nested", "SegmentSettings"]

Nested = Literal["both", "wholes", "parts"]
CocoForm = Literal["none", "rle", "polygons"]

OUTPUTS = ("cutout", "crop", "mask", "overlay", "sheet", "ora")
"""What an image can be made into, in the order it is written."""

MIN_MEAN_IOU = 0.95
"""Half precision is used only where the masks of 16 points agree with float32's to this mean IoU at least."""

MAX_RATING_DIFFERENCE = 0.02
"""Nor is it where the model's own rating of any of them, its predicted IoU, differs by more than this."""

SAM_AND_ITS_OPTIONS = (
    "Segment Anything's models, which take points_per_side, points_per_batch, pred_iou_thresh, stability_score_thresh, "
    "crop_n_layers and min_mask_region_area"
)
"""For messages."""

# What is one of those models for certain; others are told apart from plug-ins when they are opened.
_SAM_NAMES = frozenset({"vit_b", "vit_l", "vit_h"})
_SAM_SUFFIXES = frozenset({".pth", ".pt"})

_FRACTIONS = ("pred_iou_thresh", "stability_score_thresh", "min_area_fraction", "max_area_fraction", "min_score")
_AT_LEAST_ONE = ("points_per_side", "points_per_batch", "top_n")
_AT_LEAST_ZERO = ("crop_n_layers", "min_mask_region_area", "fill_holes_px", "drop_islands_px", "padding_px")
_SWITCHES = ("half", "drop_border", "cover")
_CHOICES = {"nested": ("both", "wholes", "parts"), "coco": ("none", "rle", "polygons")}
_LISTS = ("words", "options", "outputs")
_MAX_FEATHER_PX = 256


@dataclass(frozen=True, slots=True)
class SegmentSettings:
    """What a segmentation needs to know, apart from the image: how to find objects, which to keep, what to write.

    The six options after `half` are SAM's own, with SAM's names and defaults; the classical segmenter ignores them.

    Attributes:
        model: ``classical``, ``vit_b``, ``vit_l``, ``vit_h``, the path or file name of a checkpoint, or the name of a
            plug-in; with `words`, the folder that holds their models.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``mps``; None takes the best there is.
        half: Encode images in half precision, for as long as masks stay within a bound (`segment.encoding`); Segment
            Anything's models, and plug-ins that say they can.
        points_per_side: The image is asked about at this number of points squared.
        points_per_batch: Points the model is given at once; the masks do not depend on it, memory does.
        pred_iou_thresh: Masks with a lower predicted IoU are dropped, 0 to 1.
        stability_score_thresh: Masks that change more with their threshold are dropped, 0 to 1.
        crop_n_layers: 0 looks at the whole image; 1 at its four quarters too; 2 at its sixteenths as well.
        min_mask_region_area: Holes and islands smaller than this many pixels are mended; 0 leaves them.
        words: Cut out what these words name, one object a word; ``hair=0.2`` sets how sure the detector must be.
        options: What a plug-in takes beside the rest, as ``name=value``; for nothing else.
        fill_holes_px: Holes in an object of at most this many pixels are filled.
        drop_islands_px: Separate pieces of an object of fewer pixels are dropped; its largest stays.
        min_area_fraction: Smallest share of the image an object may have, 0 to 1.
        max_area_fraction: Largest share of the image an object may have, 0 to 1.
        min_score: Lowest score an object may have, 0 to 1.
        drop_border: Leave out what reaches the image's edge.
        nested: Of objects inside others keep ``both``, only the ``wholes``, or only the ``parts``.
        top_n: How many objects to keep of an image, the largest; None keeps all.
        feather_px: Width of the band, half inside and half outside the outline, over which a cut-out fades, in pixels.
        padding_px: Space around a crop's object, in pixels; a crop ends at the image's edge.
        outputs: What to write of each image, out of `OUTPUTS`.
        cover: Write what no object covers too, so that all cut-outs stacked give the image back exactly,
            its alpha too; what is partly transparent in the image is then in the topmost cut-out alone.
        coco: Write one COCO file for the whole run, with masks as ``rle`` or ``polygons``.
    """

    model: str = "classical"
    device: str | None = None
    half: bool = False
    points_per_side: int = 32
    points_per_batch: int = 64
    pred_iou_thresh: float = 0.88
    stability_score_thresh: float = 0.95
    crop_n_layers: int = 0
    min_mask_region_area: int = 0
    words: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    fill_holes_px: int = 0
    drop_islands_px: int = 0
    min_area_fraction: float = 0.0005
    max_area_fraction: float = 0.9
    min_score: float = 0.0
    drop_border: bool = False
    nested: Nested = "both"
    top_n: int | None = None
    feather_px: float = 0.0
    padding_px: int = 0
    outputs: tuple[str, ...] = ("cutout",)
    cover: bool = False
    coco: CocoForm = "none"

    def __post_init__(self) -> None:
        if not self.model:
            raise ConfigurationError("segmentation: model is empty: name classical, vit_b, vit_l, vit_h or a file")
        for name in _FRACTIONS:
            _check_number(name, getattr(self, name), 1.0)
        for name in _AT_LEAST_ONE:
            _check_whole(name, getattr(self, name), 1)
        for name in _AT_LEAST_ZERO:
            _check_whole(name, getattr(self, name), 0)
        for name in _SWITCHES:
            _check_choice(name, getattr(self, name), (False, True))
        for name, choices in _CHOICES.items():
            _check_choice(name, getattr(self, name), choices)
        _check_number("feather_px", self.feather_px, _MAX_FEATHER_PX)
        if self.min_area_fraction > self.max_area_fraction:
            raise ConfigurationError(
                f"segmentation: min_area_fraction {self.min_area_fraction:g} is above "
                f"max_area_fraction {self.max_area_fraction:g}: no object would be kept"
            )
        self._check_lists()
        if self.half and (self.words or self.model == "classical"):
            raise ConfigurationError(
                "segmentation: half precision is for Segment Anything's models: leave it out with words and with the "
                "classical segmenter"
            )
        self._refuse_useless_options()

    def _check_lists(self) -> None:
        for name in _LISTS:
            texts = cast("tuple[object, ...]", getattr(self, name))
            if not isinstance(texts, tuple) or not all(isinstance(text, str) and text.strip() for text in texts):  # pyright: ignore[reportUnnecessaryIsInstance]  # a caller may not check types
                raise ConfigurationError(f"segmentation: {name} must be a tuple of texts, not {texts!r:.60}")
        for output in self.outputs:
            _check_choice("outputs", output, OUTPUTS)
        if not (self.outputs or self.coco != "none"):
            raise ConfigurationError(f"segmentation: outputs is empty: name some of {', '.join(OUTPUTS)}")
        for word in self.words:
            _, separator, text = word.partition("=")
            if separator:
                _check_number(f"the threshold of {word!r:.40}", _float_or_nan(text), 1.0)

    @property
    def sam_options(self) -> MaskOptions:
        """The options handed to `MaskGenerator`, by its names."""
        return {
            "points_per_side": self.points_per_side,
            "points_per_batch": self.points_per_batch,
            "pred_iou_thresh": self.pred_iou_thresh,
            "stability_score_thresh": self.stability_score_thresh,
            "crop_n_layers": self.crop_n_layers,
            "min_mask_region_area": self.min_mask_region_area,
        }

    def option(self, name: str, default: str = "") -> str:
        """Return what `options` say about `name`, else `default`: for plug-ins."""
        pairs = (text.partition("=") for text in self.options)
        return next((value for key, _, value in pairs if key == name), default)

    def _refuse_useless_options(self) -> None:
        if self.words:
            self.refuse_options("words, which take a threshold each, as in hair=0.2")
        elif self.model == "classical":
            self.refuse_options("the classical segmenter")
        elif self.model in _SAM_NAMES or PurePath(self.model).suffix.lower() in _SAM_SUFFIXES:
            self.refuse_options(SAM_AND_ITS_OPTIONS)

    def refuse_options(self, taker: str) -> None:
        """Refuse `options` for a segmenter that takes none.

        Args:
            taker: Which that is, with the settings it takes in their place.

        Raises:
            ConfigurationError: If there are any.
        """
        if self.options:
            raise ConfigurationError(
                f"segmentation: options such as {self.options[0]!r:.60} are for plug-ins: leave them out with {taker}"
            )

    def to_json(self) -> dict[str, JsonValue]:
        """Return the settings as a plan stores them: a checkpoint by its file's name, for machines differ in paths."""
        values: dict[str, JsonValue] = dict(dataclasses.asdict(self))
        for name in _LISTS:
            values[name] = list(getattr(self, name))
        values["model"] = _file_name(self.model)
        if not self.half:
            # Plans of before this setting mean the same, and stay the same.
            del values["half"]
        return values

    @classmethod
    def from_json(cls, values: Mapping[str, JsonValue]) -> SegmentSettings:
        """Read what `to_json` wrote.

        Raises:
            ConfigurationError: If a key is unknown or a value is of the wrong type or out of its range.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(values) - known)
        if unknown:
            raise ConfigurationError(
                f"segmentation settings: unknown key {unknown[0]!r}: the plan was written by a newer sdclient, or by hand"
            )
        for name in ("model", "device"):
            value = values.get(name)
            if not isinstance(value, str) and not (name == "device" and value is None) and name in values:
                raise ConfigurationError(f"segmentation settings: {name} must be a text, not {value!r:.40}")
        # JSON knows lists where the settings, which never change, have tuples.
        fixed = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
        return cls(**fixed)  # type: ignore[arg-type]  # types and ranges are checked above and in __post_init__


def _check_number(name: str, value: object, high: float) -> None:
    # Not a number (NaN) fails the comparison too.
    if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= high:
        raise ConfigurationError(f"segmentation: {name} must be a number from 0 to {high:g}, not {value!r:.40}")


def _check_whole(name: str, value: object, low: int) -> None:
    if name == "top_n" and value is None:
        return
    if not isinstance(value, int) or isinstance(value, bool) or value < low:
        raise ConfigurationError(f"segmentation: {name} must be a whole number of at least {low}, not {value!r:.40}")


def _check_choice(name: str, value: object, choices: tuple[object, ...]) -> None:
    # 1 == True, and a plan must not hold one for the other.
    if value not in choices or (isinstance(choices[0], bool) and not isinstance(value, bool)):
        named = ", ".join(str(choice).lower() for choice in choices)
        raise ConfigurationError(f"segmentation: {name} must be out of {named}, not {value!r:.40}")


def _float_or_nan(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _file_name(model: str) -> str:
    # A plan written on Windows is read elsewhere, and the other way round.
    flavour: type[PurePath] = PureWindowsPath if "\\" in model or model[1:2] == ":" else PurePosixPath
    return flavour(model).name or model
