"""How results, changes and losses show themselves."""

from __future__ import annotations

import io

import pytest
from PIL import Image

from sdclient.client import Change, Losses, Result
from sdclient.client.preview import MAX_SIDE_PX
from sdclient.dialects.base import Loss
from sdclient.images import GeneratedImage
from sdclient.schemas import Txt2Img

DROPPED = Loss("eta", "dropped", "warning", "it has no <eta> & never had")
REFUSED = Loss("width", "refused", "error", "100 is no multiple of 64")


def image(width: int = 64, height: int = 64, kind: str = "PNG", seed: int | None = 7) -> GeneratedImage:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, kind)
    return GeneratedImage.from_bytes(file.getvalue(), seed=seed)


def result(*images: GeneratedImage, losses: tuple[Loss, ...] = (), changed: tuple[Change, ...] = ()) -> Result:
    return Result(images, (), None, Txt2Img(prompt="x" * 10_000), "a1111", {"big": "y" * 9999}, losses, changed, 12.34)


def shown(picture: Result) -> Image.Image:
    with Image.open(io.BytesIO(picture._repr_png_())) as opened:
        opened.load()
        return opened


def test_a_result_shows_itself_in_one_short_line() -> None:
    plain = repr(result(image()))
    rich = repr(result(image(seed=None), image(), losses=(DROPPED, REFUSED), changed=(Change("steps", 30, 20),)))

    assert plain == "<Result: 1 image of 64x64, seed 7, a1111, 12.3 s>"
    assert rich == "<Result: 2 images of 64x64, seed unknown, a1111, 12.3 s, 2 losses, 1 changed>"


def test_a_small_png_is_shown_as_its_own_bytes() -> None:
    one = image()

    assert result(one)._repr_png_() is one.data


@pytest.mark.parametrize("one", [image(2048, 1024), image(64, 64, "JPEG")], ids=["large", "jpeg"])
def test_anything_else_is_shown_as_a_png_of_modest_size(one: GeneratedImage) -> None:
    picture = shown(result(one))

    assert picture.format == "PNG"
    assert max(picture.size) <= MAX_SIDE_PX
    assert picture.width / picture.height == one.size[0] / one.size[1]


def test_several_images_are_shown_side_by_side() -> None:
    picture = shown(result(*(image(100, 50) for _ in range(3))))

    assert picture.size == (2 * 100 + 4, 2 * 50 + 4)


def test_the_first_image_stands_for_the_result() -> None:
    two = result(image(seed=7), image(seed=8))

    assert (two.image, two.seed, two.seeds, two.parameters) == (two.images[0], 7, (7, 8), "")


def test_losses_are_a_table_of_text_worst_first() -> None:
    losses = Losses("Draw Things", (DROPPED, REFUSED))

    lines = str(losses).splitlines()

    assert lines[0] == "Draw Things:"
    assert lines[1] == "error    width  refused  100 is no multiple of 64"
    assert lines[2] == "warning  eta    dropped  it has no <eta> & never had"
    assert (bool(losses), len(losses), losses.is_refused) == (True, 2, True)


def test_no_losses_say_that_everything_is_done() -> None:
    losses = Losses("A & B", ())

    assert str(losses) == "A & B: everything is done as asked."
    assert losses._repr_html_() == "<p>A &amp; B: everything is done as asked.</p>"
    assert (bool(losses), losses.is_refused) == (False, False)


def test_losses_are_a_table_of_html_in_which_every_word_is_escaped() -> None:
    page = Losses("<b>", (DROPPED,))._repr_html_()

    assert "<caption>&lt;b&gt;</caption>" in page
    assert "<td>it has no &lt;eta&gt; &amp; never had</td>" in page
    assert page.count("<tr>") == 2


def test_a_change_is_a_sentence() -> None:
    assert str(Change("steps", 30, 20)) == "steps: 30 was asked for, 20 was used"
    assert "does not say" in str(Change("refiner", "x", None))
