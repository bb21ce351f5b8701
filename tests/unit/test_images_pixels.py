"""Pixels made ready for a server: upright RGB of any source, and sizes without stretching."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sdclient import images
from sdclient.errors import CodecError
from sdclient.images import (
    FitBox,
    fit_image,
    flatten_rgb,
    open_rgb,
    unfit_image,
)


def gradient(width: int = 37, height: int = 23) -> Image.Image:
    rows, columns = np.mgrid[0:height, 0:width]
    return Image.fromarray(np.stack([rows * 7 % 256, columns * 5 % 256, (rows + columns) % 256], 2).astype(np.uint8))


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)  # type: ignore[arg-type]
    return file.getvalue()


FOX = encoded(gradient())


class TestOpenRgb:
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_a_noted_orientation_is_applied(self, orientation: int) -> None:
        upright = Image.new("RGB", (4, 2))
        upright.putpixel((0, 0), (255, 0, 0))
        upright.putpixel((3, 0), (0, 255, 0))
        turn = Image.Transpose
        # What the camera stored, so that turning it as noted gives the upright image.
        stored = {
            2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE,
            6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270,
        }  # fmt: skip
        tags = Image.Exif()
        tags[0x0112] = orientation
        image = upright.transpose(stored[orientation]) if orientation in stored else upright

        opened = open_rgb(encoded(image, "PNG", exif=tags))

        assert opened.size == (4, 2)
        assert opened.tobytes() == upright.tobytes()

    def test_broken_exif_does_not_cost_the_image(self) -> None:
        body = b"eXIf" + b"MM\0*\0\0\0\x08\xff\xff\x01\x12"
        chunk = struct.pack(">I", len(body) - 4) + body + struct.pack(">I", zlib.crc32(body))

        assert open_rgb(FOX[:33] + chunk + FOX[33:]).size == (37, 23)

    @pytest.mark.parametrize("value", [0, 1, 128, 256, 32_768, 65_535])
    def test_sixteen_bits_are_scaled_not_cut(self, value: int) -> None:
        image = Image.fromarray(np.full((3, 2), value, np.uint16))

        for kind in ("PNG", "TIFF"):
            assert open_rgb(encoded(image, kind)).getpixel((0, 0)) == (round(value / 257),) * 3

    def test_transparency_shows_the_background(self) -> None:
        rgba = Image.new("RGBA", (2, 1), (10, 20, 30, 0))
        palette = Image.new("P", (2, 1))
        palette.info["transparency"] = 0
        looks = [encoded(rgba), encoded(Image.new("LA", (2, 1), (9, 0))), encoded(palette, transparency=0)]
        looks.append(encoded(Image.new("RGB", (2, 1), (1, 2, 3)), transparency=(1, 2, 3)))

        white = [open_rgb(data).getpixel((0, 0)) for data in looks]
        blue = [open_rgb(data, background=(0, 0, 255)).getpixel((0, 0)) for data in looks]

        assert white == [(255, 255, 255)] * 4
        assert blue == [(0, 0, 255)] * 4

    @pytest.mark.parametrize(
        ("mode", "kind"),
        [
            ("1", "PNG"),
            ("L", "PNG"),
            ("P", "GIF"),
            ("CMYK", "JPEG"),
            ("CMYK", "TIFF"),
            ("RGB", "BMP"),
            ("RGBA", "WEBP"),
        ],
    )
    def test_every_mode_becomes_rgb(self, mode: str, kind: str) -> None:
        image = open_rgb(encoded(gradient().convert(mode), kind))

        assert (image.mode, image.size) == ("RGB", (37, 23))

    def test_white_cmyk_is_white(self) -> None:
        assert flatten_rgb(Image.new("CMYK", (1, 1), (0, 0, 0, 0))).getpixel((0, 0)) == (255, 255, 255)

    def test_floating_point_is_refused_by_name(self) -> None:
        with pytest.raises(CodecError, match=r"depth\.tif: floating point"):
            open_rgb(encoded(Image.new("F", (2, 2)), "TIFF"), what="depth.tif")


class TestFit:
    def test_padding_shows_all_of_the_source(self) -> None:
        fitted, box = fit_image(gradient(100, 50), (64, 64), fit="pad")

        assert fitted.size == (64, 64)
        assert box == FitBox("pad", (64, 64), (64, 32), (0, 16, 64, 48))

    def test_cropping_fills_all_of_the_size(self) -> None:
        fitted, box = fit_image(gradient(100, 50), (64, 64), fit="crop")

        assert fitted.size == (64, 64)
        assert box == FitBox("crop", (64, 64), (128, 64), (0, 0, 64, 64))
        assert unfit_image(fitted, box) is fitted

    def test_rounding_up_to_a_multiple_does_not_touch_a_pixel(self) -> None:
        source = gradient(100, 70)

        fitted, box = fit_image(source, (128, 128), fit="pad", content_size=source.size)

        assert fitted.crop(box.box_xyxy).tobytes() == source.tobytes()
        assert unfit_image(fitted, box).tobytes() == source.tobytes()

    def test_padding_mirrors_the_edge(self) -> None:
        source = gradient(10, 10)

        fitted, box = fit_image(source, (10, 16), fit="pad", content_size=(10, 10))

        assert box.box_xyxy == (0, 3, 10, 13)
        assert [fitted.getpixel((4, y)) for y in (2, 1, 0)] == [source.getpixel((4, y)) for y in (0, 1, 2)]

    def test_padding_may_be_wider_than_the_image(self) -> None:
        fitted, _ = fit_image(gradient(2, 2), (64, 2), fit="pad", content_size=(2, 2))

        assert fitted.size == (64, 2)

    def test_an_enlarged_result_loses_its_enlarged_padding(self) -> None:
        fitted, box = fit_image(gradient(100, 70), (128, 128), fit="pad", content_size=(100, 70))

        enlarged = fitted.resize((512, 512))

        assert unfit_image(enlarged, box).size == (400, 280)

    def test_a_source_of_the_right_size_is_given_back_untouched(self) -> None:
        source = gradient(64, 64)

        fitted, box = fit_image(source, (64, 64), fit="pad")

        assert fitted is source
        assert unfit_image(fitted, box) is fitted

    @pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "LA"])
    def test_other_modes_are_fitted_too(self, mode: str) -> None:
        fitted, _ = fit_image(gradient(10, 8).convert(mode), (16, 16), fit="pad")

        assert fitted.size == (16, 16)
        assert fitted.mode == (mode if mode in {"L", "RGBA"} else "RGB")

    @pytest.mark.parametrize(
        ("size", "content", "fit"),
        [
            ((0, 64), None, "pad"),
            ((64, 64), (64, 64), "pad"),
            ((64, 64), (0, 0), "pad"),
            ((64, 64), (200, 100), "pad"),
            ((64, 64), (50, 25), "crop"),
        ],
        ids=["no size", "stretched", "no content", "too large to pad", "too small to crop"],
    )
    def test_sizes_that_cannot_be_are_refused(
        self, size: tuple[int, int], content: tuple[int, int] | None, fit: images.FitMode
    ) -> None:
        with pytest.raises(CodecError, match="cannot"):
            fit_image(gradient(100, 50), size, fit=fit, content_size=content)
