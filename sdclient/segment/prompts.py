"""What to cut out, by boxes and points, image by image: the value, its JSON, and the files people write.

CSV, one box or point a row; rows of one image with the same name are one object::

    image,name,x,y,width,height,inside
    fox.png,head,40,52,120,90,          a box: x and y of its top left corner, width, height
    fox.png,head,60,70,,,0              a point that is outside the object
    den/cub.png,,300,410,,,             a point inside; no name: an object of its own

JSON::

    {"fox.png": [{"label": "head", "box_xywh": [40, 52, 120, 90], "points": [[60, 70, 0]]}],
     "den/cub.png": [{"points": [[300, 410]]}]}

Images are named relative to the folder that is cut; all numbers are pixels of the image.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, cast

from sdclient.errors import ConfigurationError

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["Prompt", "PromptPoint", "prompts_from_json", "read_prompts"]

_COLUMNS = ("image", "name", "x", "y", "width", "height", "inside")
_NEEDED = frozenset({"image", "x", "y"})
_HOW_ROWS_ARE_WRITTEN = f"write {','.join(_COLUMNS)}, numbers in pixels"


@dataclass(frozen=True, slots=True)
class PromptPoint:
    """A point that belongs to an object, or does not.

    Attributes:
        x: Pixels from the left edge.
        y: Pixels from the top edge.
        is_inside: Whether the object is there.
    """

    x: float
    y: float
    is_inside: bool = True


@dataclass(frozen=True, slots=True)
class Prompt:
    """One object that is asked for.

    Attributes:
        box_xywh: A box around it: x and y of the top left corner, width, height, in pixels.
        points: Points in it, or beside it.
        label: What it is called.

    Raises:
        ConfigurationError: If there is neither a box nor a point inside, or a number makes no sense.
    """

    box_xywh: tuple[float, float, float, float] | None = None
    points: tuple[PromptPoint, ...] = ()
    label: str = ""

    def __post_init__(self) -> None:
        if self.box_xywh is None and not any(point.is_inside for point in self.points):
            raise ConfigurationError("a prompt needs a box, or a point inside the object")
        numbers = [*(self.box_xywh or ()), *(side for point in self.points for side in (point.x, point.y))]
        if not all(math.isfinite(number) and number >= 0 for number in numbers):
            raise ConfigurationError(f"a prompt's numbers are pixels from the top left corner, not {numbers!r:.60}")
        if self.box_xywh is not None and min(self.box_xywh[2:]) <= 0:
            raise ConfigurationError(f"a prompt's box needs a width and a height, not {self.box_xywh!r:.60}")

    def fits(self, size_hw: tuple[int, int]) -> bool:
        """Tell whether the prompt lies inside an image of this height and width."""
        height_px, width_px = size_hw
        x, y, width, height = self.box_xywh or (0, 0, 0, 0)
        is_box_inside = x + width <= width_px and y + height <= height_px
        return is_box_inside and all(point.x < width_px and point.y < height_px for point in self.points)

    def to_json(self) -> dict[str, JsonValue]:
        """Return the prompt as a plan stores it, without empty parts."""
        value: dict[str, JsonValue] = {"label": self.label} if self.label else {}
        if self.box_xywh is not None:
            value["box_xywh"] = list(self.box_xywh)
        if self.points:
            value["points"] = [[point.x, point.y, int(point.is_inside)] for point in self.points]
        return value


def prompts_from_json(value: object, *, where: str) -> tuple[Prompt, ...]:
    """Read the prompts of one image.

    Args:
        value: What a JSON file or a plan says.
        where: What to call it in an error.

    Raises:
        ConfigurationError: If it is no list of prompts.
    """
    try:
        return tuple(_from_json(one) for one in _list(value))
    except (TypeError, ValueError, KeyError, AttributeError) as exc:
        raise ConfigurationError(
            f'{where}: {exc}: write it like [{{"label": "head", "box_xywh": [x, y, w, h], "points": [[x, y]]}}]'
        ) from exc


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError(f"a list is wanted, not {value!r:.60}")
    return cast("list[object]", value)


def _from_json(value: object) -> Prompt:
    if not isinstance(value, dict):
        raise TypeError(f"an object is wanted, not {value!r:.60}")
    one = cast("dict[str, object]", value)
    unknown = sorted(set(one) - {"label", "box_xywh", "points"})
    if unknown:
        raise ValueError(f"unknown key {unknown[0]!r:.40}")
    box, points = one.get("box_xywh"), _list(one.get("points", []))
    numbers = None if box is None else _numbers(box, 4, 4)
    found = [_numbers(point, 2, 3) for point in points]
    return Prompt(
        None if numbers is None else (numbers[0], numbers[1], numbers[2], numbers[3]),
        tuple(PromptPoint(point[0], point[1], len(point) == 2 or point[2] != 0) for point in found),  # noqa: PLR2004 - x and y
        str(one.get("label", "")),
    )


def _numbers(value: object, least: int, most: int) -> Sequence[float]:
    parts = _list(value)
    try:
        numbers = [float(part) for part in parts if isinstance(part, int | float) and not isinstance(part, bool)]
    except OverflowError:
        raise ValueError(f"numbers of pixels are wanted, and one of {value!r:.60} is far too large") from None
    if not least <= len(parts) == len(numbers) <= most:
        raise TypeError(f"{least} numbers are wanted, not {value!r:.60}")
    return numbers


def read_prompts(path: Path) -> dict[str, tuple[Prompt, ...]]:
    """Read a file of prompts, by image.

    Args:
        path: A ``.csv`` or ``.json`` file, as this module draws them.

    Raises:
        ConfigurationError: If it cannot be read, or something in it makes no sense; the line or image is named.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); give a CSV or JSON file of prompts") from exc
    found = _read_json(text, path) if path.suffix.lower() == ".json" else _read_csv(text, path)
    if not found:
        raise ConfigurationError(f"{path}: holds no prompts; name at least one image with a box or a point")
    return found


def _read_json(text: str, path: Path) -> dict[str, tuple[Prompt, ...]]:
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError) as exc:
        raise ConfigurationError(f"{path}: is no JSON ({exc}); check it, or use CSV") from exc
    if not isinstance(value, dict):
        raise ConfigurationError(f"{path}: must be an object with images as keys, not {value!r:.60}")
    images = cast("dict[str, object]", value)
    return {_image(name): prompts_from_json(one, where=f"{path}: {name}") for name, one in images.items()}


def _read_csv(text: str, path: Path) -> dict[str, tuple[Prompt, ...]]:
    rows = csv.DictReader(io.StringIO(text))
    try:
        found = _objects_by_image(rows, path)
    except csv.Error as exc:
        raise ConfigurationError(f"{path}, line {rows.reader.line_num}: no CSV ({exc}); save the table as CSV") from exc
    return {
        image: tuple(_from_rows(asked, image, path) for asked in objects.values()) for image, objects in found.items()
    }


@dataclass(frozen=True, slots=True)
class _Asked:
    """An object of a table: what its rows say so far, as JSON would, and their lines."""

    value: dict[str, object]
    lines: list[int] = field(default_factory=list[int])


def _from_rows(asked: _Asked, image: str, path: Path) -> Prompt:
    try:
        return _from_json(asked.value)
    except ConfigurationError as exc:
        lines = f"line{'s' if len(asked.lines) > 1 else ''} {', '.join(map(str, asked.lines)):.40}"
        raise ConfigurationError(f"{path}, {lines}: {image}: {exc}; {_HOW_ROWS_ARE_WRITTEN}") from exc


def _objects_by_image(rows: csv.DictReader[str], path: Path) -> dict[str, dict[str, _Asked]]:
    columns = set(rows.fieldnames or ())
    if not columns >= _NEEDED or not columns <= set(_COLUMNS):
        raise ConfigurationError(f"{path}: the first line must name columns out of {','.join(_COLUMNS)}")
    found: dict[str, dict[str, _Asked]] = {}
    for row in rows:
        try:
            _refuse_more_cells(row, columns)
            objects = found.setdefault(_image(row["image"]), {})
            name = (row.get("name") or "").strip()
            # Rows without a name are objects of their own.
            asked = objects.setdefault(name or f"\0{len(objects)}", _Asked({"label": name, "points": []}))
            asked.lines.append(rows.line_num)
            _add_row(asked.value, row)
        except (TypeError, ValueError, AttributeError) as exc:  # noqa: PERF203 - the message names the line
            raise ConfigurationError(f"{path}, line {rows.line_num}: {exc}; {_HOW_ROWS_ARE_WRITTEN}") from exc
    return found


def _refuse_more_cells(row: Mapping[str | None, object], columns: Collection[str]) -> None:
    # Under None the reader keeps what no column names; empty cells are left over from a wider table.
    more = [cell for cell in cast("list[str]", row.get(None) or []) if cell.strip()]
    if more:
        raise ValueError(f"{more[0]!r:.40} stands beyond the {len(columns)} columns of the first line")


def _add_row(entry: dict[str, object], row: Mapping[str, str | None]) -> None:
    cells = {name: (row.get(name) or "").strip() for name in ("x", "y", "width", "height", "inside")}
    x, y = _pixels(cells, "x"), _pixels(cells, "y")
    if cells["width"] or cells["height"]:
        if "box_xywh" in entry:
            raise ValueError(f"a second box for {entry['label']!r:.40}")
        entry["box_xywh"] = [x, y, _pixels(cells, "width"), _pixels(cells, "height")]
    else:
        cast("list[object]", entry["points"]).append([x, y, float(cells["inside"] or 1)])


def _pixels(cells: Mapping[str, str], name: str) -> float:
    try:
        return float(cells[name])
    except ValueError:
        raise ValueError(
            f"{name} is {cells[name]!r:.40}, not a number" if cells[name] else f"{name} is missing"
        ) from None


def _image(name: str) -> str:
    """Return an image's name as a folder lists it."""
    text = name.strip().replace("\\", "/")
    if not text:
        raise ValueError("the image is not named")
    return str(PurePosixPath(text))
