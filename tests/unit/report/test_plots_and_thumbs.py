"""Plots are small SVG in the page's colours; thumbnails are made once."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image

from sdclient.errors import CodecError
from sdclient.report.plots import make_plots
from sdclient.report.thumbs import SIDE_PX, ThumbSource, make_thumb, make_thumbs, thumb_path
from tests.unit.report.builder import png
from tests.unit.report.test_history import row

MEASURED = {
    "files": "a.png",
    "client_cpu_percent_mean": "20",
    "client_cpu_percent_max": "50",
    "client_ram_used_mb_mean": "8000",
    "client_ram_used_mb_max": "8100",
    "server_rss_mb": "300",
    "gpu_percent_mean": "80",
    "gpu_memory_mb_max": "9000",
    "gpu_power_w_mean": "250",
    "energy_wh": "0.5",
}


def test_every_kind_of_figure_has_a_plot_when_it_was_measured() -> None:
    plots = make_plots([row(10 * number, 8 + number % 3, **MEASURED) for number in range(30)])

    assert [plot.title for plot in plots] == [
        "Images made per hour",
        "Seconds a job held its server",
        "CPU of the sending machine during requests",
        "Memory in use on the sending machine",
        "Memory of the server process",
        "GPU utilisation during requests",
        "GPU memory in use",
        "Power during requests",
        "Energy, added up",
    ]
    assert plots[-1].summary == "15 Wh in 30 attempts; 0 were not measured and are not in it."


def test_what_nothing_measured_has_no_plot() -> None:
    titles = [plot.title for plot in make_plots([row(0), row(10), row(20)])]

    assert titles == ["Seconds a job held its server"]


def test_the_most_that_is_told_is_the_most_that_is_drawn() -> None:
    cpu = (("20", ""), ("30", "50"))
    rows = [
        row(10 * number, 8, **MEASURED | {"client_cpu_percent_mean": mean, "client_cpu_percent_max": most})
        for number, (mean, most) in enumerate(cpu)
    ]

    summaries = {plot.title: plot.summary for plot in make_plots(rows)}

    assert summaries["CPU of the sending machine during requests"] == "2 attempts: 25 % on average, 50 % at most."
    assert summaries["GPU utilisation during requests"] == "2 attempts: 80 % on average, 80 % at most."


def test_nothing_tried_has_no_plots() -> None:
    assert make_plots([]) == ()


def test_ten_thousand_attempts_make_a_small_plot() -> None:
    plots = make_plots([row(10 * number, **MEASURED) for number in range(10_000)])

    assert sum(len(plot.svg) for plot in plots) < 300_000


def test_plots_take_the_colours_of_the_page_and_have_no_id_in_common() -> None:
    plots = make_plots([row(10 * number, **MEASURED) for number in range(5)])

    assert all("var(--series-1)" in plot.svg and "#0102" not in plot.svg for plot in plots)
    ids = [part.split('"')[0] for plot in plots for part in plot.svg.split(' id="')[1:]]
    assert len(ids) == len(set(ids))
    assert all("<metadata" not in plot.svg and plot.svg.startswith("<svg") for plot in plots)


def test_a_server_named_like_markup_or_a_formula_stays_text() -> None:
    rows = [row(10 * number, **MEASURED) | {"server": name} for number in range(6) for name in ("<b>$x^$</b>", "b")]

    svg = make_plots(rows)[0].svg

    assert "&lt;b&gt;$x^$&lt;/b&gt;" in svg


def test_a_thumbnail_is_small_and_keeps_the_shape() -> None:
    made = Image.open(io.BytesIO(make_thumb(png(size=(2000, 500)))))

    assert made.format == "WEBP"
    assert made.size == (SIDE_PX, SIDE_PX // 4)


def test_a_thumbnail_of_something_else_is_refused() -> None:
    with pytest.raises(CodecError):
        make_thumb(b"no image")


def source_at(path: Path, data: bytes, sha256: str | None = None) -> ThumbSource:
    import hashlib

    path.write_bytes(data)
    return ThumbSource(path, sha256 or hashlib.sha256(data).hexdigest(), path.name)


def test_missing_thumbnails_are_made_and_others_left_alone(tmp_path: Path) -> None:
    one = source_at(tmp_path / "a.png", png())
    there = thumb_path(tmp_path, one.sha256)
    there.parent.mkdir(parents=True)
    there.write_bytes(b"made before")
    two = source_at(tmp_path / "b.png", png((1, 2, 3)))

    notes = make_thumbs(tmp_path, [one, two])

    assert notes == []
    assert there.read_bytes() == b"made before"
    assert thumb_path(tmp_path, two.sha256).is_file()


def test_a_damaged_image_and_a_replaced_one_are_noted(tmp_path: Path) -> None:
    torn = source_at(tmp_path / "torn.png", png()[:-30])
    other = source_at(tmp_path / "other.png", png(), "0" * 64)

    notes = make_thumbs(tmp_path, [torn, other])

    assert len(notes) == 2
    assert any("torn.png" in note for note in notes)
    assert any("replaced by hand" in note for note in notes)


def test_an_image_that_vanished_and_a_hash_that_is_none_are_passed_over(tmp_path: Path) -> None:
    gone = ThumbSource(tmp_path / "gone.png", "1" * 64, "gone.png")
    odd = ThumbSource(tmp_path / "odd.png", "../../x", "odd.png")

    assert make_thumbs(tmp_path, [gone, odd]) == []
