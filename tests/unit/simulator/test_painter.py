"""The painter: the same brief gives the same pixels, and every wish leaves a trace."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops, ImageStat

from sdclient.simulator.painter import Brief, enlarge, paint, repaint
from sdclient.simulator.scene import draw_scene
from sdclient.simulator.things import THINGS

BRIEF = Brief("a family in the park", 7, "sd_xl_base_1.0", 256, 256)
CHANGES = {
    "prompt": "a group of people working",
    "seed": 8,
    "model": "juggernaut",
    "negative_prompt": "blurry",
    "steps": 21,
    "few steps": 4,
    "cfg_scale": 5.0,
    "refiner": "sd_xl_refiner_1.0",
    "hires_strength": 0.35,
    "loras": (("add_more_details", 0.7),),
    "details": '{"clip_skip": 2}',
    "done": 0.5,
}


def difference(first: Image.Image, second: Image.Image) -> float:
    """Mean absolute difference per channel, 0 to 255."""
    return sum(ImageStat.Stat(ImageChops.difference(first, second)).mean) / 3


def changed(wish: str) -> Brief:
    return replace(BRIEF, **{"steps" if wish == "few steps" else wish: CHANGES[wish]})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def painting() -> Image.Image:
    return paint(BRIEF)


def test_the_same_brief_gives_the_same_pixels(painting: Image.Image) -> None:
    assert paint(BRIEF).tobytes() == painting.tobytes()


@pytest.mark.parametrize("wish", CHANGES)
def test_everything_asked_for_changes_pixels(painting: Image.Image, wish: str) -> None:
    assert difference(paint(changed(wish)), painting) > 0


@pytest.mark.parametrize("wish", ["negative_prompt", "steps", "cfg_scale", "refiner", "hires_strength", "details"])
def test_settings_do_not_change_the_composition(painting: Image.Image, wish: str) -> None:
    assert difference(paint(changed(wish)), painting) < 8


@pytest.mark.parametrize("wish", ["prompt", "seed", "model"])
def test_prompt_seed_and_model_change_the_composition(painting: Image.Image, wish: str) -> None:
    assert difference(paint(changed(wish)), painting) > 8


def test_the_composition_is_the_same_at_every_size(painting: Image.Image) -> None:
    large = paint(replace(BRIEF, width_px=640, height_px=640)).resize((256, 256), Image.Resampling.LANCZOS)

    assert difference(large, painting) < 5


@pytest.mark.parametrize("size", [(64, 64), (8, 8), (512, 128), (128, 1024), (1600, 1200)], ids=str)
def test_the_size_is_exactly_the_one_asked_for(size: tuple[int, int]) -> None:
    image = paint(replace(BRIEF, width_px=size[0], height_px=size[1]))

    assert image.size == size
    assert image.mode == "RGB"


def test_few_steps_leave_grain() -> None:
    def roughness(image: Image.Image) -> float:
        return difference(image, image.resize((128, 128)).resize((256, 256)))

    assert roughness(paint(replace(BRIEF, steps=3))) > roughness(paint(replace(BRIEF, steps=30)))


def test_a_control_image_shades_the_result(painting: Image.Image) -> None:
    hint = Image.new("RGB", (256, 256), "black")

    held = paint(BRIEF, hint=hint, hold=1.0)

    assert ImageStat.Stat(held.convert("L")).mean[0] < ImageStat.Stat(painting.convert("L")).mean[0]


def test_painting_over_with_no_strength_gives_the_pixels_back(painting: Image.Image) -> None:
    assert repaint(changed("prompt"), painting, 0.0).tobytes() == painting.tobytes()


def test_the_stronger_the_repainting_the_further_from_the_init_image(painting: Image.Image) -> None:
    away = [difference(repaint(changed("prompt"), painting, s), painting) for s in (0.1, 0.3, 0.6, 0.8, 1.0)]

    assert away == sorted(away)
    assert away[0] > 0


def test_a_light_repainting_keeps_the_picture_and_a_full_one_replaces_it(painting: Image.Image) -> None:
    brief = changed("prompt")

    assert difference(repaint(brief, painting, 0.3), painting) < 10
    assert difference(repaint(brief, painting, 1.0), paint(brief)) < 1


@pytest.mark.parametrize("strength", [0.3, 0.8])
def test_a_control_holds_the_result_closer_to_the_init_image(painting: Image.Image, strength: float) -> None:
    brief = changed("prompt")
    free, held = (repaint(brief, painting, strength, hold=hold) for hold in (0.0, 1.0))

    assert difference(held, painting) < difference(free, painting)


@pytest.mark.parametrize("wish", ["negative_prompt", "cfg_scale", "loras", "details", "steps"])
def test_everything_asked_for_changes_a_repainting_too(painting: Image.Image, wish: str) -> None:
    assert difference(repaint(changed(wish), painting, 0.3), repaint(BRIEF, painting, 0.3)) > 0


def test_upscalers_differ_in_more_than_size(painting: Image.Image) -> None:
    names = ["Nearest", "Lanczos", "4x-UltraSharp", "R-ESRGAN 4x+"]

    results = {enlarge(painting, (512, 512), name).tobytes() for name in names}

    assert len(results) == len(names)


def test_an_enlarged_image_still_shows_the_same(painting: Image.Image) -> None:
    small = enlarge(painting, (512, 512), "4x_ultrasharp_f16.ckpt").resize((256, 256), Image.Resampling.LANCZOS)

    assert difference(small, painting) < 3


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("prompt", ["a family", "people working", "still life", "a lighthouse by the sea", "quiet"])
def test_a_scene_has_five_to_nine_things_that_stand_apart(prompt: str, seed: int) -> None:
    figures = draw_scene(prompt, seed, "model", (320, 320)).figures

    assert 5 <= count_islands(figures) <= 12


@pytest.mark.parametrize("prompt", ["a family with a balloon", "people working", "a dog and a ball", "still life"])
def test_a_scene_knows_where_it_drew_each_figure(prompt: str) -> None:
    scene = draw_scene(prompt, 3, "model", (320, 320))

    masks = scene.masks()

    together = Image.new("L", scene.image.size)
    for kind, mask in masks:
        assert mask.size == scene.image.size
        assert mask.getbbox() is not None
        if kind != "sun":
            assert ImageChops.multiply(together, mask).getextrema()[1] < 128, f"{kind} lies under another figure"
            together = ImageChops.lighter(together, mask)
    assert difference_of_masks(together, scene.figures) < 1


def difference_of_masks(first: Image.Image, second: Image.Image) -> float:
    return ImageStat.Stat(ImageChops.difference(first, second)).mean[0]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("size", [(320, 320), (270, 480)], ids=str)
def test_a_balloon_flies_above_everybodys_head(seed: int, size: tuple[int, int]) -> None:
    masks = dict(draw_scene("a balloon over a family", seed, "model", size).masks())

    # Were somebody's head before it, its basket would be hidden.
    box = masks["balloon"].getbbox()
    assert box is not None
    assert box[3] - box[1] > 0.24 * min(size)


def test_everything_there_is_can_be_asked_for_by_name() -> None:
    words = {"tree": "garden", "house": "cottage", "vase": "bouquet", "fruit": "apple", "easel": "artist"}
    for thing in THINGS:
        image = draw_scene(words.get(thing, thing), 3, "model", (128, 128)).image
        assert image.size == (128, 128)


def count_islands(mask: Image.Image) -> int:
    """Count areas of set pixels that do not touch each other, specks left out."""
    small = mask.resize((160, 160), Image.Resampling.BILINEAR).point([255 * (value > 100) for value in range(256)])
    data = bytearray(small.tobytes())
    islands = 0
    for start in range(len(data)):
        if data[start]:
            islands += flood(data, start, 160) > 12
    return islands


def flood(data: bytearray, start: int, width: int) -> int:
    """Clear the island around `start` and give its size."""
    todo, size = [start], 0
    while todo:
        at = todo.pop()
        if 0 <= at < len(data) and data[at]:
            data[at] = 0
            size += 1
            todo += [at + step for step in (-width - 1, -width, -width + 1, -1, 1, width - 1, width, width + 1)]
    return size


@settings(max_examples=25, deadline=None)
@given(st.text(max_size=60), st.integers(0, 2**40), st.integers(8, 96), st.integers(8, 96), st.floats(0, 30), st.text())
def test_every_brief_can_be_painted(prompt: str, seed: int, width: int, height: int, cfg: float, details: str) -> None:
    brief = Brief(prompt, seed, "model", width, height, cfg_scale=cfg, details=details)

    assert paint(brief).size == (width, height)
