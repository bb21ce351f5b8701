"""Init images made ready: upright, opaque, of a size the server takes; looked at pixel by pixel."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sdclient.client.fitting import fit_for, fit_input, fit_request, unfit
from sdclient.client.sizes import Fit, SizeRule, parse_size
from sdclient.dialects import DIALECTS
from sdclient.errors import CodecError, ConfigurationError
from sdclient.images import GeneratedImage
from sdclient.infotext import read_infotext
from sdclient.schemas import Img2Img

SOURCE = SizeRule("source")


def encoded(image: Image.Image, kind: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def picture(width: int, height: int) -> Image.Image:
    """Return an image whose every pixel tells where it is."""
    across, down = np.meshgrid(np.arange(width) % 256, np.arange(height) % 256)
    return Image.fromarray(np.stack([across, down, (across + down) % 256], axis=-1).astype(np.uint8))


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)))


def sent(image: bytes, size: str = "source", fit: Fit = "pad", step_px: int = 64) -> tuple[np.ndarray, object]:
    fitted = fit_input(image, parse_size(size), fit, step_px, "in.png")
    assert Image.open(io.BytesIO(fitted.data)).format == "PNG"
    return pixels(fitted.data), fitted.box


def test_a_png_that_fits_already_goes_out_byte_for_byte() -> None:
    data = encoded(picture(128, 192))

    fitted = fit_input(data, SOURCE, "pad", 64, "in.png")

    assert (fitted.data, fitted.size, fitted.box) == (data, (128, 192), None)


def test_an_odd_size_is_padded_evenly_by_mirroring_and_nothing_is_scaled() -> None:
    source = picture(200, 150)

    image, box = sent(encoded(source))

    assert image.shape == (192, 256, 3)
    assert np.array_equal(image[21:171, 28:228], np.asarray(source))
    assert np.array_equal(image[20, 28:228], np.asarray(source)[0])
    assert box is not None


def test_cropping_keeps_the_middle_and_scales_nothing() -> None:
    source = picture(200, 150)

    image, box = sent(encoded(source), fit="crop")

    assert image.shape == (128, 192, 3)
    assert np.array_equal(image, np.asarray(source)[11:139, 4:196])
    assert box is None


@pytest.mark.parametrize(
    ("size", "fit", "expected"),
    [
        pytest.param("long-side=256", "pad", (192, 256), id="long side"),
        pytest.param("scale=2", "pad", (320, 448), id="scale"),
        pytest.param("256x256", "pad", (192, 256), id="exact size, no more than the source's shape needs"),
        pytest.param("256x256", "crop", (256, 256), id="exact size, filled"),
        pytest.param("250x250", "crop", (192, 192), id="exact size, down to the server's steps"),
    ],
)
def test_a_size_is_reached_by_one_factor(size: str, fit: Fit, expected: tuple[int, int]) -> None:
    image, _ = sent(encoded(picture(200, 150)), size, fit)

    assert image.shape[:2] == expected


def test_a_jpeg_that_a_camera_turned_is_sent_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    lying = Image.new("RGB", (192, 128), "white")
    lying.paste("red", (0, 0, 96, 128))

    image, box = sent(encoded(lying, "JPEG", exif=exif, quality=95))

    assert image.shape == (192, 128, 3)
    assert box is None
    red_above, white_below = image[10, 64, 1], image[180, 64, 1]
    assert red_above < 60
    assert white_below > 200


def test_a_png_that_says_it_is_turned_is_sent_upright_too() -> None:
    exif = Image.Exif()
    exif[0x0112] = 3
    source = picture(128, 128)

    image, _ = sent(encoded(source, exif=exif))

    assert np.array_equal(image, np.asarray(source)[::-1, ::-1])


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda: Image.new("RGBA", (128, 128), (10, 20, 30, 0)), (255, 255, 255), id="transparent"),
        pytest.param(lambda: Image.new("RGBA", (128, 128), (10, 20, 30, 255)), (10, 20, 30), id="opaque alpha"),
        pytest.param(lambda: Image.new("RGB", (128, 128), (10, 20, 30)).quantize(4), (10, 20, 30), id="palette"),
        pytest.param(lambda: Image.new("L", (128, 128), 77), (77, 77, 77), id="grey"),
        pytest.param(lambda: Image.new("I;16", (128, 128), 32768), (128, 128, 128), id="16-bit grey"),
        pytest.param(lambda: Image.new("1", (128, 128), 1), (255, 255, 255), id="one bit"),
    ],
)
def test_every_kind_of_image_goes_out_as_opaque_rgb(
    make: Callable[[], Image.Image], expected: tuple[int, int, int]
) -> None:
    image, _ = sent(encoded(make()))

    assert image.shape == (128, 128, 3)
    assert tuple(int(value) for value in image[5, 5]) == expected


def test_an_rgb_png_with_one_transparent_colour_is_flattened() -> None:
    data = encoded(Image.new("RGB", (128, 128), (1, 2, 3)), transparency=(1, 2, 3))

    image, _ = sent(data)

    assert tuple(int(value) for value in image[0, 0]) == (255, 255, 255)


def test_what_is_no_image_is_named() -> None:
    with pytest.raises(CodecError, match=r"notes\.txt: not an image"):
        fit_input(b"hello", SOURCE, "pad", 64, "notes.txt")


def test_pixels_without_a_range_are_named() -> None:
    with pytest.raises(CodecError, match=r"in\.tif: floating point"):
        fit_input(encoded(Image.new("F", (128, 128)), "TIFF"), SOURCE, "pad", 64, "in.tif")


def test_a_source_too_small_for_any_server_is_refused_with_its_size() -> None:
    with pytest.raises(ConfigurationError, match="a source of 20x30 becomes 20x30"):
        fit_input(encoded(picture(20, 30)), SOURCE, "pad", 8, "in.png")


def test_a_mask_goes_through_the_same_as_its_image() -> None:
    mask = Image.new("L", (200, 150), 0)
    mask.paste(255, (0, 0, 100, 150))
    request = Img2Img(mask=encoded(mask), denoising_strength=0.5)

    fitted, box = fit_request(request, encoded(picture(200, 150)), rule=None, fit="pad", step_px=64, name="in.png")

    assert box is not None
    assert fitted.size == (256, 192)
    seen = pixels(fitted.mask or b"")
    assert seen.shape[:2] == (192, 256)
    assert (seen[100, 60, 0], seen[100, 200, 0]) == (255, 0)


def test_strokes_on_a_transparent_mask_stay_strokes() -> None:
    mask = Image.new("RGBA", (200, 150), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 100, 150))

    fitted, _ = fit_request(
        Img2Img(mask=encoded(mask)), encoded(picture(200, 150)), rule=None, fit="pad", step_px=64, name="in.png"
    )

    seen = pixels(fitted.mask or b"")
    assert (seen[96, 60].max(), seen[96, 200].max()) == (255, 0)


def test_a_mask_of_an_image_that_fits_already_is_left_alone() -> None:
    mask = encoded(Image.new("L", (128, 128), 255))

    fitted, _ = fit_request(
        Img2Img(mask=mask), encoded(picture(128, 128)), rule=None, fit="pad", step_px=64, name="in.png"
    )

    assert fitted.mask == mask


@pytest.mark.parametrize("more", [{}, {"width": 256, "height": 256, "resize_mode": 0}])
def test_strokes_on_a_transparent_mask_stay_strokes_where_the_image_fits_already(more: dict[str, int]) -> None:
    mask = Image.new("RGBA", (128, 128), (255, 255, 255, 0))
    mask.paste((255, 255, 255, 255), (0, 0, 64, 128))

    fitted = fit_for(DIALECTS["a1111"], Img2Img(mask=encoded(mask), **more), encoded(picture(128, 128))).request

    seen = pixels(fitted.mask or b"")
    assert (seen[64, 20].max(), seen[64, 100].max()) == (255, 0)


def test_without_a_rule_the_request_says_the_size() -> None:
    request = Img2Img(width=256, height=256)

    fitted, _ = fit_request(request, encoded(picture(128, 128)), rule=None, fit="pad", step_px=64, name="in.png")

    assert fitted.size == (256, 256)


@pytest.mark.parametrize(("request_size", "expected"), [(None, (512, 512)), ((300, 200), (320, 256))])
def test_a_stand_in_has_a_size_the_server_takes(
    request_size: tuple[int, int] | None, expected: tuple[int, int]
) -> None:
    size = {} if request_size is None else {"width": request_size[0], "height": request_size[1]}

    assert fit_for(DIALECTS["drawthings"], Img2Img(**size)).request.size == expected


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("dialect", ["a1111", "forge", "sdnext"])
def test_a_server_that_resizes_gets_the_source_and_the_size_asked_for(dialect: str, mode: int) -> None:
    source = encoded(picture(128, 128))

    fitted = fit_for(DIALECTS[dialect], Img2Img(width=512, height=256, resize_mode=mode), source)

    assert fitted.request.init_image == source
    assert (fitted.request.size, fitted.request.resize_mode) == ((512, 256), mode)
    assert (fitted.box, fitted.losses) == (None, ())


def test_what_a_server_resizes_is_upright_and_opaque_and_so_is_its_mask() -> None:
    turned = Image.Exif()
    turned[0x0112] = 6
    source, mask = (encoded(picture(300, 40), "JPEG", exif=turned), encoded(Image.new("LA", (300, 40)), exif=turned))

    fitted = fit_for(DIALECTS["a1111"], Img2Img(width=512, height=256, resize_mode=0, mask=mask), source).request

    assert [pixels(data or b"").shape for data in (fitted.init_image, fitted.mask)] == [(300, 40, 3)] * 2
    assert fitted.size == (512, 256)


@pytest.mark.parametrize("dialect", ["drawthings", "sdcpp", "koboldcpp"])
def test_a_crop_is_made_for_a_server_that_does_not(dialect: str) -> None:
    request = Img2Img(width=512, height=256, resize_mode=1)

    fitted = fit_for(DIALECTS[dialect], request, encoded(picture(128, 128)))

    assert pixels(fitted.request.init_image or b"").shape == (256, 512, 3)
    assert (fitted.request.size, fitted.request.resize_mode) == ((512, 256), None)
    assert (fitted.box, fitted.losses) == (None, ())


@pytest.mark.parametrize(
    ("size", "fit", "mode", "lost"),
    [
        ("256x256", "pad", 0, ["resize_mode"]),
        (None, "crop", 2, ["resize_mode"]),
        (None, "crop", 1, []),
        ("256x256", "crop", 1, []),
    ],
)
def test_a_size_or_fit_given_beside_decides_and_the_mode_is_told_as_lost(
    size: str | None, fit: Fit, mode: int, lost: list[str]
) -> None:
    request = Img2Img(width=512, height=256, resize_mode=mode)
    rule = parse_size(size) if size else None

    fitted = fit_for(DIALECTS["a1111"], request, encoded(picture(128, 128)), rule=rule, fit=fit)

    assert fitted.request.size == ((256, 256) if size else (512, 256))
    assert fitted.request.resize_mode is None
    assert [loss.field for loss in fitted.losses] == lost


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"width": 512, "height": 256}, "512 is asked for and 256 drawn: the init image keeps its shape"),
        ({"width": 512}, "512 is asked for and 128 drawn: with one side only"),
        ({"width": 512, "height": 512}, None),
        ({}, None),
    ],
)
def test_a_side_of_the_request_that_gives_way_is_told(asked: dict[str, int], told: str | None) -> None:
    fitted = fit_for(DIALECTS["a1111"], Img2Img(**asked), encoded(picture(128, 128)))

    assert [loss.field for loss in fitted.losses] == (["width"] if told else [])
    assert all(loss.message.startswith(told or "") for loss in fitted.losses)


def test_a_side_cropped_to_a_servers_steps_is_told_as_that() -> None:
    fitted = fit_for(DIALECTS["drawthings"], Img2Img(width=300, height=256), encoded(picture(300, 256)), fit="crop")

    assert fitted.request.size == (256, 256)
    [loss] = fitted.losses
    assert (
        loss.message
        == "300 is asked for and 256 drawn: what is over the server's steps is cropped; choose a size it takes"
    )


def test_padding_to_a_servers_steps_is_no_loss_since_it_comes_off_again() -> None:
    fitted = fit_for(DIALECTS["drawthings"], Img2Img(width=300, height=200), encoded(picture(300, 200)))

    assert (fitted.request.size, fitted.losses) == ((320, 256), ())
    assert fitted.box is not None


def test_taking_padding_off_keeps_seed_and_text() -> None:
    fitted = fit_input(encoded(picture(200, 150)), SOURCE, "pad", 64, "in.png")
    large = Image.open(io.BytesIO(fitted.data)).resize((512, 384), Image.Resampling.NEAREST)
    result = GeneratedImage.from_bytes(encoded(large), seed=7, infotext="a fox\nSteps: 3, Seed: 7, Size: 256x192")

    image = unfit(result, fitted.box)

    assert (image.size, image.seed) == ((400, 300), 7)
    assert read_infotext(image.data) == image.infotext == result.infotext
    assert np.array_equal(pixels(image.data)[::2, ::2], np.asarray(picture(200, 150)))


def test_without_padding_a_result_stays_the_very_same() -> None:
    image = GeneratedImage.from_bytes(encoded(picture(64, 64)))

    assert unfit(image, None) is image


@settings(max_examples=60, deadline=None)
@given(
    width=st.integers(64, 400),
    height=st.integers(64, 400),
    step_px=st.sampled_from([8, 64]),
    fit=st.sampled_from(["pad", "crop"]),
    size=st.sampled_from(["source", "256x320", "long-side=256", "scale=1.5", "scale=0.9"]),
)
def test_whatever_comes_in_the_size_is_a_multiple_and_the_way_back_is_exact(
    width: int, height: int, step_px: int, fit: Fit, size: str
) -> None:
    rule = parse_size(size)
    try:
        content = rule.content((width, height), fit)
        fitted = fit_input(encoded(Image.new("RGB", (width, height), "red")), rule, fit, step_px, "in.png")
    except ConfigurationError:
        return

    assert all(side % step_px == 0 for side in fitted.size)
    assert Image.open(io.BytesIO(fitted.data)).size == fitted.size
    assert abs(content[0] / content[1] - width / height) < 0.05 * (width / height)
    back = unfit(GeneratedImage.from_bytes(fitted.data), fitted.box)
    assert back.size == (content if fit == "pad" else fitted.size)


@settings(max_examples=40, deadline=None)
@given(
    width=st.integers(64, 700),
    height=st.integers(64, 700),
    size=st.sampled_from(["source", "256x320", "512x128", "long-side=256", "scale=1.5", "scale=0.3"]),
    fit=st.sampled_from(["pad", "crop"]),
)
def test_both_sides_are_scaled_by_one_factor_to_the_pixel(width: int, height: int, size: str, fit: Fit) -> None:
    try:
        content = parse_size(size).content((width, height), fit)
    except ConfigurationError:
        return

    factor = max(content) / max(width, height)
    assert abs(content[0] - width * factor) <= 1
    assert abs(content[1] - height * factor) <= 1


@settings(max_examples=40, deadline=None)
@given(width=st.integers(64, 300), height=st.integers(64, 300), enlarged=st.integers(1, 3))
def test_padding_comes_off_to_the_pixel_however_much_a_server_enlarged(width: int, height: int, enlarged: int) -> None:
    source = picture(width, height)
    fitted = fit_input(encoded(source), SOURCE, "pad", 64, "in.png")
    drawn = Image.open(io.BytesIO(fitted.data)).convert("RGB")
    drawn = drawn.resize((drawn.width * enlarged, drawn.height * enlarged), Image.Resampling.NEAREST)

    back = unfit(GeneratedImage.from_bytes(encoded(drawn)), fitted.box)

    wanted = source.resize((width * enlarged, height * enlarged), Image.Resampling.NEAREST)
    assert np.array_equal(np.asarray(back.pil), np.asarray(wanted))
