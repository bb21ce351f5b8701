"""Images of a run laid out by two of its columns, with labels: one PNG, or an HTML table."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from sdclient.batch.folder import RunFolder
from sdclient.batch.log import image_rows
from sdclient.batch.views import GRID_MARK, grid_mark, require_ours
from sdclient.errors import CodecError, ConfigurationError, ImageLimitError, RunError
from sdclient.files import resolve_inside, storage_errors, write_durable
from sdclient.images import decode_image, flatten_rgb, upright
from sdclient.report.page import place_url
from sdclient.report.write import REPORT_FILE

if TYPE_CHECKING:
    from PIL import Image, ImageFont

CELL_PX = 256
_MAX_PIXELS = 120_000_000
_MARGIN_PX = 8
_LABEL_PX = 26
_FONT_PX = 15
_MAX_LABEL = 60
_INK, _PAPER, _EMPTY = (29, 29, 27), (255, 255, 255), (236, 234, 228)


@dataclass(frozen=True, slots=True)
class Grid:
    """Images by two columns.

    Attributes:
        rows_by: Name of the column whose values are the rows.
        columns_by: Name of the column whose values are the columns.
        row_labels: The rows, in the order of the plan.
        column_labels: The columns, likewise.
        cells: Places of the images of each cell, by row and column label.
        left_out: How many images have no cell, by what they lack: ``no category``.
    """

    rows_by: str
    columns_by: str
    row_labels: tuple[str, ...]
    column_labels: tuple[str, ...]
    cells: Mapping[tuple[str, str], tuple[str, ...]]
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])


def parse_grid(text: str) -> tuple[str, str]:
    """Read ``rows=nation,cols=category``.

    Returns:
        The names of the two columns, rows first.

    Raises:
        ConfigurationError: If it is anything else.
    """
    parts = [part.partition("=") for part in text.split(",")]
    given = {name.strip(): value.strip() for name, _, value in parts}
    if set(given) != {"rows", "cols"} or not all(given.values()):
        raise ConfigurationError(f"--grid {text[:80]}: give two columns, such as rows=nation,cols=category")
    return given["rows"], given["cols"]


def make_grid(folder: RunFolder, rows_by: str, columns_by: str, *, kind: str | None = None) -> Grid:
    """Sort a run's images into cells.

    Args:
        folder: The run.
        rows_by: A column of ``images.csv``: your own, or one such as ``seed``.
        columns_by: Another.
        kind: Take images of this kind of job only; None takes the last kind that drew (bakes rather than what they
            were drawn over).

    Raises:
        ConfigurationError: If there is no such column, or no image has it.
    """
    names, rows = image_rows(folder)
    for name in (rows_by, columns_by):
        if name not in names:
            raise ConfigurationError(f"no column {name!r} in images.csv; there are: {', '.join(names)}")
    drawn = [row for row in rows if row["kind"] != "segment"]
    wanted = kind or ("img2img" if any(row["kind"] == "img2img" and row.get(rows_by) for row in drawn) else "txt2img")
    cells: dict[tuple[str, str], list[str]] = {}
    lacking: Counter[str] = Counter()
    for row in (one for one in rows if one["kind"] == wanted):
        lacks = [f"no {name}" for name in dict.fromkeys((rows_by, columns_by)) if not row.get(name)]
        if lacks:
            lacking[" and ".join(lacks)] += 1
        else:
            cells.setdefault((row[rows_by], row[columns_by]), []).append(row["image"])
    if not cells:
        raise ConfigurationError(f"no {wanted} image has both {rows_by!r} and {columns_by!r}")
    return Grid(
        rows_by,
        columns_by,
        tuple(dict.fromkeys(row for row, _ in cells)),
        tuple(dict.fromkeys(column for _, column in cells)),
        {key: tuple(places) for key, places in cells.items()},
        dict(lacking),
    )


def grid_html(grid: Grid) -> str:
    """Return a page with the images as a table; it reads them beside it."""
    from jinja2 import Environment, StrictUndefined

    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    environment.filters["url"] = place_url
    return environment.from_string(_HTML).render(grid=grid, cell_px=CELL_PX, mark=GRID_MARK)


_HTML = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; img-src 'self' file:; style-src 'unsafe-inline'">
<meta name="generator" content="{{ mark }}">
<title>{{ grid.rows_by }} by {{ grid.columns_by }}</title>
<style>:root{color-scheme:light dark}body{font:1rem system-ui,sans-serif;margin:1rem}table{border-collapse:collapse}
th,td{padding:.3rem;vertical-align:top;text-align:left}thead th{position:sticky;top:0;background:Canvas}
img{width:{{ cell_px }}px;max-width:40vw;height:auto;display:block;margin-bottom:.3rem}</style></head>
<body><h1>{{ grid.rows_by }} by {{ grid.columns_by }}</h1><main tabindex="0" role="region" aria-label="grid">
<table><thead><tr><td></td>{% for column in grid.column_labels %}<th scope="col" dir="auto">{{ column }}</th>{% endfor %}</tr></thead>
<tbody>{% for row in grid.row_labels %}
<tr><th scope="row" dir="auto">{{ row }}</th>{% for column in grid.column_labels %}<td>{% for place in grid.cells.get((row, column), ()) %}
<a href="{{ place|url }}"><img loading="lazy" src="{{ place|url }}" alt="{{ row }}, {{ column }}"></a>{% endfor %}</td>{% endfor %}</tr>{% endfor %}
</tbody></table></main></body></html>
"""


def grid_png(grid: Grid, out: Path, *, cell_px: int = CELL_PX) -> bytes:
    """Return the grid as a PNG; a cell with several images shows them side by side, one that is gone stays empty.

    Args:
        grid: What goes where.
        out: The output folder.
        cell_px: Longest side of an image in the grid.

    Raises:
        ImageLimitError: If the grid would be too large.
    """
    from PIL import Image, ImageDraw
    from PIL.PngImagePlugin import PngInfo

    across = {
        column: max(len(grid.cells.get((row, column), ())) for row in grid.row_labels) for column in grid.column_labels
    }
    step = cell_px + _MARGIN_PX
    rows = {row: _label(row) for row in grid.row_labels}
    left = _MARGIN_PX * 2 + max(int(_font(row).getlength(row)) for row in rows.values())
    size = left + step * sum(across.values()), _LABEL_PX + step * len(grid.row_labels)
    if size[0] * size[1] > _MAX_PIXELS:
        raise ImageLimitError(
            f"the grid would have {size[0]}x{size[1]} pixels; make it HTML (--output grid.html), or fewer rows"
        )
    sheet = Image.new("RGB", size, _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, row in enumerate(grid.row_labels):
        middle = _LABEL_PX + step * number + cell_px // 2
        draw.text((_MARGIN_PX, middle), rows[row], _INK, font=_font(rows[row]), anchor="lm")
    x = left
    for column in grid.column_labels:
        width = step * across[column] - _MARGIN_PX
        label = _fitting(_label(column), width)
        draw.text((x + width // 2, _LABEL_PX // 2), label, _INK, font=_font(label), anchor="mm")
        for number, row in enumerate(grid.row_labels):
            for index, place in enumerate(grid.cells.get((row, column), ())):
                _paste(sheet, out, place, (x + step * index, _LABEL_PX + step * number), cell_px)
        x += step * across[column]
    file = io.BytesIO()
    told = PngInfo()
    told.add_text("Software", GRID_MARK)
    sheet.save(file, "PNG", pnginfo=told)
    return file.getvalue()


def _paste(sheet: Image.Image, out: Path, place: str, corner: tuple[int, int], cell_px: int) -> None:
    try:
        image = flatten_rgb(upright(decode_image(resolve_inside(out, place).read_bytes(), what=place)))
    except (OSError, CodecError, RunError):
        sheet.paste(_EMPTY, (*corner, corner[0] + cell_px, corner[1] + cell_px))
        return
    image.thumbnail((cell_px, cell_px), reducing_gap=2.0)
    sheet.paste(image, (corner[0] + (cell_px - image.width) // 2, corner[1] + (cell_px - image.height) // 2))


def _fitting(label: str, width_px: int) -> str:
    """Cut a label to a width, so that it does not run into its neighbour."""
    font = _font(label)
    while len(label) > 1 and font.getlength(label) > width_px:
        label = label.removesuffix("…")[:-1] + "…"
    return label


def _font(text: str) -> ImageFont.FreeTypeFont:
    """Return a font that has all letters of a text, as far as this machine has one."""
    return _load_font(_font_path(frozenset(text)))


@cache
def _load_font(path: str) -> ImageFont.FreeTypeFont:
    from PIL import ImageFont

    return ImageFont.truetype(path, _FONT_PX)


@cache
def _font_path(letters: frozenset[str]) -> str:
    from matplotlib import font_manager
    from matplotlib.ft2font import FT2Font

    # It comes with the plotting library and has most of the world's letters, Chinese and the like left out.
    usual = font_manager.findfont("DejaVu Sans")  # pyright: ignore[reportUnknownMemberType] - its stub leaves PathLike open
    others = sorted(font_manager.fontManager.ttflist, key=lambda one: ("Sans" not in one.name, one.weight != "normal"))
    for path in (usual, *(one.fname for one in others)):
        try:
            known = FT2Font(path).get_charmap()
        except (OSError, RuntimeError):
            continue
        if all(letter.isspace() or ord(letter) in known for letter in letters):
            return path
    return usual


def _label(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _MAX_LABEL else flat[: _MAX_LABEL - 1] + "…"


def write_grid(folder: RunFolder, grid: Grid, target: Path) -> Path:
    """Write a grid, as PNG or HTML by the ending of ``target``.

    Raises:
        ConfigurationError: If the ending is another, or an HTML grid would lie outside the output folder, or where the
            page of the run goes.
        StorageError: If there is something else than a grid already, or it cannot be written.
    """
    suffix = target.suffix.lower()
    if suffix not in (".png", ".html", ".htm"):
        raise ConfigurationError(f"{target}: name a file that ends in .png or .html")
    with storage_errors("look at", target):
        require_ours(target, [grid_mark(suffix)], what="a grid of sdclient's")
    if suffix == ".png":
        write_durable(target, grid_png(grid, folder.out))
        return target
    if target.parent.resolve() != folder.out.resolve():
        raise ConfigurationError(f"{target}: an HTML grid reads the images beside it; name a file in {folder.out}")
    if target.name.casefold() == REPORT_FILE:
        raise ConfigurationError(f"{target}: that is where the page of the run goes; name another file")
    write_durable(target, grid_html(grid).encode("utf-8", "replace"))
    return target
