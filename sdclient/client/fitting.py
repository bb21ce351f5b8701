"""An init image made ready for one server: upright, opaque, 8 bits a colour, of a size it takes, never stretched."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdclient.client.sizes import Fit, SizeRule, round_down, round_up
from sdclient.errors import CodecError
from sdclient.images import (
    FitBox,
    GeneratedImage,
    ImageInput,
    decode_image,
    fit_image,
    flatten_rgb,
    read_image_input,
    splice_text,
    unfit_image,
    upright,
)
from sdclient.infotext import read_infotext
from sdclient.schemas import Img2Img
from sdclient.schemas.base import CheckedImage

if TYPE_CHECKING:
    from PIL import Image

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STAND_IN_SIZE = (512, 512)


@dataclass(frozen=True, slots=True)
class FittedInput:
    """An init image as it goes out.

    Attributes:
        data: The file to send: the source itself where it fits as it is, else a PNG.
        size: Its width and height in pixels.
        box: How to take padding off the result again; None where nothing was added.
    """

    data: bytes = field(repr=False)
    size: tuple[int, int]
    box: FitBox | None


def fit_input(data: bytes, rule: SizeRule, fit: Fit, step_px: int, name: str) -> FittedInput:
    """Bring an init image to a size the server takes, never stretched.

    Args:
        data: The image file.
        rule: How large it shall be.
        fit: What happens to what does not fit the server's steps.
        step_px: The server takes multiples of this, in pixels.
        name: What to call it in an error.

    Raises:
        CodecError: If it is no image, or damaged.
        ConfigurationError: If it comes out smaller or larger than servers take.
    """
    stored = decode_image(data, what=name)
    image = upright(stored)
    content = rule.content(image.size, fit)
    target = rule.target(image.size)
    size = round_up(content, step_px) if fit == "pad" else round_down(target, step_px)
    # Padding to the same size again would hide that the content becomes smaller.
    is_as_asked = fit == "crop" or content == image.size
    if is_as_asked and size == stored.size and image is stored and _is_plain(stored, data):
        # Already what the server wants: the user's own bytes go out, untouched.
        return FittedInput(data, size, None)
    try:
        image = flatten_rgb(image)
    except CodecError as exc:
        raise CodecError(f"{name}: {exc}") from exc
    if is_as_asked and image.size == size:
        return FittedInput(read_image_input(image), size, None)
    fitted, box = fit_image(image, size, fit=fit, content_size=content)
    was_padded = box.box_xyxy != (0, 0, *size)
    return FittedInput(read_image_input(fitted), size, box if was_padded else None)


def fit_request(
    request: Img2Img, source: bytes, *, rule: SizeRule | None, fit: Fit, step_px: int, name: str
) -> tuple[Img2Img, FitBox | None]:
    """Return the request with its init image (and mask) fitted, and how to take padding off the result again.

    Args:
        request: The request, overlays merged.
        source: The init image as it is.
        rule: How large it shall be; None: the request's size where it has one, else the source's.
        fit: What happens to what does not fit the server's steps.
        step_px: The server takes multiples of this, in pixels.
        name: What to call the init image in an error.

    Raises:
        CodecError: If an image is none, or damaged.
        ConfigurationError: If it comes out smaller or larger than servers take.
    """
    chosen = rule or (SizeRule("exact", *request.size) if request.size else SizeRule("source"))
    fitted = fit_input(source, chosen, fit, step_px, name)
    changes: dict[str, object] = {
        "init_image": CheckedImage(fitted.data),
        "width": fitted.size[0],
        "height": fitted.size[1],
    }
    if request.mask is not None and fitted.data != source:
        mask = fit_input(_opaque_mask(request.mask), chosen, fit, step_px, "mask")
        if mask.size == fitted.size:
            changes["mask"] = CheckedImage(mask.data)
    return request.replace(**changes), fitted.box


def _opaque_mask(data: bytes) -> bytes:
    """Return a mask with what its transparency says in grey, as servers read it: flattened, all of it would be white."""
    mask = upright(decode_image(data, what="mask"))
    if not mask.has_transparency_data:
        return data
    alpha = mask.convert("RGBA").getchannel("A")
    return data if alpha.getextrema() == (255, 255) else read_image_input(alpha)


def with_stand_in(request: Img2Img, step_px: int) -> Img2Img:
    """Return the request as `fit_request` would make it, with a blank image where it has none, to be checked.

    Args:
        request: The request, overlays merged.
        step_px: The server takes multiples of this, in pixels.

    Raises:
        CodecError: If its image is none, or damaged.
    """
    source = request.init_image or _blank_png(request.size or _STAND_IN_SIZE)
    fitted, _ = fit_request(request, source, rule=None, fit="pad", step_px=step_px, name="init_image")
    return fitted


def unfit(image: GeneratedImage, box: FitBox | None) -> GeneratedImage:
    """Take padding off a result, however much it was enlarged; its ``parameters`` text goes along."""
    if box is None:
        return image
    cropped = read_image_input(unfit_image(image.pil, box))
    if image.infotext is not None and read_infotext(cropped) is None:
        cropped = splice_text(cropped, image.infotext.replace("\0", ""))
    return replace(GeneratedImage.from_bytes(cropped), seed=image.seed, infotext=image.infotext)


def _blank_png(size: tuple[int, int]) -> bytes:
    """Return a white PNG of this size in pixels, to stand for an image that is not there yet."""
    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", size, "white").save(file, "PNG", compress_level=1)
    return file.getvalue()


def _is_plain(image: Image.Image, data: bytes) -> bool:
    """Tell whether a decoded file is a PNG of opaque RGB: what every server reads alike."""
    return image.mode == "RGB" and data.startswith(_PNG_SIGNATURE) and not image.has_transparency_data


def name_of(image: ImageInput) -> str:
    """Return what to call an image in an error."""
    if isinstance(image, str):
        return Path(image).name
    return image.name if isinstance(image, Path) else "init image"
