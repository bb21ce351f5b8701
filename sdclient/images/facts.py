"""What an image file is: recognised, bounded, decoded once in full, and described."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from sdclient.errors import CodecError, ImageLimitError
from sdclient.images.codec import DEFAULT_LIMITS, ImageLimits
from sdclient.infotext.containers import image_container, is_crc_right, jpeg_segments, png_chunks, webp_chunks

if TYPE_CHECKING:
    from PIL import Image, ImageFile

__all__ = ["EXTENSIONS", "ImageFacts", "decode_image", "format_of", "inspect_image", "pillow_errors", "read_size"]

EXTENSIONS = {"PNG": ".png", "JPEG": ".jpg", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}
"""The formats that are taken, and the extension each one's files get."""

_STARTS = {
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"BM": "BMP",
}
_PNG_CRITICAL_BIT = 0x20
_END_OF_JPEG = b"\xff\xd9"
_MAX_SHOWN = 120
_START_BYTES = 16


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """What is known of an image after decoding all of it (of an animation: the first frame).

    Attributes:
        format: `PNG`, `JPEG`, `WEBP`, `GIF`, `TIFF` or `BMP`, by its content.
        width_px: Width in pixels, as stored (an orientation tag is not applied).
        height_px: Height in pixels, likewise.
        mode: How pixels are stored, in Pillow's names: `RGB`, `RGBA`, `L`, `P`, `I;16` ...
        sha256: Hash of the file's bytes, in hexadecimal.
        size_bytes: Size of the file.
        pixels_sha256: Hash of mode, size, palette and pixels: equal for files that differ in metadata or compression
            only. For lossy formats it may change with the version of the decoder.
        all_black: Every colour of every pixel is zero, which is how some servers show that they failed.
    """

    format: str
    width_px: int
    height_px: int
    mode: str
    sha256: str
    size_bytes: int
    pixels_sha256: str
    all_black: bool

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.width_px, self.height_px

    @property
    def extension(self) -> str:
        """The extension such a file gets, with its dot."""
        return EXTENSIONS[self.format]


def inspect_image(data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, what: str = "image") -> ImageFacts:
    """Decode an image in full, once, and describe it.

    Args:
        data: The whole file.
        limits: How large it may be; checked against the header before any pixel is decoded.
        what: What it is, for messages: a file name, or `image 2 of the reply`.

    Raises:
        CodecError: Not an image of a known format, cut off, or damaged.
        ImageLimitError: Larger than `limits`, or than memory.
    """
    image = decode_image(data, limits=limits, what=what)
    with pillow_errors(what):
        return ImageFacts(
            format=format_of(data),
            width_px=image.width,
            height_px=image.height,
            mode=image.mode,
            sha256=hashlib.sha256(data).hexdigest(),
            size_bytes=len(data),
            pixels_sha256=_hash_pixels(image),
            all_black=_is_all_black(image),
        )


def format_of(data: bytes) -> str:
    """Name the format by the first bytes, as in `EXTENSIONS`; empty if it is none of them."""
    found = (name for start, name in _STARTS.items() if data.startswith(start))
    return image_container(data) or next(found, "")


def decode_image(data: bytes, *, limits: ImageLimits = DEFAULT_LIMITS, what: str = "image") -> Image.Image:
    """Decode an image in full (of an animation: the first frame).

    Returns:
        The decoded image, with its metadata in `info`; the caller's own.

    Raises:
        CodecError: Not an image of a known format, cut off, or damaged.
        ImageLimitError: Larger than `limits`, or than memory.
    """
    if not data:
        raise CodecError(f"{what}: no image, the file is empty")
    if len(data) > limits.max_bytes:
        raise ImageLimitError(f"{what}: {len(data)} bytes, more than the {limits.max_bytes} that are allowed")
    kind = format_of(data)
    if not kind:
        raise CodecError(f"{what}: not an image of a known format ({', '.join(EXTENSIONS)}); starts with {data[:12]!r}")
    with pillow_errors(what):
        _check_whole(data, kind)
        image = _read_header(io.BytesIO(data), kind)
        if image.width * image.height > limits.max_pixels:
            raise ImageLimitError(
                f"{what}: {image.width}x{image.height} pixels, more than the {limits.max_pixels} that are allowed"
            )
        image.load()
    return image


def _read_header(file: IO[bytes], kind: str) -> ImageFile.ImageFile:
    """Open an image by its own reader, which reads the header and not yet the pixels.

    `Image.open` would compare the size with a limit of its own that holds for the whole process, and warn or fail
    according to settings that other threads may change. The limits here are ours, given with each call.
    """
    from PIL import BmpImagePlugin, GifImagePlugin, JpegImagePlugin, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

    readers: dict[str, type[ImageFile.ImageFile]] = {
        "PNG": PngImagePlugin.PngImageFile,
        "JPEG": JpegImagePlugin.JpegImageFile,
        "WEBP": WebPImagePlugin.WebPImageFile,
        "GIF": GifImagePlugin.GifImageFile,
        "TIFF": TiffImagePlugin.TiffImageFile,
        "BMP": BmpImagePlugin.BmpImageFile,
    }
    return readers[kind](file)


def read_size(path: Path) -> tuple[int, int] | None:
    """Read width and height in pixels from a file's header, as stored: a turned camera's are not turned.

    Returns:
        None where the file cannot be read or is no image; decoding it says why.
    """
    try:
        with path.open("rb") as file:
            kind = format_of(file.read(_START_BYTES))
            if not kind:
                return None
            file.seek(0)
            with pillow_errors(path.name):
                return _read_header(file, kind).size
    except (OSError, CodecError):
        return None


@contextmanager
def pillow_errors(what: str) -> Generator[None, None, None]:
    """Turn every failure of Pillow into a `CodecError` about `what`."""
    from PIL import Image

    try:
        yield
    except CodecError as exc:
        raise type(exc)(f"{what}: {exc}" if not str(exc).startswith(what) else str(exc)) from exc
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError) as exc:
        raise ImageLimitError(f"{what}: too large to decode ({str(exc)[:_MAX_SHOWN] or 'out of memory'})") from exc
    except Exception as exc:
        # Broken files make Pillow raise OSError, SyntaxError, struct.error, ValueError, zlib.error and more.
        raise CodecError(
            f"{what}: cannot be decoded, damaged or cut off ({type(exc).__name__}: {str(exc)[:_MAX_SHOWN]})"
        ) from exc


def _check_whole(data: bytes, kind: str) -> None:
    """Refuse what is cut off or damaged and would be decoded all the same.

    Pillow stops reading once it has the last row, and does not look at the check sums of PNG pixel data.
    """
    if kind == "PNG":
        for chunk in png_chunks(data):
            if not chunk.kind[0] & _PNG_CRITICAL_BIT and not is_crc_right(data, chunk):
                raise CodecError(f"damaged: the check sum of the {chunk.kind!r} chunk at byte {chunk.start} is wrong")
    elif kind == "JPEG":
        scan_at = max(segment.end for segment in jpeg_segments(data))
        if data.find(_END_OF_JPEG, scan_at) < 0:
            raise CodecError(f"cut off after {len(data)} bytes (no end marker)")
    elif kind == "WEBP":
        for _ in webp_chunks(data):
            pass


def _hash_pixels(image: Image.Image) -> str:
    look = image.info.get("transparency")
    hasher = hashlib.sha256(f"{image.mode} {image.width}x{image.height} {look!r}\n".encode())
    if image.mode in {"P", "PA"}:
        hasher.update(bytes(image.getpalette() or ()))
    hasher.update(image.tobytes())
    return hasher.hexdigest()


def _is_all_black(image: Image.Image) -> bool:
    if image.mode not in {"1", "L", "LA", "La", "RGB", "RGBA", "RGBa", "RGBX"} and not image.mode.startswith(
        ("I", "F")
    ):
        image = image.convert("RGB")
    bands = image.getbands()
    if len(bands) == 1:
        return image.getextrema() == (0, 0)
    # One after the other: nearly always the first says no. The alpha band, where there is one, is not a colour.
    colours = (name for name in bands if name not in {"A", "a", "X"})
    return all(image.getchannel(name).getextrema() == (0, 0) for name in colours)
