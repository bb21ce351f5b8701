"""``Txt2Img`` and ``Img2Img``: what to draw, in words that mean the same on every server.

A field that is left out is *unset*: servers with defaults of their own use them, Draw Things gets
the defaults we ship (it would otherwise use whatever its window shows).
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, cast

from pydantic import Field, JsonValue, PrivateAttr, ValidationInfo, field_validator, model_validator

from sdclient.errors import PayloadError
from sdclient.schemas.base import (
    Fraction,
    ImageBytes,
    Int,
    Items,
    Number,
    RequestModel,
    SizePx,
    image_inside,
    with_images,
)
from sdclient.schemas.overlays import merged, set_elsewhere, without
from sdclient.schemas.parts import ControlNet, Enlarge, HiresFix, Lora, ModelName, Refiner, Tiled
from sdclient.schemas.problems import SHOWN_MAX
from sdclient.schemas.scripts import ADetailer, SDUpscale, UltimateUpscale
from sdclient.schemas.spoken import spoken_names

if TYPE_CHECKING:
    from typing_extensions import Self

DIALECT_NAMES = spoken_names()
"""The server programs a payload may hold overlays for."""

_SURROGATE = re.compile("[\ud800-\udfff]")
Seed = Annotated[Int, Field(ge=-1, le=4294967295)]
Steps = Annotated[Int, Field(ge=1, le=150)]
Native = Mapping[str, Mapping[str, JsonValue]]
Text = Annotated[str, Field(max_length=20_000_000)]


class Request(RequestModel):
    """What txt2img and img2img have in common."""

    kind: ClassVar[Literal["txt2img", "img2img"]]

    prompt: Text = ""
    """What to draw."""
    negative_prompt: Text = ""
    """What to keep out."""
    model: ModelName | None = None
    """The model's name on the server. Unset: an error on Draw Things unless ``inherit``, else what is loaded."""
    vae: ModelName | None = None
    """The VAE's name on the server. Unset: the model's own."""
    inherit: bool = False
    """Take the model from what the server shows or has loaded, knowing that it may change."""
    seed: Seed | None = None
    """The seed, 0 to 4294967295. Unset or -1: drawn by us before sending, and recorded."""
    subseed: Seed | None = None
    """A second seed mixed in by ``subseed_strength``."""
    subseed_strength: Fraction | None = None
    """How much of the second seed, 0 to 1."""
    steps: Steps | None = None
    """Sampling steps, 1 to 150."""
    cfg_scale: Annotated[Number, Field(ge=0, le=50)] | None = None
    """How closely the prompt is followed, 0 to 50."""
    distilled_cfg_scale: Annotated[Number, Field(ge=0, le=50)] | None = None
    """The guidance of distilled models such as Flux, 0 to 50."""
    sampler_name: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The sampler, such as ``DPM++ 2M``; a fused label such as ``DPM++ 2M Karras`` is understood too."""
    scheduler: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """The noise schedule, such as ``Karras``."""
    shift: Annotated[Number, Field(ge=0, le=10)] | None = None
    """The sigma shift of flow-matching models, 0 to 10."""
    width: SizePx | None = None
    """Width in pixels before ``enlarge``, 64 to 8192."""
    height: SizePx | None = None
    """Height in pixels before ``enlarge``, 64 to 8192."""
    batch_size: Annotated[Int, Field(ge=1, le=64)] = 1
    """Images drawn at the same time."""
    n_iter: Annotated[Int, Field(ge=1, le=100)] = 1
    """Batches drawn one after another."""
    clip_skip: Annotated[Int, Field(ge=1, le=23)] | None = None
    """Layers of the text encoder to stop before the end, 1 (none) to 23."""
    styles: Items[str] = ()
    """Names of prompt styles saved on the server."""
    restore_faces: bool | None = None
    """Let the server's face restorer run over the result."""
    tiling: bool | None = None
    """Make the image repeat without a seam."""
    eta: Annotated[Number, Field(ge=0, le=1)] | None = None
    """Noise added by DDIM and ancestral samplers, 0 to 1; others ignore it."""
    refiner: Refiner | None = None
    """A second model for the last steps."""
    enlarge: Enlarge | None = None
    """An upscaler run over every finished image."""
    controls: Items[ControlNet] = ()
    """ControlNet units."""
    loras: Items[Lora] = ()
    """LoRAs."""
    tiled: Tiled | None = None
    """Tiles for large images."""
    adetailer: Items[ADetailer] = ()
    """Faces, hands or people found and redrawn, one entry a detector."""
    native: Native = Field(default_factory=dict)
    """Keys of one server's own, by dialect: ``{"drawthings": {"sharpness": 2}}``. Checked when compiled."""
    overlays: Mapping[str, Mapping[str, JsonValue]] = Field(default_factory=dict, repr=False)
    """What a payload file changes per dialect: fields of this request, by dialect name."""
    _only_elsewhere: Mapping[str, tuple[str, ...]] = PrivateAttr(default_factory=dict[str, "tuple[str, ...]"])

    @property
    def only_elsewhere(self) -> Mapping[str, tuple[str, ...]]:
        """Fields that the payload sets for other dialects and not for the one it was merged for, with those dialects."""
        return self._only_elsewhere

    @field_validator("native", "overlays", mode="before")
    @classmethod
    def _known_dialects(cls, value: object, info: ValidationInfo) -> object:
        """Look at the names before what they hold: a key without its dialect holds what a dialect cannot."""
        if not isinstance(value, Mapping):
            return value
        given = cast("Mapping[object, object]", value)
        for name, inside in given.items():
            if name not in DIALECT_NAMES:
                text = str(name)[:SHOWN_MAX]
                is_key = text.isidentifier() and not isinstance(inside, Mapping)
                example = f", as in {info.field_name}.drawthings.{text}" if is_key else ""
                raise ValueError(f"{text!r} is no dialect; known are {', '.join(DIALECT_NAMES)}{example}")
        return given

    @field_validator("native", "overlays")
    @classmethod
    def _whole_characters(cls, value: Native) -> Native:
        if _holds_half_a_character(value):
            raise ValueError("a text in it holds half a character (a lone surrogate), which cannot be sent")
        return value

    @field_validator("overlays")
    @classmethod
    def _stands_alone(cls, value: Native) -> Native:
        """Take images into the overlays: a path means something on one machine only."""
        return {
            name: cast("dict[str, JsonValue]", with_images(dict(fields), image_inside))
            for name, fields in value.items()
        }

    @classmethod
    def given(cls, request: object) -> Self:
        """Return a request as it is, and words as the prompt of one.

        Raises:
            PayloadError: If it is neither.
        """
        if isinstance(request, str):
            return cls(prompt=request)
        if not isinstance(request, cls):
            raise PayloadError(
                f"{cls.__name__}: give a prompt (a text) or a {cls.__name__}, "
                f"not {type(request).__name__}: {request!r:.60}"
            )
        return request

    @property
    def image_count(self) -> int:
        """How many images one call makes."""
        return self.batch_size * self.n_iter

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels before ``enlarge``; None where either is unset."""
        return None if self.width is None or self.height is None else (self.width, self.height)

    def replace(self, **changes: object) -> Self:
        """Return a validated copy with ``changes``, which win over the overlays of a payload file.

        Raises:
            PayloadError: If a field is unknown or a value not allowed.
        """
        values = {**self.to_mapping(), **changes}
        if "overlays" not in changes and self.overlays:
            values["overlays"] = {name: without(overlay, name, changes) for name, overlay in self.overlays.items()}
        copy = self.from_mapping(values)
        copy._only_elsewhere = {name: told for name, told in self._only_elsewhere.items() if name not in changes}  # noqa: SLF001 - a copy of its own class
        return copy

    @classmethod
    def load(cls, source: str | os.PathLike[str]) -> Self:
        """Read a payload file, by its path or by the name of one that ships with sdclient.

        Raises:
            PayloadError: If there is no such payload, it is of the other kind, or something in it is wrong.
        """
        from sdclient.schemas.payload import load_as

        return load_as(cls, source)

    def for_dialect(self, *names: str) -> Self:
        """Return the request with the overlays of ``names`` merged in, in that order, and no overlays left.

        Parts (refiner, hires, enlarge, tiled, native) are merged field by field, lists are replaced. The
        ``native`` of an overlay holds that dialect's own keys directly.

        Raises:
            PayloadError: If the merged whole is not valid.
        """
        values = self.model_dump(mode="python", exclude_unset=True, exclude={"overlays"})
        for name in names:
            overlay = dict(self.overlays.get(name, {}))
            if "native" in overlay:
                overlay["native"] = {name: overlay["native"]}
            values = merged(values, overlay)
        where = f"{type(self).__name__} with the overlay {' + '.join(names)}" if self.overlays else ""
        whole = self.from_mapping(values, where=where)
        # A request merged before has no overlays any more, and knows already.
        found = set_elsewhere(values, names, self.overlays)
        whole._only_elsewhere = found if self.overlays else {**found, **self._only_elsewhere}  # noqa: SLF001 - a copy of its own class
        return whole


class Txt2Img(Request):
    """A request to draw an image from words."""

    kind = "txt2img"

    hires: HiresFix | None = None
    """Draw small first, then again at full size."""

    @model_validator(mode="after")
    def _first_pass_is_smaller(self) -> Txt2Img:
        if self.hires is None or self.width is None or self.height is None:
            return self
        if self.hires.first_width > self.width or self.hires.first_height > self.height:
            raise ValueError(
                f"hires: the first pass ({self.hires.first_width}x{self.hires.first_height}) must not be larger "
                f"than the image ({self.width}x{self.height}); make it smaller, or do without: hires=null"
            )
        return self


class Img2Img(Request):
    """A request to draw over an image."""

    kind = "img2img"

    init_image: ImageBytes = Field(default=None, repr=False)
    """The image to draw over: a path, bytes, a Pillow image or an earlier result's image."""
    denoising_strength: Fraction | None = None
    """How much is repainted: 0 nothing, 1 everything."""
    resize_mode: Annotated[Int, Field(ge=0, le=3)] | None = None
    """How a server that resizes fits the init image: 0 stretch, 1 crop, 2 fill, 3 stretch in latent space."""
    image_cfg_scale: Annotated[Number, Field(ge=0, le=25)] | None = None
    """How closely the init image is followed by models that edit on instruction, 0 to 25."""
    mask: ImageBytes = Field(default=None, repr=False)
    """Inpainting mask of the init image's size: white is repainted."""
    mask_blur: Annotated[Int, Field(ge=0, le=64)] | None = None
    """Blur of the mask's edge in pixels, 0 to 64."""
    inpainting_fill: Annotated[Int, Field(ge=0, le=3)] | None = None
    """What the masked area starts from: 0 fill, 1 original, 2 latent noise, 3 latent nothing."""
    inpaint_full_res: bool | None = None
    """Work only on the masked area, at full size."""
    inpaint_full_res_padding: Annotated[Int, Field(ge=0, le=256)] | None = None
    """Surroundings taken along with the masked area, in pixels."""
    inpainting_mask_invert: bool | None = None
    """Repaint what is *not* masked."""
    ultimate_upscale: UltimateUpscale | None = None
    """Enlarge and redraw in tiles, by the extension Ultimate SD upscale."""
    sd_upscale: SDUpscale | None = None
    """Enlarge and redraw in tiles, by A1111's own script."""

    @model_validator(mode="after")
    def _one_script(self) -> Img2Img:
        if self.ultimate_upscale is not None and self.sd_upscale is not None:
            raise ValueError("ultimate_upscale and sd_upscale: a server runs one such script; keep one of the two")
        return self


def _holds_half_a_character(value: object) -> bool:
    """Tell whether any text of JSON cannot be written as UTF-8; fields of text are looked at by pydantic."""
    if isinstance(value, str):
        return not value.isascii() and _SURROGATE.search(value) is not None
    if isinstance(value, Mapping):
        items = cast("Mapping[str, object]", value).items()
        return any(_holds_half_a_character(name) or _holds_half_a_character(inner) for name, inner in items)
    return isinstance(value, list) and any(map(_holds_half_a_character, cast("list[object]", value)))
