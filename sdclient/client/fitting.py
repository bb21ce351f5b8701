"""An init image made ready for one server: upright, opaque, 8 bits a colour, of a size it takes, never stretched."""

from __future__ import annotations

import io
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sdclient.client.installed import compile_for
from sdclient.client.seeds import with_seed
from sdclient.client.sizes import Fit, SizeRule, round_down, round_up
from sdclient.dialects.base import Compiled, Loss
from sdclient.dialects.losses import add_losses
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
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.schemas.base import CheckedImage

if TYPE_CHECKING:
    from PIL import Image

    from sdclient.client.connection import Connection
    from sdclient.dialects.base import Dialect

_CROP = 1
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_STAND_IN_SIDE_PX = 512


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


@dataclass(frozen=True, slots=True)
class FittedRequest:
    """A request whose init image is ready for one server.

    Attributes:
        request: The request, with the image that goes out and the size it is drawn at.
        box: How to take padding off the result again; None where nothing was added.
        losses: What of the request's own size, and way to resize, gave way.
    """

    request: Img2Img
    box: FitBox | None = None
    losses: tuple[Loss, ...] = ()


def fit_for(
    dialect: Dialect,
    request: Img2Img,
    source: bytes | None = None,
    *,
    rule: SizeRule | None = None,
    fit: Fit = "pad",
    name: str = "init_image",
) -> FittedRequest:
    """Make a request's init image ready for one server: by the server itself where ``resize_mode`` says how.

    Args:
        dialect: The server's language.
        request: The request, overlays merged.
        source: The init image as it is; None: the request's own, or a blank one to be checked where it has none.
        rule: How large it shall be; None: the request's size where it has one, else the source's.
        fit: What happens to what does not fit the server's steps.
        name: What to call the init image in an error.

    Raises:
        CodecError: If an image is none, or damaged.
        ConfigurationError: If it comes out smaller or larger than servers take.
    """
    source = source or request.init_image or _blank_png(_stand_in_size(request))
    mode = request.resize_mode
    is_told = mode is not None and request.size is not None and rule is None
    if is_told and dialect.resizes_inits and fit == "pad":
        return FittedRequest(_as_it_is(request, source, name))
    if is_told and mode == _CROP:
        fit = "crop"
    fitted, box = fit_request(request, source, rule=rule, fit=fit, step_px=dialect.granularity_px, name=name)
    losses = () if rule else _side_losses(request, fitted, box, fit)
    # Without a size there is nothing to resize; and elsewhere the dialect says what becomes of the mode.
    is_in_vain = mode is not None and dialect.resizes_inits and (rule is not None or request.size is not None)
    is_done = mode == _CROP and fit == "crop"
    if is_in_vain and not is_done:
        message = "size and fit of the input are given beside it, so the server has nothing left to resize"
        losses = (Loss("resize_mode", "dropped", "note", message), *losses)
    if is_in_vain or is_done:
        fitted = fitted.replace(resize_mode=None)
    return FittedRequest(fitted, box, losses)


def compile_fitted(connection: Connection, request: Txt2Img | Img2Img, rule: SizeRule | None, fit: Fit) -> Compiled:
    """Compile a request for a server as it would be sent: overlays merged, seed drawn, the init image fitted.

    Raises:
        PayloadError: If the request is not valid for this dialect.
        TransportError: If the server cannot be asked.
    """
    merged = with_seed(request.for_dialect(*connection.dialect.overlay_names))
    if isinstance(merged, Txt2Img):
        return compile_for(connection, merged)
    fitted = fit_for(connection.dialect, merged, rule=rule, fit=fit)
    return add_losses(compile_for(connection, fitted.request), fitted.losses)


def _as_it_is(request: Img2Img, source: bytes, name: str) -> Img2Img:
    """Return the request with image and mask in their own sizes, upright and opaque: the server resizes both alike."""
    data = _upright_opaque(source, name)
    changes: dict[str, object] = {"init_image": CheckedImage(data)}
    if request.mask is not None:
        mask = _opaque_mask(request.mask)
        changes["mask"] = CheckedImage(mask if data == source else _upright_opaque(mask, "mask"))
    return request.replace(**changes)


def _upright_opaque(data: bytes, name: str) -> bytes:
    stored = decode_image(data, what=name)
    image = upright(stored)
    return data if image is stored and _is_plain(stored, data) else read_image_input(_flattened(image, name))


def _side_losses(asked: Img2Img, fitted: Img2Img, box: FitBox | None, fit: Fit) -> tuple[Loss, ...]:
    """Say which side of the request's own size is not what is drawn."""
    left, top, right, bottom = box.box_xyxy if box else (0, 0, fitted.width or 0, fitted.height or 0)
    why = "the init image keeps its shape; --fit crop, or resize_mode=1, fills the size asked for"
    if asked.size is None:
        why = "with one side only, the init image's own size is kept; give width and height"
    elif fit == "crop":
        why = "what is over the server's steps is cropped; choose a size it takes"
    losses: list[Loss] = []
    for field_name, wanted, drawn in (("width", asked.width, right - left), ("height", asked.height, bottom - top)):
        if wanted is None or wanted == drawn:
            continue
        losses.append(Loss(field_name, "replaced", "note", f"{wanted} is asked for and {drawn} drawn: {why}"))
    return tuple(losses)


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
    image = _flattened(image, name)
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
    if request.mask is not None:
        mask = _opaque_mask(request.mask)
        sized = None if fitted.data == source else fit_input(mask, chosen, fit, step_px, "mask")
        changes["mask"] = CheckedImage(sized.data if sized is not None and sized.size == fitted.size else mask)
    return request.replace(**changes), fitted.box


def _opaque_mask(data: bytes) -> bytes:
    """Return a mask with what its transparency says in grey, as servers read it: flattened, all of it would be white."""
    mask = upright(decode_image(data, what="mask"))
    if not mask.has_transparency_data:
        return data
    alpha = mask.convert("RGBA").getchannel("A")
    return data if alpha.getextrema() == (255, 255) else read_image_input(alpha)


def unfit(image: GeneratedImage, box: FitBox | None) -> GeneratedImage:
    """Take padding off a result, however much it was enlarged; its ``parameters`` text goes along."""
    if box is None:
        return image
    cropped = read_image_input(unfit_image(image.pil, box))
    if image.infotext is not None and read_infotext(cropped) is None:
        cropped = splice_text(cropped, image.infotext.replace("\0", ""))
    return replace(GeneratedImage.from_bytes(cropped), seed=image.seed, infotext=image.infotext)


def _flattened(image: Image.Image, name: str) -> Image.Image:
    try:
        return flatten_rgb(image)
    except CodecError as exc:
        raise CodecError(f"{name}: {exc}") from exc


def _stand_in_size(request: Img2Img) -> tuple[int, int]:
    return request.width or _STAND_IN_SIDE_PX, request.height or _STAND_IN_SIDE_PX


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
