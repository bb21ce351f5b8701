"""Grids by two columns, and the lines that Hugging Face datasets reads."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from matplotlib import font_manager
from PIL import Image

from sdclient.errors import ConfigurationError, ImageLimitError, StorageError
from sdclient.report.grid import Grid, grid_html, grid_png, make_grid, parse_grid, write_grid
from sdclient.report.metadata import metadata_lines, write_metadata
from tests.unit.report.builder import RunBuilder, png


def test_a_grid_takes_the_bakes_where_there_are_any(studied: RunBuilder) -> None:
    grid = make_grid(studied.fresh(), "nation", "category")

    assert (grid.row_labels, grid.column_labels) == (("Italian", "Greek"), ("family",))
    assert grid.cells["Greek", "family"] == ("baked/Greek/fox_1_upscaled_1.png",)


def test_images_that_lack_a_column_are_counted_by_what_they_lack(builder: RunBuilder) -> None:
    for name, columns in {
        "whole": {"a": "x", "b": "y"},
        "half": {"a": "x", "b": ""},
        "none": {"c": "z"},
        "nothing": {},
    }.items():
        builder.commit(builder.plan(name, columns=columns))

    grid = make_grid(builder.fresh(), "a", "b")

    assert grid.cells == {("x", "y"): ("whole_1.png",)}
    assert grid.left_out == {"no b": 1, "no a and no b": 2}


def test_a_grid_of_a_named_kind_takes_that(studied: RunBuilder) -> None:
    grid = make_grid(studied.fresh(), "nation", "category", kind="txt2img")

    assert grid.cells["Greek", "family"] == ("generated/Greek/fox_1.png",)


def test_a_column_that_does_not_exist_is_named_with_those_that_do(studied: RunBuilder) -> None:
    with pytest.raises(ConfigurationError, match=r"no column 'country'.*nation"):
        make_grid(studied.fresh(), "country", "category")


def test_a_grid_of_no_images_is_refused(studied: RunBuilder) -> None:
    with pytest.raises(ConfigurationError, match="no segment image has both"):
        make_grid(studied.fresh(), "nation", "negative_prompt", kind="segment")


def test_grid_options_are_read() -> None:
    assert parse_grid(" rows = nation , cols=my=column") == ("nation", "my=column")


@pytest.mark.parametrize("text", ["", "rows=a", "rows=a,cols=", "rows=a,cols=b,x=c", "a,b"])
def test_grid_options_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="rows=nation,cols=category"):
        parse_grid(text)


def test_a_grid_picture_holds_every_image_and_room_for_those_that_are_gone(studied: RunBuilder) -> None:
    grid = make_grid(studied.fresh(), "nation", "category")
    (studied.out / "baked/Greek/fox_1_upscaled_1.png").unlink()

    sheet = Image.open(io.BytesIO(grid_png(grid, studied.out, cell_px=100)))

    colours = {colour for _, colour in sheet.convert("RGB").getcolors(1 << 20) or []}
    assert (190, 80, 0) in colours
    assert (236, 234, 228) in colours
    assert sheet.height == 26 + 2 * 108


def test_a_label_is_written_in_letters_that_the_usual_font_lacks(tmp_path: Path) -> None:
    if not font_manager.fontManager.ttflist or not any("CJK" in one.name for one in font_manager.fontManager.ttflist):
        pytest.skip("no font with Chinese letters on this machine")
    sheets = [
        grid_png(Grid("r", "c", (label,), ("x",), {(label, "x"): ("gone.png",)}), tmp_path)
        for label in ("日本", "韓国")
    ]

    # Letters that a font lacks all are the same empty box.
    assert sheets[0] != sheets[1]


def test_a_label_of_a_column_stays_over_its_column(tmp_path: Path) -> None:
    columns = ("w" * 60, "v")
    cells = {("r", column): ("gone.png",) for column in columns}

    sheet = Image.open(io.BytesIO(grid_png(Grid("r", "c", ("r",), columns, cells), tmp_path, cell_px=100)))

    between = sheet.crop((sheet.width - 116, 0, sheet.width - 108, 26))
    assert between.getcolors() == [(8 * 26, (255, 255, 255))]


def test_a_grid_that_would_be_huge_is_refused(studied: RunBuilder) -> None:
    labels = tuple(str(number) for number in range(1000))
    cells = {(label, "x"): ("a.png",) * 10 for label in labels}

    with pytest.raises(ImageLimitError, match=r"grid\.html"):
        grid_png(Grid("r", "c", labels, ("x",), cells), studied.out)


def test_a_grid_page_escapes_what_it_shows() -> None:
    page = grid_html(Grid("<b>", "c", ("<i>",), ("x",), {("<i>", "x"): ("a b'.png",)}))

    assert "<b>" not in page
    assert "<i>" not in page
    assert 'src="./a%20b%27.png"' in page


def test_grids_are_written_by_the_ending_of_the_file(studied: RunBuilder) -> None:
    grid = make_grid(studied.fresh(), "nation", "category")

    png_file = write_grid(studied.folder, grid, studied.out.parent / "grid.png")
    html_file = write_grid(studied.folder, grid, studied.out / "grid.html")

    assert png_file.read_bytes().startswith(b"\x89PNG")
    assert html_file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


@pytest.mark.parametrize("ending", ["png", "html"])
def test_a_grid_is_written_over_a_grid_and_over_nothing_else(studied: RunBuilder, ending: str) -> None:
    grid = make_grid(studied.fresh(), "nation", "category")
    target = studied.out / f"mine.{ending}"
    write_grid(studied.folder, grid, target)
    write_grid(studied.folder, grid, target)
    target.write_bytes(b"an image of somebody's, called sdclient grid")

    with pytest.raises(
        StorageError, match=rf"mine\.{ending}: is not a grid of sdclient's, and is left as it is; name another file"
    ):
        write_grid(studied.folder, grid, target)

    assert target.read_bytes() == b"an image of somebody's, called sdclient grid"


def test_another_ending_is_refused_by_its_ending_also_where_a_file_is_there(studied: RunBuilder) -> None:
    target = studied.out / "mine.jpg"
    target.write_bytes(b"somebody's photograph")

    with pytest.raises(ConfigurationError, match=r"mine\.jpg: name a file that ends in \.png or \.html"):
        write_grid(studied.folder, make_grid(studied.fresh(), "nation", "category"), target)

    assert target.read_bytes() == b"somebody's photograph"


@pytest.mark.parametrize("name", ["OUT/grid.gif", "grid.html", "OUT/report.html", "OUT/Report.HTML"])
def test_a_grid_file_that_cannot_be_is_refused(studied: RunBuilder, name: str) -> None:
    grid = make_grid(studied.fresh(), "nation", "category")

    with pytest.raises(ConfigurationError):
        write_grid(studied.folder, grid, studied.out.parent / name)


def test_metadata_has_a_line_for_each_image_with_numbers_as_numbers(studied: RunBuilder) -> None:
    lines = [json.loads(line) for line in metadata_lines(studied.fresh())]

    first = next(line for line in lines if line["file_name"] == "generated/Italian/fox_1.png")
    assert first["seed"] == 7
    assert first["nation"] == "Italian"
    assert first["execute_s"] == 8.0
    assert "image" not in first
    assert len({tuple(line) for line in lines}) == 1
    assert len(lines) == 6


def test_an_unknown_figure_is_null_and_never_nought(studied: RunBuilder) -> None:
    lines = [json.loads(line) for line in metadata_lines(studied.fresh())]

    cut = next(line for line in lines if line["kind"] == "segment")
    assert cut["losses"] == 0 or cut["losses"] is None
    assert cut["prompt"] == ""


def test_an_image_that_is_gone_is_left_out_because_loading_would_fail(studied: RunBuilder) -> None:
    (studied.out / "generated/Italian/fox_1.png").unlink()

    assert len(metadata_lines(studied.fresh())) == 5


def test_metadata_that_did_not_change_is_not_written_again(studied: RunBuilder) -> None:
    path = studied.out / "metadata.jsonl"
    write_metadata(studied.fresh())
    before = path.stat().st_mtime_ns, path.stat().st_ino

    assert write_metadata(studied.fresh()) == []

    assert (path.stat().st_mtime_ns, path.stat().st_ino) == before


def test_metadata_that_cannot_be_written_is_a_sentence(studied: RunBuilder) -> None:
    (studied.out / "metadata.jsonl").mkdir()

    [note] = write_metadata(studied.fresh())

    assert note.startswith("metadata.jsonl was not written anew")


def test_a_cell_with_two_images_shows_both(builder: RunBuilder) -> None:
    for number in range(2):
        job = builder.plan(f"fox{number}", columns={"a": "x", "b": "y"})
        builder.commit(job, png((10 * number, 20, 30)))

    grid = make_grid(builder.fresh(), "a", "b")

    assert grid.cells["x", "y"] == ("fox0_1.png", "fox1_1.png")
    assert Image.open(io.BytesIO(grid_png(grid, builder.out, cell_px=50))).width > 100
