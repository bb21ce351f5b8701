"""Texts put into image files: found again, understood by others, and no pixel touched."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sd_parsers import ParserManager

from sdclient.errors import CodecError
from sdclient.images import (
    EXTENSIONS,
    inspect_image,
    splice_png_text,
    splice_text,
)
from sdclient.infotext import read_infotext
from sdclient.infotext.containers import jpeg_segments, png_chunks, webp_chunks

SPLICED = ["PNG", "JPEG", "WEBP"]
TEXT = (
    "a red fox\nNegative prompt: blurry\nSteps: 30, Sampler: Euler a, CFG scale: 5, Seed: 7, Size: 37x23, Model: größe"
)


def gradient(width: int = 37, height: int = 23) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 7 % 256, columns * 5 % 256, (rows + columns) % 256], 2).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


FOX = encoded(gradient())


class TestSplice:
    @pytest.mark.parametrize("kind", SPLICED)
    @pytest.mark.parametrize("text", ["fox", TEXT, "狐狸 🦊"], ids=["plain", "parameters", "wide"])
    def test_a_text_goes_in_and_the_pixels_stay(self, kind: str, text: str) -> None:
        data = encoded(gradient(), kind)

        spliced = splice_text(data, text)

        before, after = inspect_image(data), inspect_image(spliced)
        assert read_infotext(data) is None
        assert read_infotext(spliced) == text
        assert before.pixels_sha256 == after.pixels_sha256
        assert before.sha256 != after.sha256

    def test_pixel_chunks_of_png_stay_byte_for_byte(self) -> None:
        spliced = splice_png_text(FOX, "Comment", "größe")

        kept = [part.body(spliced) for part in png_chunks(spliced) if part.kind != b"iTXt"]
        assert kept == [part.body(FOX) for part in png_chunks(FOX)]
        assert [part.kind for part in png_chunks(spliced)][1] == b"iTXt"
        assert Image.open(io.BytesIO(spliced)).info["Comment"] == "größe"

    def test_an_older_text_is_not_replaced(self) -> None:
        spliced = splice_text(splice_text(FOX, "first"), "second")

        assert spliced.count(b"tEXtparameters") == 2

    @pytest.mark.parametrize("options", [{"lossless": True}, {"quality": 40}], ids=["lossless", "lossy"])
    @pytest.mark.parametrize("mode", ["RGB", "RGBA"])
    def test_every_kind_of_webp_keeps_its_pixels(self, options: dict[str, object], mode: str) -> None:
        image = gradient().convert(mode)
        if mode == "RGBA":
            image.putalpha(Image.linear_gradient("L").resize(image.size))
        data = encoded(image, "WEBP", **options)

        spliced = splice_text(data, TEXT)

        assert inspect_image(spliced).pixels_sha256 == inspect_image(data).pixels_sha256
        assert inspect_image(spliced).mode == mode
        assert read_infotext(spliced) == TEXT

    @pytest.mark.parametrize(("mode", "flags"), [("RGB", 0x08), ("RGBA", 0x18)])
    def test_a_simple_webp_gets_a_header_that_says_what_it_holds(self, mode: str, flags: int) -> None:
        image = Image.new(mode, (300, 5), "red")
        if mode == "RGBA":
            image.putalpha(100)
        simple = encoded(image, "WEBP", lossless=True)

        header = next(webp_chunks(splice_text(simple, "fox"))).body(splice_text(simple, "fox"))

        assert next(webp_chunks(simple)).kind == b"VP8L"
        assert header == bytes([flags, 0, 0, 0, 299 % 256, 299 // 256, 0, 4, 0, 0])

    def test_webp_metadata_keeps_its_order(self) -> None:
        data = encoded(gradient(), "WEBP", icc_profile=b"icc", xmp=b"<x/>")

        spliced = splice_text(data, "fox")

        assert [part.kind for part in webp_chunks(spliced)] == [b"VP8X", b"ICCP", b"VP8 ", b"EXIF", b"XMP "]
        assert Image.open(io.BytesIO(spliced)).getexif().get_ifd(0x8769)[0x9286].startswith(b"UNICODE\0")

    def test_jpeg_gets_its_text_after_the_jfif_segment(self) -> None:
        spliced = splice_text(encoded(gradient(), "JPEG"), "fox")

        assert [part.kind for part in jpeg_segments(spliced)][:2] == [b"\xe0", b"\xe1"]
        assert Image.open(io.BytesIO(spliced)).getexif().get_ifd(0x8769)[0x9286] == b"UNICODE\0\0f\0o\0x"

    @pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
    def test_a_file_with_an_exif_block_is_left_alone(self, kind: str) -> None:
        tags = Image.Exif()
        tags[0x010E] = "a camera wrote this"
        data = encoded(gradient(), kind, exif=tags)

        assert splice_text(data, "fox") == data

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (encoded(gradient(), "GIF"), "x"),
            (b"", "x"),
            (FOX, "nul\0"),
            (FOX, "bad\ud800"),
            (encoded(gradient(), "JPEG"), "x" * 33_000),
            (encoded(gradient(), "JPEG"), "bad\ud800"),
            (b"RIFF\x04\0\0\0WEBP", "x"),
            (b"RIFF\x0c\0\0\0WEBPVP8 \0\0\0\0", "x"),
            (b"RIFF\x16\0\0\0WEBPVP8 \x0a\0\0\0\0\0\0\x9d\x01\x2a\0\0\0\0", "x"),
            (FOX[:8] + FOX[33:], "x"),
            (FOX[:20], "x"),
        ],
        ids=["gif", "empty", "nul", "surrogate", "long jpeg", "jpeg surrogate", "no chunks", "short vp8", "no size",
             "no header", "cut"],
    )  # fmt: skip
    def test_what_cannot_take_the_text_is_refused(self, data: bytes, text: str) -> None:
        with pytest.raises(CodecError):
            splice_text(data, text)

    @pytest.mark.parametrize("key", ["", "k" * 80, " key", "two  spaces", "狐", "tab\t", "nul\0"])
    def test_a_keyword_the_format_forbids_is_refused(self, key: str) -> None:
        with pytest.raises(CodecError, match="keyword"):
            splice_png_text(FOX, key, "x")

    def test_text_cannot_be_put_into_another_format_as_png(self) -> None:
        with pytest.raises(CodecError, match="not a PNG"):
            splice_png_text(encoded(gradient(), "JPEG"), "parameters", "x")

    @pytest.mark.parametrize("kind", SPLICED)
    def test_another_program_understands_our_files(self, kind: str, tmp_path: Path) -> None:
        path = tmp_path / f"fox{EXTENSIONS[kind]}"
        path.write_bytes(splice_text(encoded(gradient(), kind), TEXT))

        found = ParserManager().parse(path)

        assert found is not None
        assert [prompt.value for prompt in found.prompts] == ["a red fox"]
        assert [prompt.value for prompt in found.negative_prompts] == ["blurry"]
        assert [sampler.parameters["seed"] for sampler in found.samplers] == ["7"]
