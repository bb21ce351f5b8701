"""Slices of a canvas: which one, what of it is recorded, and what is planned."""

from __future__ import annotations

import io
import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from sdclient.batch.plan import FileInput, OutputInput
from sdclient.errors import CodecError, ConfigurationError
from sdclient.planning import JobList
from sdclient.recipes.canvas import (
    Canvas,
    Slice,
    SliceRules,
    choose_slice,
    enlarge_slice,
    given_slice,
    keep_slice,
    number_slices,
    open_canvas,
    parse_strengths,
    plan_slice,
    read_slice,
    read_slices,
    spec_of,
    strange_records,
    strengths_of,
)
from sdclient.schemas import Img2Img

RULES = SliceRules(spec_of(Img2Img.load("canvas")))


def saved(path: Path, image: Image.Image) -> Path:
    image.save(path)
    return path


def checkers(size: tuple[int, int]) -> Image.Image:
    """An image whose every pixel tells where it is."""
    image = Image.new("RGB", size)
    image.putdata([(x % 256, y % 256, 128) for y in range(size[1]) for x in range(size[0])])
    return image


@pytest.fixture
def canvas(tmp_path: Path) -> Canvas:
    return open_canvas(saved(tmp_path / "place.png", checkers((200, 100))))


# ---- canvases ----


def test_transparent_pixels_of_a_palette_become_white(tmp_path: Path) -> None:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    image.putpixel((3, 3), 0)
    image.save(tmp_path / "place2.png", transparency=1)

    found = open_canvas(tmp_path / "place2.png").image

    assert (found.mode, found.getpixel((0, 0)), found.getpixel((3, 3))) == ("RGB", (255, 255, 255), (255, 0, 0))


def test_a_file_that_is_no_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "place.png").write_text("no image")

    with pytest.raises(CodecError, match=r"place\.png"):
        open_canvas(tmp_path / "place.png")


def test_importing_the_recipe_loads_no_model_and_no_image_library() -> None:
    """The original's author wished for a class that a chat bot can import without loading everything."""
    code = "import sys, sdclient.recipes.canvas; print(*sys.modules)"

    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()

    assert not {"PIL", "torch", "cv2", "pandas", "diffusers"} & set(loaded)


# ---- choosing ----


def test_the_same_seed_takes_the_same_slice(canvas: Canvas) -> None:
    assert choose_slice([canvas], RULES, 5) == choose_slice([canvas], RULES, 5)
    assert choose_slice([canvas], RULES, 5) != choose_slice([canvas], RULES, 6)


def test_a_slice_lies_anywhere_on_the_canvas_up_to_its_last_pixel(tmp_path: Path) -> None:
    small = open_canvas(saved(tmp_path / "small.png", checkers((33, 34))))

    places = Counter((one.x_px, one.y_px) for one in (choose_slice([small], RULES, seed) for seed in range(300)))

    assert set(places) == {(x, y) for x in (0, 1) for y in (0, 1, 2)}


@pytest.mark.parametrize(("by_area", "low", "high"), [(False, 0.4, 0.6), (True, 0.0, 0.15)])
def test_canvases_are_taken_equally_often_or_by_area(
    tmp_path: Path, canvas: Canvas, low: float, high: float, *, by_area: bool
) -> None:
    small = open_canvas(saved(tmp_path / "small.png", checkers((32, 32))))
    rules = replace(RULES, by_area=by_area)

    names = [choose_slice([small, canvas], rules, seed).canvas for seed in range(300)]

    assert low <= names.count("small.png") / 300 <= high


def test_a_canvas_that_is_mostly_blank_is_taken_as_often_as_another(tmp_path: Path, canvas: Canvas) -> None:
    """For every blank place a canvas was chosen anew, so that the other one came nearly always."""
    image = Image.new("RGB", (200, 100), "white")
    image.paste(checkers((10, 10)), (100, 50))
    white, blank = (
        open_canvas(saved(tmp_path / name, one))
        for name, one in (("white.png", image), ("blank.png", Image.new("RGB", (200, 100), "white")))
    )

    names = Counter(choose_slice([canvas, white], RULES, seed).canvas for seed in range(100))

    assert 30 <= names["white.png"] <= 70
    assert {choose_slice([canvas, blank], RULES, seed).canvas for seed in range(8)} == {"place.png"}


def test_blank_slices_are_not_taken(tmp_path: Path) -> None:
    image = Image.new("RGB", (200, 200), "white")
    image.paste(checkers((10, 10)), (100, 100))
    canvas = open_canvas(saved(tmp_path / "place.png", image))

    found = [choose_slice([canvas], RULES, seed) for seed in range(40)]

    assert all(68 < one.x_px < 110 and 68 < one.y_px < 110 for one in found)


def test_a_canvas_of_nothing_but_white_is_refused_in_words(tmp_path: Path) -> None:
    canvas = open_canvas(saved(tmp_path / "white.png", Image.new("RGB", (64, 64), "white")))

    with pytest.raises(ConfigurationError, match=r"1000 random slices of white\.png all have fewer than 2 colours"):
        choose_slice([canvas], RULES, 1)
    with pytest.raises(ConfigurationError, match=r"white\.png: the slice at 3,4 has 1 colours, 2 are asked for"):
        given_slice(canvas, RULES, (3, 4), 1)
    assert given_slice(canvas, replace(RULES, min_colours=1), (3, 4), 1).x_px == 3


def test_a_canvas_smaller_than_a_slice_is_refused_with_both_sizes(tmp_path: Path, canvas: Canvas) -> None:
    narrow = open_canvas(saved(tmp_path / "narrow.png", checkers((31, 500))))

    with pytest.raises(ConfigurationError, match=r"narrow\.png: 31x500 pixels are smaller than a 32x32 slice"):
        choose_slice([canvas, narrow], RULES, 1)


@pytest.mark.parametrize("place", [(169, 0), (0, 69), (-1, 0), (10**8, 0)])
def test_a_place_off_the_canvas_is_refused_with_what_there_is(canvas: Canvas, place: tuple[int, int]) -> None:
    with pytest.raises(ConfigurationError, match="x goes from 0 to 168, y from 0 to 68"):
        given_slice(canvas, RULES, place, 1)


# ---- enlarging ----


def test_every_pixel_becomes_a_block_of_one_colour(canvas: Canvas) -> None:
    """The first version smeared them; and JPEG would blur the blocks' edges."""
    chosen = given_slice(canvas, RULES, (17, 23), 1)

    data = enlarge_slice(canvas, chosen, RULES.size_px)

    image = Image.open(io.BytesIO(data))
    assert (image.format, image.size) == ("PNG", (512, 512))
    assert image.getcolors(512 * 512) is not None
    for x, y in [(0, 0), (15, 15), (16, 15), (511, 511), (250, 77)]:
        assert image.getpixel((x, y)) == (17 + x // 16, 23 + y // 16, 128)


@pytest.mark.parametrize(
    ("fields", "slice_px", "shown"),
    [
        ({"width": 512, "height": 768}, 32, "512x768"),
        ({"width": 500, "height": 500}, 50, "500x500"),
        ({"width": 512, "height": 512}, 48, "512x512"),
        ({"width": None}, 32, "no size"),
    ],
)
def test_a_size_that_makes_no_square_blocks_is_refused(fields: dict[str, object], slice_px: int, shown: str) -> None:
    rules = SliceRules(spec_of(Img2Img.load("canvas").replace(**fields)), slice_px=slice_px)

    with pytest.raises(ConfigurationError, match=f"the payload says {shown}.*must be equal, a multiple of 64"):
        _ = rules.size_px


# ---- strengths ----


@pytest.mark.parametrize(
    ("text", "passes", "strengths"),
    [
        ("0.4", None, (0.4,) * 4),
        ("0.4", 2, (0.4, 0.4)),
        ("as-documented", None, (0.05,) * 4),
        ("as-run", 3, (0.8,) * 3),
        ("0.8, 0.5,0.3", None, (0.8, 0.5, 0.3)),
        ("as-run,0", 2, (0.8, 0.0)),
        ("1", 1, (1.0,)),
    ],
)
def test_strengths_are_one_for_all_a_preset_or_a_list(
    text: str, passes: int | None, strengths: tuple[float, ...]
) -> None:
    assert parse_strengths(text, passes) == strengths


@pytest.mark.parametrize("text", ["", "1.1", "-0.1", "nan", "inf", "strong", "0.4,,0.2", "as-run2"])
def test_what_is_no_strength_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="give a number from 0 to 1, as-documented or as-run, or a list"):
        parse_strengths(text)


def test_a_list_of_another_length_than_the_passes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="2 strengths for 3 passes; give one a pass"):
        parse_strengths("0.5,0.4", 3)


def test_without_a_word_on_strength_the_payload_says_it() -> None:
    assert strengths_of(Img2Img.load("canvas"), None) == (0.4,) * 4
    assert strengths_of(Img2Img(denoising_strength=0.7), 2) == (0.7, 0.7)
    assert strengths_of(Img2Img(), 1) == (0.4,)


# ---- what is kept ----


def test_a_recorded_slice_is_read_back_as_it_was(tmp_path: Path, canvas: Canvas) -> None:
    chosen = choose_slice([canvas], RULES, 5)

    number = keep_slice(tmp_path, canvas, chosen, RULES)

    assert number == 1
    assert read_slice(tmp_path / "0001.json") == chosen
    assert list(read_slices(tmp_path)) == [(1, chosen)]
    assert (tmp_path / "0001_original.png").read_bytes() == enlarge_slice(canvas, chosen, 512)


def test_the_same_slice_keeps_its_number_and_another_takes_the_next_free_one(tmp_path: Path, canvas: Canvas) -> None:
    one, two = (choose_slice([canvas], RULES, seed) for seed in (1, 2))

    numbers = [keep_slice(tmp_path, canvas, chosen, RULES) for chosen in (one, two, one, two)]

    assert numbers == [1, 2, 1, 2]


def test_files_that_come_and_go_do_not_move_the_numbers(tmp_path: Path, canvas: Canvas) -> None:
    """The original counted files by three: with one deleted or added, it wrote over older results."""
    slices = [choose_slice([canvas], RULES, seed) for seed in range(4)]
    for chosen in slices[:3]:
        keep_slice(tmp_path, canvas, chosen, RULES)
    (tmp_path / "0001_original.png").unlink()
    (tmp_path / "holiday.png").write_bytes(b"mine")
    before = (tmp_path / "0003_original.png").read_bytes()

    number = keep_slice(tmp_path, canvas, slices[3], RULES)

    assert number == 4
    assert (tmp_path / "0003_original.png").read_bytes() == before


def test_numbers_are_known_before_they_are_given(tmp_path: Path, canvas: Canvas) -> None:
    slices = [choose_slice([canvas], RULES, seed) for seed in range(4)]
    for chosen in slices[:2]:
        keep_slice(tmp_path, canvas, chosen, RULES)
    (tmp_path / "0003.json").write_bytes(slices[0].to_bytes())

    numbers = number_slices(tmp_path, [slices[1], slices[2], slices[0], slices[3], slices[2]])

    assert numbers == [2, 4, 1, 5, 4]
    assert not (tmp_path / "0004.json").exists()


@pytest.mark.parametrize("name", ["0001_original.png", "0001_strip.png", "0001.gif", "passes/0001_pass_1_1.png"])
def test_a_number_that_any_file_begins_with_is_not_free(tmp_path: Path, canvas: Canvas, name: str) -> None:
    (tmp_path / "passes").mkdir()
    (tmp_path / name).write_bytes(b"mine")

    numbers = number_slices(tmp_path, [choose_slice([canvas], RULES, 5)])

    assert numbers == [2]


def test_an_image_that_was_there_is_never_taken_for_a_slice(tmp_path: Path, canvas: Canvas) -> None:
    """The passes were drawn over it, and the record named a place of the canvas."""
    (tmp_path / "0001_original.png").write_bytes(b"mine")

    number = keep_slice(tmp_path, canvas, choose_slice([canvas], RULES, 5), RULES)

    assert number == 2
    assert not (tmp_path / "0001.json").exists()
    assert (tmp_path / "0001_original.png").read_bytes() == b"mine"


def test_a_slice_whose_image_is_missing_gets_it_again_under_its_number(tmp_path: Path, canvas: Canvas) -> None:
    chosen = choose_slice([canvas], RULES, 5)
    keep_slice(tmp_path, canvas, chosen, RULES)
    (tmp_path / "0001_original.png").unlink()

    numbers = [*number_slices(tmp_path, [chosen]), keep_slice(tmp_path, canvas, chosen, RULES)]

    assert numbers == [1, 1]
    assert (tmp_path / "0001_original.png").read_bytes() == enlarge_slice(canvas, chosen, 512)


def test_records_of_somebody_else_are_passed_over_and_told(tmp_path: Path, canvas: Canvas) -> None:
    chosen = choose_slice([canvas], RULES, 5)
    (tmp_path / "0001.json").write_bytes(b"mine")

    number = keep_slice(tmp_path, canvas, chosen, RULES)

    assert list(read_slices(tmp_path)) == [(number, chosen)] == [(2, chosen)]
    (told,) = strange_records(tmp_path)
    assert told.startswith(f"{tmp_path / '0001.json'}: describes no slice (")
    assert told.endswith("; it is left as it is, and its number is not given to a slice")


def test_many_at_once_never_get_one_number(tmp_path: Path, canvas: Canvas) -> None:
    """Two runs of the original wrote over each other."""
    slices = [choose_slice([canvas], RULES, seed) for seed in range(24)]

    with ThreadPoolExecutor(8) as pool:
        numbers = list(pool.map(lambda one: keep_slice(tmp_path, canvas, one, RULES), slices))

    assert sorted(numbers) == list(range(1, 25))
    assert dict(read_slices(tmp_path)) == dict(zip(numbers, slices, strict=True))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"canvas": 1}', "\xff", "null"])
def test_a_file_that_describes_no_slice_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "0001.json").write_bytes(text.encode("latin-1"))

    with pytest.raises(
        ConfigurationError, match=r"0001\.json: describes no slice \(.*name a file such as OUT/0001.json"
    ):
        read_slice(tmp_path / "0001.json")


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"describes no slice \(No such file"):
        read_slice(tmp_path / "0009.json")


# ---- what is planned ----


def planned(chosen: Slice) -> JobList:
    listed = JobList()
    plan_slice(listed, RULES, 7, chosen)
    return listed


def test_each_pass_is_drawn_over_the_one_before(canvas: Canvas) -> None:
    chosen = given_slice(canvas, replace(RULES, strengths=(0.8, 0.5, 0.3)), (3, 4), 1)

    jobs = planned(chosen).jobs

    assert [job.place for job in jobs] == ["passes/0007_pass_1", "passes/0007_pass_2", "passes/0007_pass_3"]
    assert [job.input for job in jobs] == [
        FileInput(".", "0007_original.png"),
        OutputInput(jobs[0].id),
        OutputInput(jobs[1].id),
    ]
    assert [job.changes["denoising_strength"] for job in jobs] == [0.8, 0.5, 0.3]
    assert [job.changes["seed"] for job in jobs] == list(chosen.seeds)
    assert len(set(chosen.seeds)) == 3


def test_a_strength_of_nothing_needs_no_request(canvas: Canvas) -> None:
    chosen = given_slice(canvas, replace(RULES, strengths=(0.0, 0.5, 0.0, 0.3)), (3, 4), 1)

    jobs = planned(chosen).jobs

    assert [job.place for job in jobs] == ["passes/0007_pass_2", "passes/0007_pass_4"]
    assert jobs[0].input == FileInput(".", "0007_original.png")
    assert jobs[1].input == OutputInput(jobs[0].id)


def test_canvas_place_and_strength_are_columns_of_every_image(canvas: Canvas) -> None:
    chosen = given_slice(canvas, RULES, (3, 4), 1)

    columns = planned(chosen).jobs[1].columns

    assert columns == {
        "slice": "0007",
        "canvas": "place.png",
        "x_px": "3",
        "y_px": "4",
        "pass": "2",
        "strength": "0.4",
    }


def test_a_payload_of_several_images_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="one image follows another; set batch_size and n_iter"):
        spec_of(Img2Img(batch_size=2))
