"""The image of a post: without metadata, within limits."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from sdclient.errors import CodecError, ImageLimitError
from sdclient.images import inspect_image, read_image_input, splice_text
from sdclient.infotext import read_infotext
from sdclient.posting.media import MediaLimits, make_media

ROOMY = MediaLimits(10**9)


def noise(size: tuple[int, int]) -> Image.Image:
    return Image.effect_noise(size, 90).convert("RGB")


def test_metadata_is_gone_and_every_pixel_is_the_same() -> None:
    data = splice_text(read_image_input(noise((90, 60))), "a secret prompt\nSteps: 5, Seed: 1, Size: 90x60")

    media = make_media(data, ROOMY)

    assert read_infotext(data) is not None
    assert read_infotext(media.data) is None
    assert b"secret" not in media.data
    assert inspect_image(media.data).pixels_sha256 == inspect_image(data).pixels_sha256
    assert (media.extension, media.mime, media.width_px, media.height_px) == (".png", "image/png", 90, 60)


def test_the_camera_and_the_place_of_a_jpeg_are_gone() -> None:
    exif = Image.Exif()
    exif[0x010F] = "SecretCamera"
    file = io.BytesIO()
    noise((64, 64)).save(file, "JPEG", exif=exif)

    assert b"SecretCamera" not in make_media(file.getvalue(), ROOMY).data


def test_what_is_too_large_becomes_a_jpeg_of_the_same_size() -> None:
    data = read_image_input(noise((600, 600)))

    media = make_media(data, MediaLimits(len(data) * 3 // 4))

    assert len(media.data) <= len(data) * 3 // 4
    assert (media.extension, media.mime, inspect_image(media.data).size) == (".jpg", "image/jpeg", (600, 600))


def test_what_is_still_too_large_becomes_smaller_and_keeps_its_shape() -> None:
    media = make_media(read_image_input(noise((900, 600))), MediaLimits(40_000))

    width, height = inspect_image(media.data).size
    assert len(media.data) <= 40_000
    assert width < 900
    assert abs(width / height - 1.5) < 0.02


def test_a_limit_on_pixels_is_kept() -> None:
    media = make_media(read_image_input(noise((300, 200))), MediaLimits(10**9, max_pixels=15_000))

    assert media.width_px * media.height_px <= 15_000
    assert abs(media.width_px / media.height_px - 1.5) < 0.02


def test_a_limit_that_nothing_fits_is_told() -> None:
    with pytest.raises(ImageLimitError, match="does not fit into 100 bytes"):
        make_media(read_image_input(noise((300, 200))), MediaLimits(100))


def test_what_is_no_image_is_refused() -> None:
    with pytest.raises(CodecError, match="the image of the post"):
        make_media(b"no image", ROOMY)
