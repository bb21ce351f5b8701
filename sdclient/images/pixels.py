"""Pixels made ready for a server: upright 8-bit RGB, and a size it takes, without stretching."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from sdclient.errors import CodecError
from sdclient.images.codec import DEFAULT_LIMITS, ImageLimits
from sdclient.images.facts import decode_image, pillow_errors

if TYPE_CHECKING:
    from PIL import Image

__all__ = [
    "FitBox",
    "FitMode",
    "fit_image",
    "flatten_rgb",
    "is_transparent",
    "open_rgb",
    "own_rgba",
    "unfit_image",
    "upright",
]

FitMode = Literal["pad", "crop"]

_ORIENTATION_TAG = 0x0112
_MAX_16_BIT = 65_535
_OPAQUE = b"\xff"


@dataclass(frozen=True, slots=True)
class FitBox:
    """How an image was fitted, so that it can be undone on what came out of it.

    Attributes:
        fit: `pad` or `crop`.
        size: Width and height of the fitted image, in pixels.
        content_size: Width and height the whole source was scaled to, in pixels.
        box_xyxy: Where the source's pixels are in the fitted image: left, top, right, bottom, the last two exclusive.
    """

    fit: FitMode
    size: tuple[int, int]
    content_size: tuple[int, int]
    box_xyxy: tuple[int, int, int, int]


def open_rgb(
    data: bytes,
    *,
    background: tuple[int, int, int] = (255, 255, 255),
    limits: ImageLimits = DEFAULT_LIMITS,
    what: str = "image",
) -> Image.Image:
    """Decode an image to upright RGB with 8 bits a colour, as servers and segmenters take it.

    The orientation a camera noted is applied, transparency is flattened, 16-bit grey is scaled. Colour
    profiles are not applied.

    Args:
        data: A whole file.
        background: What shows through where the image is transparent: red, green, blue, 0 to 255.
        limits: How large it may be.
        what: What it is, for messages.

    Raises:
        CodecError: Not an image, damaged, or of a kind without a known range (floating point).
        ImageLimitError: Larger than `limits`.
    """
    image = decode_image(data, limits=limits, what=what)
    with pillow_errors(what):
        return flatten_rgb(upright(image), background=background)


def flatten_rgb(image: Image.Image, *, background: tuple[int, int, int] = (255, 255, 255)) -> Image.Image:
    """Convert a decoded image of any mode to RGB, 8 bits a colour, on `background` where it is transparent.

    Raises:
        CodecError: Its numbers have no known range (floating point).
    """
    from PIL import Image

    if image.mode == "RGB" and "transparency" not in image.info:
        return image
    if image.mode.startswith("F"):
        raise CodecError("floating point pixels have no known range; convert the image to 8 or 16 bit first")
    if image.mode.startswith("I"):
        return _scale_16_bit(image).convert("RGB")
    if not image.has_transparency_data:
        return image.convert("RGB")
    ground = Image.new("RGBA", image.size, (*background, 255))
    return Image.alpha_composite(ground, own_rgba(image)).convert("RGB")


def own_rgba(image: Image.Image) -> Image.Image:
    """Convert a decoded image that may be transparent to RGBA, 8 bits a colour: its own colours, not premultiplied."""
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def is_transparent(image: Image.Image) -> bool:
    """Tell whether `flatten_rgb` would let its background show anywhere: not where alpha is full all over."""
    if image.mode.startswith(("F", "I")) or not image.has_transparency_data:
        return False
    alpha = own_rgba(image).getchannel("A").tobytes()
    return alpha.count(_OPAQUE) < len(alpha)


def _scale_16_bit(image: Image.Image) -> Image.Image:
    """Scale grey of 16 bits to 8: Pillow itself would cut off everything above 255."""
    import numpy as np
    from PIL import Image

    values = np.asarray(image).astype(np.int64).clip(0, _MAX_16_BIT)
    return Image.fromarray(((values * 255 + _MAX_16_BIT // 2) // _MAX_16_BIT).astype(np.uint8))


def upright(image: Image.Image) -> Image.Image:
    """Turn an image as its EXIF orientation says; one without it, or with broken EXIF, is given back as it is."""
    from PIL.Image import Transpose

    turns = {
        2: Transpose.FLIP_LEFT_RIGHT,
        3: Transpose.ROTATE_180,
        4: Transpose.FLIP_TOP_BOTTOM,
        5: Transpose.TRANSPOSE,
        6: Transpose.ROTATE_270,
        7: Transpose.TRANSVERSE,
        8: Transpose.ROTATE_90,
    }
    try:
        turn = turns.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except Exception:  # noqa: BLE001 - broken EXIF raises nearly anything, and is no reason to refuse good pixels
        turn = None
    return image if turn is None else image.transpose(turn)


def fit_image(
    image: Image.Image,
    size: tuple[int, int],
    *,
    fit: FitMode,
    content_size: tuple[int, int] | None = None,
) -> tuple[Image.Image, FitBox]:
    """Bring an image to exactly `size` by one scale factor; what is missing is padded, or what is over cropped.

    Padding mirrors the image at its edges, half of it on each side: a server continues that better than a flat colour.

    Args:
        image: The source. Modes other than RGB, RGBA and L are converted to RGB.
        size: Width and height wanted, in pixels.
        fit: `pad` shows all of the source, `crop` fills all of the size.
        content_size: Width and height to scale the source to. Left out: the one that just fits into `size`
            (`pad`) or just fills it (`crop`). Give the source's own size to only round up or down.

    Returns:
        The fitted image, and what `unfit_image` needs.

    Raises:
        CodecError: A size is not positive, or `content_size` would stretch the source, or is on the wrong side of
            `size`.
    """
    content = content_size or _natural_content(image.size, size, fit)
    _check_sizes(image.size, size, content, fit)
    source = image if image.mode in {"RGB", "RGBA", "L"} else flatten_rgb(image)
    if content != source.size:
        from PIL.Image import Resampling

        source = source.resize(content, Resampling.LANCZOS)
    left, top = abs(size[0] - content[0]) // 2, abs(size[1] - content[1]) // 2
    if fit == "crop":
        cut = (left, top, left + size[0], top + size[1])
        return source.crop(cut), FitBox("crop", size, content, (0, 0, *size))
    box = FitBox("pad", size, content, (left, top, left + content[0], top + content[1]))
    return _pad(source, box), box


def _natural_content(source: tuple[int, int], size: tuple[int, int], fit: FitMode) -> tuple[int, int]:
    factors = size[0] / source[0], size[1] / source[1]
    factor = min(factors) if fit == "pad" else max(factors)
    # Rounding must not leave a pixel missing on the side that decides.
    bound = min if fit == "pad" else max
    width, height = (max(1, round(length * factor)) for length in source)
    return bound(width, size[0]), bound(height, size[1])


def _check_sizes(source: tuple[int, int], size: tuple[int, int], content: tuple[int, int], fit: FitMode) -> None:
    if min(*size, *content) < 1:
        raise CodecError(f"cannot fit an image into {size[0]}x{size[1]}: sizes are 1 pixel or more")
    # One pixel of rounding on either side is no stretching.
    if abs(content[0] * source[1] - content[1] * source[0]) > max(source):
        raise CodecError(
            f"cannot scale {source[0]}x{source[1]} to {content[0]}x{content[1]}: that would stretch it; "
            "keep the ratio of width to height"
        )
    over = content[0] > size[0] or content[1] > size[1]
    under = content[0] < size[0] or content[1] < size[1]
    if (fit == "pad" and over) or (fit == "crop" and under):
        raise CodecError(
            f"cannot {fit} {content[0]}x{content[1]} to {size[0]}x{size[1]}: it is on the wrong side of it"
        )


def _pad(source: Image.Image, box: FitBox) -> Image.Image:
    import numpy as np
    from PIL import Image

    left, top, right, bottom = box.box_xyxy
    width, height = box.size
    if (left, top, right, bottom) == (0, 0, width, height):
        return source
    pixels = np.asarray(source)
    margins = [(top, height - bottom), (left, width - right)] + [(0, 0)] * (pixels.ndim - 2)
    return Image.fromarray(np.pad(pixels, margins, mode="symmetric"))


def unfit_image(image: Image.Image, box: FitBox) -> Image.Image:
    """Take the padding off what came out of a fitted image; a crop cannot be undone and is left as it is.

    Args:
        image: The result, of the fitted size or a multiple of it (a server may have enlarged it).
        box: What `fit_image` gave.

    Returns:
        The part that shows the source: `box.content_size`, times the enlargement.
    """
    width, height = box.size
    left, top, right, bottom = box.box_xyxy
    if (left, top, right, bottom) == (0, 0, width, height):
        return image
    across, down = image.width / width, image.height / height
    return image.crop((round(left * across), round(top * down), round(right * across), round(bottom * down)))
