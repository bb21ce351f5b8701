"""Images as bytes and values: what is taken, what is refused, and in which words."""

from __future__ import annotations

import base64
import io
import os
import pickle
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdclient import images
from sdclient.errors import CodecError, ConfigurationError, ImageLimitError, StorageError
from sdclient.images import (
    EXTENSIONS,
    GeneratedImage,
    ImageLimits,
    decode_base64,
    encode_base64,
    inspect_image,
    open_rgb,
    read_image_input,
    splice_text,
)
from sdclient.images.facts import pillow_errors
from sdclient.infotext import parse_infotext, read_infotext

KINDS = list(EXTENSIONS)
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


def png_claiming(width: int, height: int) -> bytes:
    """A PNG file of a few bytes whose header claims any size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = b"IDAT" + zlib.compress(b"\0")
    chunks = [struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, pixels, b"IEND")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_what_is_exported_is_there() -> None:
    assert all(hasattr(images, name) for name in images.__all__)


def test_importing_imports_neither_pillow_nor_numpy() -> None:
    code = "import sys, sdclient.images; print([name for name in ('PIL', 'numpy', 'cv2') if name in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(images.__file__).parents[2],
        env={**os.environ, "PYTHONPATH": str(Path(images.__file__).parents[2])},
    )

    assert done.stdout.strip() == "[]"


class TestInspect:
    @pytest.mark.parametrize("kind", KINDS)
    def test_every_known_format_is_recognised_by_its_content(self, kind: str) -> None:
        data = encoded(gradient(), kind)

        facts = inspect_image(data)

        assert (facts.format, facts.extension, facts.size) == (kind, EXTENSIONS[kind], (37, 23))
        assert facts.size_bytes == len(data)
        assert not facts.all_black
        assert len(facts.sha256) == len(facts.pixels_sha256) == 64

    def test_a_file_is_told_by_its_bytes_and_its_pixels_by_theirs(self) -> None:
        tight, loose = (inspect_image(encoded(gradient(), compress_level=level)) for level in (9, 0))

        assert tight.sha256 != loose.sha256
        assert tight.pixels_sha256 == loose.pixels_sha256

    def test_pixels_of_another_shape_or_palette_are_others(self) -> None:
        palette = gradient().quantize(8)
        other = palette.copy()
        other.putpalette(bytes(range(24)))
        looks = [gradient(4, 6), Image.new("L", (4, 6)), Image.new("L", (6, 4)), palette, other]

        hashes = {inspect_image(encoded(image)).pixels_sha256 for image in looks}

        assert len(hashes) == len(looks)

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"])
    def test_an_all_black_image_is_noticed_in_every_mode(self, mode: str) -> None:
        black = Image.new(mode, (5, 4))
        if "A" in mode:
            black.putalpha(255)

        assert inspect_image(encoded(black)).all_black

    @pytest.mark.parametrize("mode", ["CMYK", "L", "RGB"])
    def test_an_all_black_jpeg_is_noticed_too(self, mode: str) -> None:
        black = Image.new(mode, (8, 8), (0, 0, 0, 255) if mode == "CMYK" else 0)

        assert inspect_image(encoded(black, "JPEG")).all_black

    def test_one_pixel_of_colour_is_not_black(self) -> None:
        image = Image.new("RGB", (50, 50))
        image.putpixel((49, 49), (0, 0, 1))

        assert not inspect_image(encoded(image)).all_black

    @pytest.mark.parametrize(
        ("data", "words"),
        [
            (b"", "empty"),
            (b"not an image at all", "known format"),
            (b"<html>502</html>", "known format"),
            (FOX[:-1], "cut off"),
            (FOX[:40], "cut off"),
            (FOX[:8], "cut off"),
            (encoded(gradient(), "JPEG")[:-2], "end marker"),
            (encoded(gradient(), "JPEG")[:100], "JPEG"),
            (encoded(gradient(), "WEBP")[:-1], "cut off"),
            (b"\xff\xd8\xff\xd9", "no image data"),
            (b"\xff\xd8\xff\xe0\x00\x01", "no image data"),
            (b"RIFF\x0c\0\0\0WEBPVP8 \xff\xff\xff\xff", "beyond"),
            (b"RIFF\x04\0\0\0WEBP", "cannot be decoded"),
            (b"BM" + bytes(60), "cannot be decoded"),
            (b"GIF89a" + bytes(20), "image"),
            (b"II*\0" + bytes(20), "cannot be decoded"),
            (png_claiming(0, 5), "cannot be decoded"),
        ],
    )
    def test_what_is_no_whole_image_is_refused_in_words(self, data: bytes, words: str) -> None:
        with pytest.raises(CodecError, match=words) as caught:
            inspect_image(data, what="fox.png")

        assert str(caught.value).startswith("fox.png")
        assert len(str(caught.value)) < 300

    def test_damaged_pixel_data_is_refused_though_it_would_decode(self) -> None:
        stored = encoded(gradient(), compress_level=0)
        at = stored.index(b"IDAT") + 40
        damaged = stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :]

        with pytest.raises(CodecError, match="check sum of the b'IDAT'"):
            inspect_image(damaged)

    def test_a_bomb_is_refused_by_its_header(self) -> None:
        with pytest.raises(ImageLimitError, match="60000x60000"):
            inspect_image(png_claiming(60_000, 60_000))

    def test_the_limits_in_force_are_the_ones_given(self) -> None:
        assert inspect_image(FOX, limits=ImageLimits(len(FOX), 37 * 23)).size == (37, 23)
        for limits in (ImageLimits(len(FOX) - 1, 37 * 23), ImageLimits(len(FOX), 37 * 23 - 1)):
            with pytest.raises(ImageLimitError, match="more than"):
                inspect_image(FOX, limits=limits)

    def test_pillows_own_limit_for_the_whole_process_is_neither_used_nor_changed(self) -> None:
        before = Image.MAX_IMAGE_PIXELS
        big = encoded(Image.new("1", (10_000, 9_500)))

        facts = inspect_image(big)

        assert facts.width_px * facts.height_px > (before or 0)
        assert before == Image.MAX_IMAGE_PIXELS

    def test_an_animation_counts_as_its_first_frame(self) -> None:
        frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
        for kind in ("GIF", "WEBP", "PNG"):
            data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])

            assert open_rgb(data).getpixel((0, 0))[0] > 200  # type: ignore[index]

    @pytest.mark.parametrize(
        ("error", "kind"),
        [(SyntaxError("x"), CodecError), (struct.error("x"), CodecError), (MemoryError(), ImageLimitError),
         (Image.DecompressionBombError("x"), ImageLimitError), (EOFError(), CodecError), (zlib.error("x"), CodecError)],
        ids=lambda value: getattr(value, "__name__", type(value).__name__),
    )  # fmt: skip
    def test_whatever_pillow_raises_becomes_one_of_ours(self, error: Exception, kind: type[CodecError]) -> None:
        with pytest.raises(CodecError) as caught, pillow_errors("fox.png"):
            raise error

        assert type(caught.value) is kind
        assert caught.value.__cause__ is error


class TestGeneratedImage:
    def test_it_holds_the_bytes_as_received_and_what_they_are(self) -> None:
        image = GeneratedImage.from_bytes(FOX, seed=7, infotext="given")

        assert image.data is FOX
        assert (image.size, image.extension, image.seed, image.infotext) == ((37, 23), ".png", 7, "given")
        assert image.sha256 == inspect_image(FOX).sha256

    def test_a_text_in_the_file_counts_more_than_one_given(self) -> None:
        image = GeneratedImage.from_bytes(splice_text(FOX, TEXT), infotext="given")

        assert image.infotext == TEXT

    def test_what_is_no_image_never_becomes_one(self) -> None:
        with pytest.raises(CodecError, match="image 1"):
            GeneratedImage.from_bytes(FOX[:50], what="image 1")

    def test_two_are_equal_if_their_bytes_are(self) -> None:
        first, second = GeneratedImage.from_bytes(FOX, seed=1), GeneratedImage.from_bytes(FOX, seed=2)

        assert first == second
        assert hash(first) == hash(second)
        assert first != GeneratedImage.from_bytes(encoded(gradient(), "BMP"))

    def test_it_can_be_sent_to_another_process(self) -> None:
        image = GeneratedImage.from_bytes(FOX, seed=1)

        assert pickle.loads(pickle.dumps(image)).facts == image.facts  # noqa: S301 - our own bytes

    def test_it_prints_short(self) -> None:
        text = repr(GeneratedImage.from_bytes(splice_text(FOX, TEXT)))

        assert "width_px=37" in text
        assert len(text) < 500
        assert "fox" not in text

    def test_each_decoded_image_is_the_callers_own(self) -> None:
        image = GeneratedImage.from_bytes(FOX)

        image.pil.paste("black", (0, 0, 37, 23))

        assert image.pil.getpixel((36, 22)) == gradient().getpixel((36, 22))

    @pytest.mark.parametrize("name", ["fox.png", "fox.PNG", "fox", "fox.part", "new/folder/fox.png"])
    def test_saving_writes_the_bytes_as_received(self, tmp_path: Path, name: str) -> None:
        path = GeneratedImage.from_bytes(FOX).save(tmp_path / name)

        assert path == tmp_path / name
        assert path.read_bytes() == FOX

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("mode", ["RGB", "RGBA", "P", "I;16", "CMYK"])
    def test_saving_under_another_extension_converts(self, tmp_path: Path, kind: str, mode: str) -> None:
        source = gradient().convert("L").convert(mode) if mode == "I;16" else gradient().convert(mode)
        data = encoded(source, "TIFF")
        image = GeneratedImage.from_bytes(data, infotext=TEXT)

        path = image.save(tmp_path / f"fox{EXTENSIONS[kind]}")

        facts = inspect_image(path.read_bytes())
        assert (facts.format, facts.size) == (kind, (37, 23))
        assert read_infotext(path.read_bytes()) == (TEXT if kind in SPLICED else None)

    def test_converting_scales_sixteen_bits_and_applies_an_orientation(self, tmp_path: Path) -> None:
        tags = Image.Exif()
        tags[0x0112] = 6
        bright = Image.fromarray(np.full((2, 4), 30_000, np.uint16))

        path = GeneratedImage.from_bytes(encoded(bright, "PNG", exif=tags)).save(tmp_path / "fox.bmp")

        saved = open_rgb(path.read_bytes())
        assert saved.size == (2, 4)
        assert saved.getpixel((0, 0)) == (117, 117, 117)

    def test_a_text_too_long_for_the_new_format_does_not_stop_saving(self, tmp_path: Path) -> None:
        path = GeneratedImage.from_bytes(FOX, infotext="x" * 40_000).save(tmp_path / "fox.jpg")

        assert inspect_image(path.read_bytes()).format == "JPEG"
        assert read_infotext(path.read_bytes()) is None

    @pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="names are always Unicode there")
    def test_a_broken_image_whose_name_is_no_text_is_told_in_words(self, tmp_path: Path) -> None:
        path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.png")
        Path(path).write_bytes(FOX[:60])

        with pytest.raises(CodecError) as caught:
            read_image_input(path)

        assert r"caf\udce9.png" in str(caught.value)
        assert str(caught.value).encode()

    def test_saving_to_a_folder_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigurationError, match="folder"):
            GeneratedImage.from_bytes(FOX).save(tmp_path)

    def test_saving_under_a_name_that_is_too_long_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError):
            GeneratedImage.from_bytes(FOX).save(tmp_path / ("x" * 400 + ".png"))

    def test_saving_below_a_file_is_a_storage_error(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")

        with pytest.raises(StorageError):
            GeneratedImage.from_bytes(FOX).save(tmp_path / "file" / "fox.png")

    @pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF"])
    def test_a_notebook_is_shown_a_png(self, kind: str) -> None:
        shown = GeneratedImage.from_bytes(encoded(gradient(), kind))._repr_png_()

        assert inspect_image(shown).format == "PNG"


class TestInput:
    @pytest.mark.parametrize("as_text", [True, False])
    def test_a_path_gives_the_files_bytes(self, tmp_path: Path, *, as_text: bool) -> None:
        path = tmp_path / "fox.png"
        path.write_bytes(FOX)

        assert read_image_input(str(path) if as_text else path) == FOX

    def test_bytes_and_results_are_taken_as_they_are(self) -> None:
        result = GeneratedImage.from_bytes(FOX)

        assert read_image_input(FOX) == read_image_input(bytearray(FOX)) == read_image_input(memoryview(FOX)) == FOX
        assert read_image_input(result) is FOX

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I;16", "La", "RGBa"])
    def test_a_pillow_image_of_any_mode_becomes_png(self, mode: str) -> None:
        data = read_image_input(Image.new(mode, (5, 4)))

        assert inspect_image(data).format == "PNG"
        assert inspect_image(data).size == (5, 4)

    def test_a_pillow_image_keeps_its_pixels(self) -> None:
        assert list(Image.open(io.BytesIO(read_image_input(gradient()))).tobytes()) == list(gradient().tobytes())

    @pytest.mark.parametrize(
        ("source", "words"),
        [
            ("gone.png", "no such file"),
            (".", "not a file"),
            ("/dev/null", "not a file"),
            ("nul\0.png", "cannot be read"),
            ("A" * 9000, "cannot be read"),
            ("https://host/fox.png", "nothing is fetched"),
            ("data:image/png;base64,AAAA", "nothing is fetched"),
            (np.zeros((4, 4, 3), np.uint8), r"numpy.ndarray .* PIL.Image.fromarray"),
            (None, "NoneType is not taken"),
            (7, "int is not taken"),
        ],
        ids=["missing", "folder", "device", "nul", "long", "url", "data url", "array", "none", "number"],
    )
    def test_what_stands_for_no_image_is_refused_in_words(self, source: object, words: str) -> None:
        with pytest.raises(ConfigurationError, match=words) as caught:
            read_image_input(source)  # type: ignore[arg-type]

        assert len(str(caught.value)) < 300

    def test_a_file_that_is_no_image_is_refused_by_its_name(self, tmp_path: Path) -> None:
        (tmp_path / "notes.png").write_bytes(b"notes")

        with pytest.raises(CodecError, match=r"notes\.png"):
            read_image_input(tmp_path / "notes.png")

    def test_the_limits_hold_for_every_kind_of_input(self, tmp_path: Path) -> None:
        (tmp_path / "fox.png").write_bytes(FOX)
        limits = ImageLimits(max_bytes=len(FOX) - 1, max_pixels=10)

        for source in (tmp_path / "fox.png", FOX, gradient()):
            with pytest.raises(ImageLimitError):
                read_image_input(source, limits=limits)

    def test_an_image_without_pixels_is_refused(self) -> None:
        with pytest.raises(ImageLimitError, match="0x5"):
            read_image_input(Image.new("RGB", (0, 5)))

    def test_floating_point_pixels_are_refused(self) -> None:
        with pytest.raises(CodecError, match="floating point"):
            read_image_input(Image.new("F", (5, 4)))


def test_a_whole_way_from_wire_to_disk_keeps_every_byte(tmp_path: Path) -> None:
    wire = base64.b64encode(splice_text(FOX, TEXT)).decode()

    image = GeneratedImage.from_bytes(decode_base64(wire), seed=7)
    image.save(tmp_path / "fox.png")

    assert encode_base64(read_image_input(tmp_path / "fox.png")) == wire
    assert parse_infotext(image.infotext or "").get_int("Seed") == image.seed
