"""The studio: painting for real, or once per size."""

from __future__ import annotations

import base64

import pytest
from PIL import Image

from sdclient.simulator.pictures import PictureError
from sdclient.simulator.studio import Studio


def test_a_studio_paints_whatever_it_is_told() -> None:
    made = Studio().draw((8, 8), lambda: Image.new("RGB", (8, 8), "red"))

    assert made.getpixel((0, 0)) == (255, 0, 0)


def test_a_pre_rendered_image_is_painted_once_and_the_same_everywhere() -> None:
    studios = [Studio(prerendered=True) for _ in range(2)]
    images = [studio.draw((64, 32), _never) for studio in studios for _ in range(2)]

    assert images[0] is images[1]
    assert images[1].tobytes() == images[2].tobytes()
    assert images[0].size == (64, 32)


def _never() -> Image.Image:
    raise NotImplementedError


def test_a_pre_rendered_image_is_about_as_large_as_a_real_one() -> None:
    studio = Studio(prerendered=True)
    data = base64.b64decode(studio.encode(studio.draw((512, 512), _never), None))

    assert 1.2 < len(data) / 512 / 512 < 2.2


def test_each_format_is_encoded_once() -> None:
    studio = Studio(prerendered=True)
    image = studio.draw((16, 16), _never)

    assert studio.encode(image, "text", "png") is studio.encode(image, "other", "png")
    assert studio.encode(image, None, "jpg") != studio.encode(image, None, "png")


@pytest.mark.parametrize("prerendered", [True, False])
@pytest.mark.parametrize("text", ["", "AAAA", "a", "data:image/png;base64,QUJD"])
def test_what_is_no_image_is_refused(text: str, prerendered: bool) -> None:  # noqa: FBT001 - a parameter of the test
    with pytest.raises(PictureError):
        Studio(prerendered=prerendered).read(text)
