"""The typed parts of a request: what users fight with, under one name on every server."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from sdclient.schemas.base import Fraction, ImageBytes, Int, Number, RequestModel, SizePx

ModelName = Annotated[str, Field(min_length=1, max_length=300)]
"""A model's name as the server spells it (a file name on Draw Things, a title or stem on A1111)."""
UnionType = Literal[
    "OpenPose", "Depth", "Soft Edge", "Hard Edge", "Normal Map", "Segmentation", "Tile", "Inpaint", "Unknown"
]
"""What one of the union ControlNet models can be used for."""


class Refiner(RequestModel):
    """A second model that takes over for the last part of the steps."""

    model: ModelName
    """The refiner's name on the server."""
    switch_at: Fraction = 0.8
    """The part of the steps after which the refiner takes over, 0 to 1."""


class HiresFix(RequestModel):
    """Draw small first, enlarge, then draw again over it at the request's width and height."""

    first_width: SizePx
    """Width of the first pass in pixels; smaller than the request's ``width``."""
    first_height: SizePx
    """Height of the first pass in pixels; smaller than the request's ``height``."""
    strength: Fraction = 0.35
    """How much the second pass repaints, 0 to 1."""
    upscaler: ModelName | None = None
    """What enlarges between the passes, where the server lets one choose. None: a plain pixel resize."""
    steps: Annotated[Int, Field(ge=1, le=150)] | None = None
    """Steps of the second pass. None: as many as the first."""


class Enlarge(RequestModel):
    """Enlarge every finished image with an upscaler network."""

    model: ModelName
    """The upscaler's name on the server."""
    scale: Annotated[Number, Field(ge=1, le=8)] = 2.0
    """Size of the result relative to ``width`` and ``height``, 1 to 8."""


class Lora(RequestModel):
    """A LoRA applied to the model."""

    model: ModelName
    """The LoRA's name on the server."""
    weight: Annotated[Number, Field(ge=-10, le=10)] = 1.0
    """Its strength; 1 is as trained."""
    mode: Literal["all", "base", "refiner"] = "all"
    """Which of the two models it applies to; only Draw Things can tell them apart."""


class ControlNet(RequestModel):
    """One ControlNet unit, by the field names of the ControlNet extension."""

    model: ModelName
    """The control model's name on the server."""
    module: Annotated[str, Field(min_length=1, max_length=100)] = "none"
    """The preprocessor, such as ``tile_resample``; ``none`` passes the image as it is."""
    weight: Annotated[Number, Field(ge=0, le=2)] = 1.0
    """How strongly it steers, 0 to 2."""
    image: ImageBytes = Field(default=None, repr=False)
    """The control image. None: the init image of img2img."""
    mask: ImageBytes = Field(default=None, repr=False)
    """Where the unit works (white), of the control image's size; goes with ``image``."""
    guidance_start: Fraction = 0.0
    """Part of the steps at which it begins, 0 to 1."""
    guidance_end: Fraction = 1.0
    """Part of the steps at which it ends, 0 to 1; not below ``guidance_start``."""
    control_mode: Literal["Balanced", "My prompt is more important", "ControlNet is more important"] = "Balanced"
    """Who wins where prompt and control disagree."""
    resize_mode: Literal["Just Resize", "Crop and Resize", "Resize and Fill"] | None = None
    """How the control image is fitted. None: the server's own choice."""
    processor_res: Annotated[Int, Field(ge=64, le=4096)] | None = None
    """Resolution of the preprocessor in pixels. None: its own default."""
    threshold_a: Number | None = None
    """First setting of the preprocessor; for ``tile_resample`` the down-sampling rate, 1 to 8."""
    threshold_b: Number | None = None
    """Second setting of the preprocessor."""
    pixel_perfect: bool | None = None
    """Let the server choose ``processor_res`` from the target size."""
    hr_option: Literal["Both", "Low res only", "High res only"] | None = None
    """Which passes of a hires fix it takes part in."""
    union_control_type: UnionType | None = None
    """What a union model is to be used for; such a model needs it."""

    @model_validator(mode="after")
    def _mask_has_an_image(self) -> ControlNet:
        if self.mask is not None and self.image is None:
            raise ValueError("mask goes with image; give the unit its own control image")
        return self

    @model_validator(mode="after")
    def _starts_before_it_ends(self) -> ControlNet:
        if self.guidance_end < self.guidance_start:
            raise ValueError(
                f"guidance_end ({self.guidance_end:g}) must not be below guidance_start ({self.guidance_start:g})"
            )
        return self


class Tiles(RequestModel):
    """The tiles that a large image is worked in, in pixels."""

    width: Annotated[Int, Field(ge=128, le=2048)] = 1024
    """Width of a tile in pixels, 128 to 2048; multiples of 64 are exact everywhere."""
    height: Annotated[Int, Field(ge=128, le=2048)] = 1024
    """Height of a tile in pixels, 128 to 2048."""
    overlap: Annotated[Int, Field(ge=0, le=1024)] = 128
    """Overlap of neighbours in pixels, 0 to 1024."""


class Tiled(RequestModel):
    """Work in tiles, to fit large images into memory."""

    diffusion: Tiles | None = None
    """Tiles for the steps themselves. None: off."""
    vae: Tiles | None = None
    """Tiles for decoding (and encoding). None: off."""
