"""The typed parts that extensions bring: faces redrawn (ADetailer), and enlarging by redrawing in tiles."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sdclient.schemas.base import Fraction, Int, Number, RequestModel
from sdclient.schemas.parts import ModelName

Text = Annotated[str, Field(max_length=20_000_000)]
NotNegative = Annotated[Int, Field(ge=0)]


class ADetailer(RequestModel):
    """Find faces, hands or people in the finished image and redraw them, by the field names of ADetailer without ``ad_``.

    What is left out takes the extension's default. Its switches (``ad_use_steps`` and the like) follow by themselves
    from the fields that are given.
    """

    model: ModelName
    """The detector, such as ``face_yolov8n.pt``."""
    model_classes: str | None = None
    """Classes that a world model looks for, separated by commas."""
    prompt: Text | None = None
    """What to draw there. None: the request's prompt."""
    negative_prompt: Text | None = None
    """What to keep out there. None: the request's."""
    confidence: Fraction | None = None
    """How sure the detector must be, 0 to 1."""
    mask_filter_method: Literal["Area", "Confidence"] | None = None
    """Which finds come first where ``mask_k`` keeps only some."""
    mask_k: NotNegative | None = None
    """How many finds to redraw; 0 redraws all."""
    mask_min_ratio: Fraction | None = None
    """Smallest part of the image that a find may cover, 0 to 1."""
    mask_max_ratio: Fraction | None = None
    """Largest part of the image that a find may cover, 0 to 1."""
    dilate_erode: Int | None = None
    """Pixels by which the mask grows (or shrinks where negative)."""
    x_offset: Int | None = None
    """Pixels by which the mask moves to the right."""
    y_offset: Int | None = None
    """Pixels by which the mask moves up."""
    mask_merge_invert: Literal["None", "Merge", "Merge and Invert"] | None = None
    """Whether all finds become one mask."""
    mask_blur: NotNegative | None = None
    """Blur of the mask's edge in pixels."""
    denoising_strength: Fraction | None = None
    """How much is repainted, 0 to 1."""
    inpaint_only_masked: bool | None = None
    """Work on the find alone, at full size."""
    inpaint_only_masked_padding: NotNegative | None = None
    """Surroundings taken along, in pixels."""
    inpaint_width: Annotated[Int, Field(ge=1)] | None = None
    """Width in pixels at which a find is redrawn; goes with ``inpaint_height``."""
    inpaint_height: Annotated[Int, Field(ge=1)] | None = None
    """Height in pixels at which a find is redrawn."""
    steps: Annotated[Int, Field(ge=1)] | None = None
    """Sampling steps. None: the request's."""
    cfg_scale: Annotated[Number, Field(ge=0)] | None = None
    """How closely the prompt is followed. None: the request's."""
    checkpoint: ModelName | None = None
    """Another model for the finds."""
    vae: ModelName | None = None
    """Another VAE for the finds."""
    sampler: Annotated[str, Field(min_length=1)] | None = None
    """Another sampler for the finds."""
    scheduler: Annotated[str, Field(min_length=1)] | None = None
    """Another schedule for the finds; goes with ``sampler``."""
    noise_multiplier: Annotated[Number, Field(ge=0.5, le=1.5)] | None = None
    """Factor on the noise that is added, 0.5 to 1.5."""
    clip_skip: Annotated[Int, Field(ge=1, le=12)] | None = None
    """Layers of the text encoder to stop before the end, 1 to 12."""
    restore_face: bool | None = None
    """Run the server's face restorer over the finds, too."""
    controlnet_model: ModelName | None = None
    """A ControlNet model that steers the redrawing."""
    controlnet_module: Annotated[str, Field(min_length=1)] | None = None
    """Its preprocessor."""
    controlnet_weight: Fraction | None = None
    """Its weight, 0 to 1."""
    controlnet_guidance_start: Fraction | None = None
    """Part of the steps at which it begins."""
    controlnet_guidance_end: Fraction | None = None
    """Part of the steps at which it ends."""

    @model_validator(mode="after")
    def _size_is_whole(self) -> ADetailer:
        if (self.inpaint_width is None) != (self.inpaint_height is None):
            raise ValueError("inpaint_width and inpaint_height go together; give both or neither")
        return self


class UltimateUpscale(RequestModel):
    """Enlarge the init image and redraw it tile by tile, by the extension Ultimate SD upscale."""

    upscaler: ModelName = "None"
    """The upscaler's name on the server."""
    scale: Annotated[Number, Field(ge=1, le=16)] | None = None
    """Size of the result relative to the init image, 1 to 16. None: the request's ``width`` and ``height``."""
    tile_width: Annotated[Int, Field(ge=64, le=2048)] = 512
    """Width of a tile in pixels, 64 to 2048."""
    tile_height: Annotated[Int, Field(ge=0, le=2048)] = 0
    """Height of a tile in pixels; 0 takes ``tile_width``."""
    mask_blur: Annotated[Int, Field(ge=0, le=64)] = 8
    """Blur between neighbours in pixels, 0 to 64."""
    padding: Annotated[Int, Field(ge=0, le=512)] = 32
    """Surroundings that a tile sees, in pixels, 0 to 512."""
    redraw: Literal["Linear", "Chess", "None"] = "Linear"
    """In which order tiles are redrawn."""
    seams: Literal["None", "Band pass", "Half tile offset pass", "Half tile offset pass + intersections"] = "None"
    """How seams are repaired in a further pass."""
    seams_width: Annotated[Int, Field(ge=0, le=128)] = 64
    """Width of a repaired band in pixels, 0 to 128."""
    seams_strength: Fraction = 0.35
    """How much of a seam is repainted, 0 to 1."""
    seams_padding: Annotated[Int, Field(ge=0, le=128)] = 16
    """Surroundings of a seam in pixels, 0 to 128."""
    seams_mask_blur: Annotated[Int, Field(ge=0, le=64)] = 4
    """Blur of a seam's mask in pixels, 0 to 64."""


class SDUpscale(RequestModel):
    """Enlarge the init image and redraw it in tiles of ``width`` and ``height``, by the script that A1111 brings along."""

    upscaler: ModelName = "None"
    """The upscaler's name on the server."""
    scale: Annotated[Number, Field(ge=1, le=4)] = 2.0
    """Size of the result relative to the init image, 1 to 4."""
    overlap: Annotated[Int, Field(ge=0, le=256)] = 64
    """Overlap of neighbouring tiles in pixels, 0 to 256."""
