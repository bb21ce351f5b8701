"""The last stage of a generation: a reply is believed only after every image in it was decoded in full."""

from __future__ import annotations

import math

from sdclient.client.applied import find_changes
from sdclient.client.cleaning import clean_text
from sdclient.client.connection import start_of
from sdclient.client.describe import described_text, with_metadata
from sdclient.client.fitting import unfit
from sdclient.client.generation import PreparedGeneration, RawGeneration, read_reply
from sdclient.client.result import Result
from sdclient.dialects.base import ReadReply
from sdclient.errors import BadReplyError, CodecError, ServerFaultError
from sdclient.images import DEFAULT_LIMITS, GeneratedImage, ImageLimits, decode_base64
from sdclient.infotext import MAX_INFOTEXT_BYTES

_LARGEST_SEED = 2**63 - 1
_SPARE_PIXELS = 1024 * 1024
# Upscalers round to multiples of this.
_ROUNDING_PX = 8


def finish(raw: RawGeneration, *, limits: ImageLimits = DEFAULT_LIMITS, metadata: bool = True) -> Result:
    """Check a reply and decode every image in full, once.

    Args:
        raw: What came back.
        limits: How large an image may be.
        metadata: Put a ``parameters`` text into images that came without one.

    Raises:
        ServerError: By the reply's status.
        BadReplyError: If the images are missing, broken, black, too few, or of another size than asked.
    """
    prepared = raw.prepared
    read = raw.read if raw.read is not None else read_reply(prepared, raw.reply)
    checks = _Checks(raw, read, limits)
    images = checks.images(raw.enlarged or read.images)
    received = tuple(image.sha256 for image in images)
    # What follow-up calls made is of their own format.
    file_format = images[0].facts.format if images and not raw.enlarged else None
    size = images[0].size if images else None
    changed = find_changes(
        prepared.request,
        prepared.compiled,
        read,
        file_format=file_format,
        size=size,
        # Whether a null of the others means that none was loaded is not known.
        tells_vae=prepared.connection.dialect.name == "a1111",
    )
    images = tuple(unfit(image, prepared.box) for image in images)
    return Result(
        images=tuple(with_metadata(image) for image in images) if metadata else images,
        maps=tuple(checks.decode(text, "a detected map") for text in read.maps),
        grid=None if read.grid is None else checks.decode(read.grid, "the grid"),
        request=prepared.request,
        dialect=prepared.connection.dialect.name,
        info=read.info,
        losses=prepared.compiled.losses,
        changed=changed,
        elapsed_s=raw.elapsed_s,
        received_sha256=received,
    )


class _Checks:
    """The checks of one reply; every failure names the call and the image."""

    def __init__(self, raw: RawGeneration, read: ReadReply, limits: ImageLimits) -> None:
        self._raw = raw
        self._read = read
        self._prepared = raw.prepared
        route, connection = raw.prepared.compiled.call.route, raw.prepared.connection
        self._where = f"{route.method} {connection.address.url(route.path)}"
        self._size = _expected_size(raw.prepared)
        self._limits = self._tightened(limits)

    def images(self, texts: tuple[str, ...]) -> tuple[GeneratedImage, ...]:
        """Decode and check the generated images."""
        expected = self._prepared.compiled.expected.images
        if self._raw.was_interrupted:
            raise ServerFaultError(
                f"{self._where}: somebody interrupted the server or skipped the image while it was drawn; it is half done",
                self._raw.reply.status,
            )
        if expected is not None and len(texts) != expected:
            raise self._bad(
                f"{len(texts)} images came back, {expected} were asked for; a setting or script of the server's own "
                "may change the number"
            )
        return tuple(self._image(text, index) for index, text in enumerate(texts))

    def decode(self, text: str, what: str) -> GeneratedImage:
        """Decode an image that nothing else is known of."""
        return self._decode(text, what, None, None)

    def _image(self, text: str, index: int) -> GeneratedImage:
        what = f"image {index + 1}"
        seed = _seed(self._prepared, self._read, index)
        image = self._decode(text, what, seed, _infotext(self._prepared, self._read, index, seed))
        if image.facts.all_black:
            raise self._bad(
                f"{what} is black all over; the model produced no numbers "
                "(on A1111 try --no-half-vae, else a smaller cfg_scale or another VAE)"
            )
        if self._size is not None and not self._has_size(image.size):
            asked = "x".join(map(str, self._size))
            raise self._bad(
                f"{what} is {image.size[0]}x{image.size[1]}, {asked} was asked for; ask for a size that this server "
                "draws, or look which of its settings change it"
            )
        return image

    def _has_size(self, size: tuple[int, int]) -> bool:
        if self._size is None or not self._prepared.compiled.then:
            return size == self._size
        return all(0 <= asked - got < _ROUNDING_PX for asked, got in zip(self._size, size, strict=True))

    def _decode(self, text: str, what: str, seed: int | None, infotext: str | None) -> GeneratedImage:
        name = f"{self._where}: {what}"
        try:
            data = decode_base64(text, what=name)
            return GeneratedImage.from_bytes(data, limits=self._limits, seed=seed, infotext=infotext, what=name)
        except CodecError as exc:
            raise BadReplyError(str(exc), self._raw.reply.status, text[:200]) from exc

    def _bad(self, problem: str) -> BadReplyError:
        return BadReplyError(f"{self._where}: {problem}", self._raw.reply.status, start_of(self._raw.reply))

    def _tightened(self, limits: ImageLimits) -> ImageLimits:
        """Return limits no wider than what was asked for can need: a small file may claim a giant image."""
        if self._size is None:
            return limits
        count = self._prepared.compiled.expected.images or 1
        room = 2 * max(count, 2) * self._size[0] * self._size[1] + _SPARE_PIXELS
        return ImageLimits(limits.max_bytes, min(limits.max_pixels, room))


def _expected_size(prepared: PreparedGeneration) -> tuple[int, int] | None:
    size = prepared.compiled.expected.size
    if size is None:
        return None
    scale = math.prod(follow_up.scale for follow_up in prepared.compiled.then)
    return int(size[0] * scale), int(size[1] * scale)


def _seed(prepared: PreparedGeneration, read: ReadReply, index: int) -> int | None:
    if index < len(read.seeds):
        told = read.seeds[index]
        return told if 0 <= told <= _LARGEST_SEED else None
    return prepared.request.seed if index == 0 else None


def _infotext(prepared: PreparedGeneration, read: ReadReply, index: int, seed: int | None) -> str:
    if index < len(read.infotexts) and len(told := read.infotexts[index]) < MAX_INFOTEXT_BYTES // 4:
        return clean_text(told)
    compiled, title = prepared.compiled, prepared.connection.dialect.title
    return described_text(prepared.request, seed, compiled.call, program=title, losses=compiled.losses)
