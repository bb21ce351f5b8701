"""The `parameters` text: what other programs write is understood, and found in their files."""

from __future__ import annotations

import io
import pickle
import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from sdclient import infotext
from sdclient.errors import CodecError
from sdclient.infotext import (
    MAX_INFOTEXT_BYTES,
    Infotext,
    exif,
    format_infotext,
    parse_infotext,
    read_infotext,
)

A1111 = """a red fox, (detailed:1.2), <lora:fur:0.6>
in the snow
Negative prompt: blurry,
  bad anatomy
Steps: 30, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 5, Seed: 4294967295, Size: 960x1024, \
Model hash: 31e35c80fc, Model: sd_xl_base_1.0, Denoising strength: 0.35, Hires upscaler: Latent (bicubic), \
Lora hashes: "fur: 8c3cb8e62b26, ink: \\"x\\"", Refiner switch at: 0.7, Version: v1.10.1"""

SD_CPP = """a red fox
Negative prompt: blurry
Steps: 20, CFG scale: 7.000000, Skip layers: [7, 8, 9, ], Skip layer start: 0.010000, Guidance: 3.500000, \
Eta: 0.000000, Seed: 42, Size: 512x768, Model: v1-5.safetensors, RNG: cuda, Sampler: euler_a karras, \
Version: stable-diffusion.cpp"""


def png(**text: str) -> bytes:
    info = PngImagePlugin.PngInfo()
    for key, value in text.items():
        info.add_text(key, value)
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, "PNG", pnginfo=info)
    return file.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes) -> bytes:
    plain = png()
    return plain[:33] + b"".join(chunks) + plain[33:]


def with_exif(kind: str, comment: bytes, *, order: str = ">") -> bytes:
    tags = Image.Exif()
    tags.endian = order
    tags[0x8769] = {0x9286: comment}
    file = io.BytesIO()
    Image.new("RGB", (3, 2)).save(file, kind, exif=tags)
    return file.getvalue()


def test_what_is_exported_is_there() -> None:
    assert all(hasattr(infotext, name) for name in infotext.__all__)


class TestParse:
    def test_what_automatic1111_writes_is_understood(self) -> None:
        info = parse_infotext(A1111)

        assert info.prompt == "a red fox, (detailed:1.2), <lora:fur:0.6>\nin the snow"
        assert info.negative_prompt == "blurry,\n  bad anatomy"
        assert list(info.fields)[:4] == ["Steps", "Sampler", "Schedule type", "CFG scale"]
        assert info.fields["Hires upscaler"] == "Latent (bicubic)"
        assert info.fields["Lora hashes"] == 'fur: 8c3cb8e62b26, ink: "x"'
        assert info.fields["Version"] == "v1.10.1"
        assert info.get_int("Seed") == 4294967295
        assert info.get_float("Denoising strength") == 0.35
        assert info.size == (960, 1024)

    def test_what_stable_diffusion_cpp_writes_is_understood(self) -> None:
        info = parse_infotext(SD_CPP)

        assert info.fields["Skip layers"] == "[7, 8, 9, ]"
        assert info.fields["Skip layer start"] == "0.010000"
        assert info.fields["Sampler"] == "euler_a karras"
        assert info.size == (512, 768)
        assert len(info.fields) == 12

    def test_objects_in_a_value_may_hold_commas(self) -> None:
        info = parse_infotext('Steps: 1, Civitai resources: [{"type":"lora","weight":0.5},{"a":[1,2]}], Seed: 3')

        assert info.fields == {
            "Steps": "1",
            "Civitai resources": '[{"type":"lora","weight":0.5},{"a":[1,2]}]',
            "Seed": "3",
        }

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("", Infotext()),
            ("  \n ", Infotext()),
            ("only a prompt", Infotext("only a prompt")),
            ("style: oil, mood: calm", Infotext("style: oil, mood: calm")),
            ("Negative prompt: bad", Infotext("", "bad")),
            ("Negative prompt:\nbad\nworse", Infotext("", "bad\nworse")),
            ("fox\nSteps: 20", Infotext("fox", "", {"Steps": "20"})),
            ("fox\r\nNegative prompt: bad\r\nSteps: 20\r\n", Infotext("fox", "bad", {"Steps": "20"})),
            (
                "狐\nSteps: 1, Farbe: größe, Größe: 1",
                Infotext("狐", "", {"Steps": "1", "Farbe": "größe", "Größe": "1"}),
            ),
            (
                "Steps: 1, Model: http://x/y, Seed: 2",
                Infotext("", "", {"Steps": "1", "Model": "http://x/y", "Seed": "2"}),
            ),
            ('Steps: 1, Note: "open, Seed: 2', Infotext("", "", {"Steps": "1", "Note": '"open', "Seed": "2"})),
            ('Steps: 1, Note: "a"b, Seed: 2', Infotext("", "", {"Steps": "1", "Note": '"a"b', "Seed": "2"})),
            ("Steps: 1, x: 2, Empty:, Seed: 3", Infotext("", "", {"Steps": "1", "Empty": "", "Seed": "3"})),
        ],
    )
    def test_odd_texts_are_read_as_far_as_they_go(self, text: str, expected: Infotext) -> None:
        assert parse_infotext(text) == expected

    @pytest.mark.parametrize(
        "text",
        [
            "ab: " + "[" * 100_000,
            'ab:["",","ab:["",' * 60_000,
            "a" * 1_000_000,
            ": " * 500_000,
            'k1: {"a":' * 100_000,
        ],
        ids=["deep", "quotes", "one word", "colons", "objects"],
    )
    @pytest.mark.timeout(10)
    def test_a_hostile_text_takes_no_time_and_no_stack(self, text: str) -> None:
        info = parse_infotext(text)

        assert isinstance(info, Infotext)

    def test_a_number_that_is_none_is_none(self) -> None:
        info = Infotext(fields={"Steps": "many", "CFG scale": "nan", "Size": "large", "Seed": "9" * 5000})

        assert info.get_int("Steps") is None
        assert info.get_int("Seed") is None
        assert info.get_float("CFG scale") is None
        assert info.get_int("missing") is info.get_float("missing") is None
        assert info.size is Infotext().size is None

    def test_a_value_survives_pickling_and_hashing(self) -> None:
        info = parse_infotext(A1111)

        assert pickle.loads(pickle.dumps(info)) == info  # noqa: S301 - our own bytes
        assert hash(info) == hash(parse_infotext(A1111))


class TestFormat:
    def test_the_text_of_automatic1111_is_written_as_it_was(self) -> None:
        assert format_infotext(parse_infotext(A1111)) == A1111

    def test_only_values_that_need_it_are_quoted(self) -> None:
        info = Infotext(fields={"Steps": "1", "Note": 'a, "b"', "Lines": "a\nb", "Blank": "", "Plain": "x (y)"})

        assert format_infotext(info) == ('Steps: 1, Note: "a, \\"b\\"", Lines: "a\\nb", Blank: "", Plain: x (y)')

    @pytest.mark.parametrize("name", ["", "a", "a:b", "a,b", " ab", "ab ", "-ab", "a\nb", '"ab"'])
    def test_a_name_that_would_not_be_found_again_is_refused(self, name: str) -> None:
        with pytest.raises(CodecError, match="setting"):
            format_infotext(Infotext(fields={name: "1"}))


class TestRead:
    @pytest.mark.parametrize("text", ["plain", "größe 狐", "a\nb: c"])
    def test_pillows_text_chunks_are_read(self, text: str) -> None:
        assert read_infotext(png(other="x", parameters=text)) == text

    def test_packed_text_is_read(self) -> None:
        data = png_with(chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"packed fox")))

        assert read_infotext(data) == "packed fox"

    def test_packed_international_text_is_read(self) -> None:
        data = png_with(chunk(b"iTXt", b"parameters\0\1\0de\0Parameter\0" + zlib.compress("größe".encode())))

        assert read_infotext(data) == "größe"

    def test_text_after_the_pixels_is_found(self) -> None:
        plain = png()
        data = plain[:-12] + chunk(b"tEXt", b"parameters\0late") + plain[-12:]

        assert read_infotext(data) == "late"

    def test_utf8_in_a_latin1_chunk_is_read_as_it_was_meant(self) -> None:
        data = png_with(chunk(b"tEXt", b"parameters\0" + "größe".encode()))

        assert read_infotext(data) == "größe"

    def test_latin1_in_a_latin1_chunk_is_read_too(self) -> None:
        data = png_with(chunk(b"tEXt", b"parameters\0" + "größe".encode("latin-1")))

        assert read_infotext(data) == "größe"

    def test_fill_bytes_and_standalone_markers_of_jpeg_are_passed_over(self) -> None:
        data = with_exif("JPEG", b"ASCII\0\0\0fox")

        assert read_infotext(data[:2] + b"\xff\x01\xff\xff\xff" + data[3:]) == "fox"

    def test_a_text_that_would_inflate_beyond_the_limit_is_not_read(self) -> None:
        bomb = zlib.compress(bytes(50 * MAX_INFOTEXT_BYTES))

        assert read_infotext(png_with(chunk(b"zTXt", b"parameters\0\0" + bomb))) is None
        assert read_infotext(png_with(chunk(b"iTXt", b"parameters\0\1\0\0\0" + bomb))) is None

    @pytest.mark.parametrize("kind", [b"tEXt", b"iTXt"])
    def test_a_text_beyond_the_limit_is_not_read(self, kind: bytes) -> None:
        body = b"parameters\0" + (b"\0\0\0\0" if kind == b"iTXt" else b"") + b"x" * (MAX_INFOTEXT_BYTES + 1)

        assert read_infotext(png_with(chunk(kind, body))) is None

    @pytest.mark.parametrize(
        "broken",
        [
            chunk(b"zTXt", b"parameters\0\0not zlib"),
            chunk(b"zTXt", b"parameters\0\1" + zlib.compress(b"x")),
            chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"cut off in the middle")[:-6]),
            chunk(b"iTXt", b"parameters\0\0\0no end"),
            chunk(b"tEXt", b"parameters\0fox")[:-1] + b"!",
            chunk(b"eXIf", b"MM\0*"),
        ],
        ids=["no zlib", "method", "cut zlib", "fields", "check sum", "exif"],
    )
    def test_a_broken_chunk_is_as_good_as_none(self, broken: bytes) -> None:
        assert read_infotext(png_with(broken)) is None
        assert read_infotext(png_with(broken, chunk(b"tEXt", b"parameters\0whole"))) == "whole"

    def test_an_exif_chunk_of_png_is_read(self) -> None:
        data = png_with(chunk(b"eXIf", exif.encode_user_comment("fox")))

        assert read_infotext(data) == "fox"

    def test_a_text_chunk_says_more_than_an_editors_comment(self) -> None:
        comment = chunk(b"eXIf", exif.encode_user_comment("Created with GIMP"))

        assert read_infotext(png_with(comment, chunk(b"tEXt", b"parameters\0fox"))) == "fox"

    @pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
    @pytest.mark.parametrize(
        "comment",
        [
            b"UNICODE\0" + "größe 1".encode("utf-16-be"),
            b"UNICODE\0" + "größe 1".encode("utf-16-le"),
            b"UNICODE\0" + "größe 1".encode("utf-16"),
            b"UNICODE\0" + "größe 1".encode("utf-16-be") + b"\0\0\0",
            bytes(8) + "größe 1".encode(),
        ],
        ids=["big", "little", "marked", "padded", "undeclared"],
    )
    def test_user_comments_are_read(self, kind: str, comment: bytes) -> None:
        assert read_infotext(with_exif(kind, comment)) == "größe 1"

    def test_text_without_any_ascii_goes_by_the_order_of_its_block(self) -> None:
        comment = b"UNICODE\0" + "狐狸".encode("utf-16-le")

        assert read_infotext(with_exif("JPEG", comment, order="<")) == "狐狸"
        assert exif.decode_user_comment(exif.encode_user_comment("狐狸")) == "狐狸"

    @pytest.mark.parametrize(
        "comment",
        [b"", b"UNICODE\0", b"JIS\0\0\0\0\0abc", b"ASCII\0\0\0\xff\xfe", b"UNICODE\0\xd8\x00\0a"],
        ids=["empty", "no text", "charset", "no ascii", "half a pair"],
    )
    def test_a_user_comment_without_a_text_is_none(self, comment: bytes) -> None:
        assert read_infotext(with_exif("JPEG", comment)) is None

    @pytest.mark.parametrize(
        "block",
        [
            b"",
            b"XX*\0",
            b"MM\0*",
            b"MM\0*\0\0\xff\xff",
            struct.pack(">2sHIHHHIII", b"MM", 42, 8, 1, 0x8769, 4, 1, 9999, 0),
            struct.pack(">2sHIH", b"MM", 42, 8, 0),
            exif.encode_user_comment("fox")[:-1],
        ],
        ids=["empty", "order", "no directory", "far directory", "far exif", "no entries", "cut"],
    )
    def test_a_broken_exif_block_has_no_text(self, block: bytes) -> None:
        assert exif.decode_user_comment(block) is None

    def test_a_lone_surrogate_cannot_be_a_user_comment(self) -> None:
        with pytest.raises(CodecError, match="character 1"):
            exif.encode_user_comment("a\ud800")

    def test_files_without_a_text_have_none(self) -> None:
        plain = [png(), with_exif("JPEG", b"")[:20], b"", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff\xd9", b"RIFF"]

        assert [read_infotext(data) for data in plain] == [None] * len(plain)

    def test_pixels_are_not_decoded(self) -> None:
        data = png(parameters="fox")
        at = data.index(b"IDAT") + 4

        assert read_infotext(data[:at] + b"\xff" * 10 + data[at + 10 :]) == "fox"
