"""An image as people hold it: the bytes as received, and what may be given where an image is wanted."""

from __future__ import annotations

import io
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from sdclient.errors import CodecError, ConfigurationError, ImageLimitError
from sdclient.files import storage_errors, write_durable
from sdclient.images.codec import DEFAULT_LIMITS, ImageLimits
from sdclient.images.facts import EXTENSIONS, ImageFacts, decode_image, inspect_image, pillow_errors
from sdclient.images.pixels import flatten_rgb, upright
from sdclient.images.splice import splice_text
from sdclient.infotext import read_infotext

if TYPE_CHECKING:
    from PIL import Image

__all__ = ["GeneratedImage", "ImageInput", "read_image_input"]

ImageInput: TypeAlias = "str | os.PathLike[str] | bytes | bytearray | memoryview | Image.Image | GeneratedImage"
"""What may be given where an image is wanted: a path, a file's bytes, a Pillow image, or an earlier result."""

_FORMATS = {extension: name for name, extension in EXTENSIONS.items()} | {".jpeg": "JPEG", ".tiff": "TIFF"}
_SAVE_OPTIONS: dict[str, dict[str, int]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"quality": 95}}
_OPAQUE_FORMATS = frozenset({"JPEG", "BMP"})
_DEEP_FORMATS = frozenset({"PNG", "TIFF"})
_COMMON_MODES = frozenset({"1", "L", "LA", "P", "RGB", "RGBA"})
_PNG_MODES = _COMMON_MODES | {"I;16"}
_MAX_SHOWN = 80


@dataclass(frozen=True, slots=True)
class GeneratedImage:
    """One verified image, as the bytes that were received.

    Two are equal if their bytes are. Make one with `from_bytes`, which decodes it in full.

    Attributes:
        data: The file, byte for byte.
        facts: What it is: format, size, hashes.
        seed: The seed it was drawn with, if known.
        infotext: The `parameters` text found in the file, else the one that came with it; None if there is none.
    """

    data: bytes = field(repr=False)
    facts: ImageFacts = field(compare=False)
    seed: int | None = field(default=None, compare=False)
    infotext: str | None = field(default=None, compare=False, repr=False)

    @classmethod
    def from_bytes(
        cls,
        data: bytes,
        *,
        limits: ImageLimits = DEFAULT_LIMITS,
        seed: int | None = None,
        infotext: str | None = None,
        what: str = "image",
    ) -> GeneratedImage:
        """Verify a file's bytes by decoding them in full, once.

        Args:
            data: The whole file.
            limits: How large it may be.
            seed: The seed it was drawn with.
            infotext: The `parameters` text to go by if the file holds none.
            what: What it is, for messages.

        Raises:
            CodecError: Not an image, cut off, or damaged.
            ImageLimitError: Larger than `limits`.
        """
        facts = inspect_image(data, limits=limits, what=what)
        return cls(data, facts, seed, read_infotext(data) or infotext)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.facts.size

    @property
    def sha256(self) -> str:
        """Hash of the file's bytes, in hexadecimal."""
        return self.facts.sha256

    @property
    def extension(self) -> str:
        """The extension the file gets by its content, with its dot."""
        return self.facts.extension

    @property
    def pil(self) -> Image.Image:
        """The decoded image: a new Pillow image at each access, the caller's own."""
        # It has been within some limits before; these only repeat what is known.
        return decode_image(self.data, limits=ImageLimits(len(self.data), self.facts.width_px * self.facts.height_px))

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the image to `path`; folders are made, an existing file is replaced.

        The bytes are written as received. Only if the name ends in the extension of another format (`.png`, `.jpg`,
        `.webp`, `.gif`, `.tif`, `.bmp`) is the image converted to that; PNG, JPEG and WebP keep the `parameters` text.

        Returns:
            The path written.

        Raises:
            ConfigurationError: `path` is a folder.
            StorageError: It cannot be written; an existing file is unchanged then.
        """
        target = Path(path)
        if os.path.isdir(target):  # noqa: PTH112 - never raises
            raise ConfigurationError(f"cannot save an image to {target}: that is a folder; name a file in it")
        wanted = _FORMATS.get(target.suffix.lower(), self.facts.format)
        data = self.data if wanted == self.facts.format else self._converted(wanted)
        with storage_errors("make the folder of", target):
            target.parent.mkdir(parents=True, exist_ok=True)
        write_durable(target, data)
        return target

    def _converted(self, wanted: str) -> bytes:
        # The metadata is not copied, so an orientation noted there has to become part of the pixels.
        image = upright(self.pil)
        if image.mode not in (_PNG_MODES if wanted in _DEEP_FORMATS else _COMMON_MODES) or wanted in _OPAQUE_FORMATS:
            image = flatten_rgb(image)
        data = _encode(image, wanted)
        if self.infotext is None:
            return data
        try:
            return splice_text(data, self.infotext)
        except CodecError:
            # The format takes no text, or not this one: the pixels are what was asked for.
            return data

    def _repr_png_(self) -> bytes:
        """Show the image in a notebook."""
        return self.data if self.facts.format == "PNG" else _encode(flatten_rgb(upright(self.pil)), "PNG")


def _encode(image: Image.Image, wanted: str) -> bytes:
    file = io.BytesIO()
    with pillow_errors(f"converting to {wanted}"):
        image.save(file, wanted, **_SAVE_OPTIONS.get(wanted, {}))
    return file.getvalue()


def read_image_input(source: ImageInput, *, limits: ImageLimits = DEFAULT_LIMITS) -> bytes:
    """Get the bytes of an image file from whatever stands for one; what is read is decoded in full to verify it.

    Args:
        source: A path, a file's bytes, a Pillow image (becomes PNG), or an earlier result.
        limits: How large it may be.

    Returns:
        A whole image file; as it was, where it was one.

    Raises:
        ConfigurationError: No such file, not a file, unreadable, or a type that is no image.
        CodecError: Not an image, cut off, or damaged.
        ImageLimitError: Larger than `limits`.
    """
    from PIL import Image

    match source:
        case GeneratedImage():
            return source.data
        case bytes() | bytearray() | memoryview():
            data = bytes(source)
            inspect_image(data, limits=limits)
            return data
        case Image.Image():
            return _png_of(source, limits)
        case str() | os.PathLike():
            data = _read_file(source, limits)
            inspect_image(data, limits=limits, what=_shown(source))
            return data
        case _:
            raise _wrong_type(source)


def _png_of(image: Image.Image, limits: ImageLimits) -> bytes:
    if image.width * image.height > limits.max_pixels or not image.width or not image.height:
        raise ImageLimitError(
            f"image: {image.width}x{image.height} pixels, not between 1 and the {limits.max_pixels} that are allowed"
        )
    file = io.BytesIO()
    with pillow_errors("image"):
        # The least compression: on a local network packing takes longer than sending.
        (image if image.mode in _PNG_MODES else flatten_rgb(image)).save(file, "PNG", compress_level=1)
    return file.getvalue()


def _read_file(source: str | os.PathLike[str], limits: ImageLimits) -> bytes:
    text = os.fspath(source)
    if text.startswith(("data:", "http://", "https://")):
        raise ConfigurationError(f"image: {_shown(text)}: is no path; nothing is fetched, give a file or its bytes")
    try:
        facts = os.stat(text)  # noqa: PTH116 - a path that cannot be one (NUL, base64) is to fail here, in words
        if not stat.S_ISREG(facts.st_mode):
            raise ConfigurationError(f"image: {_shown(text)}: is not a file; name one image")
        if facts.st_size > limits.max_bytes:
            raise ImageLimitError(f"{_shown(text)}: {facts.st_size} bytes, more than the {limits.max_bytes} allowed")
        with Path(text).open("rb") as file:
            # One byte more than allowed shows that a file has grown in the meantime.
            return file.read(limits.max_bytes + 1)
    except FileNotFoundError as exc:
        raise ConfigurationError(f"image: {_shown(text)}: no such file; check the path") from exc
    except (OSError, ValueError) as exc:
        if isinstance(exc, ConfigurationError | ImageLimitError):
            raise
        reason = exc.strerror if isinstance(exc, OSError) else exc
        raise ConfigurationError(f"image: {_shown(text)}: cannot be read ({reason}); give a path to a file") from exc


def _wrong_type(source: object) -> ConfigurationError:
    kind = type(source)
    name = f"{kind.__module__}.{kind.__qualname__}"
    hint = "a path, bytes, a PIL image or an earlier result is"
    if kind.__module__ == "numpy":
        hint = "use PIL.Image.fromarray(array), which shows whether axes and colours are in the right order"
    return ConfigurationError(f"image: {name} is not taken for an image; {hint}")


def _shown(source: str | os.PathLike[str]) -> str:
    # A name that is no UTF-8 comes with halves of characters, which no message can hold.
    text = os.fspath(source).encode("utf-8", "backslashreplace").decode()
    # The end of a long path says more than its beginning: it is the file's own name.
    return text if len(text) <= _MAX_SHOWN else f"...{text[-_MAX_SHOWN:]}"
