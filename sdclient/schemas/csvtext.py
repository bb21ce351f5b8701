"""CSV from a person's hand or spreadsheet: named columns in any order, and errors that say which line."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from sdclient.errors import ConfigurationError


def read_csv(path: Path) -> str:
    """Read the text of a CSV file.

    Raises:
        ConfigurationError: If it cannot be read, or is not in UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: not in UTF-8 (byte {exc.start}); save it as CSV in UTF-8") from exc
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc.strerror}); give a CSV file in UTF-8") from exc


def csv_rows(text: str, columns: Sequence[str], where: object) -> list[tuple[int, dict[str, str]]]:
    """Return the rows of a table with the numbers of their last lines; spreadsheets' semicolons are understood.

    Args:
        text: The whole table.
        columns: Those that are wanted, in small letters; none of their cells may be empty. Others follow them, under
            their own names and with any cells.
        where: What to call the source in an error.

    Raises:
        ConfigurationError: If it is no CSV, lacks a column, or has a row with cells too many or empty.
    """
    # Not splitlines(): a quoted cell may hold a line break, and U+2028 is none to CSV.
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter_of(text))
    try:
        lines = [(reader.line_num, cells) for cells in reader if any(cell.strip() for cell in cells)]
    except csv.Error as exc:
        raise ConfigurationError(f"{where}, line {reader.line_num}: no CSV ({exc}); save the table as CSV") from exc
    names = [_name(name, columns) for name in lines[0][1]] if lines else []
    missing = [name for name in columns if name not in names]
    if missing:
        raise ConfigurationError(f"{where}: lacks the column {missing[0]}; the columns are {', '.join(columns)}")
    return [(number, _row(cells, names, columns, f"{where}, line {number}")) for number, cells in lines[1:]]


def delimiter_of(text: str) -> str:
    """Return what stands between the cells of a table, by its header: spreadsheets of many countries write semicolons."""
    head = text.split("\n", 1)[0]
    return ";" if ";" in head and "," not in head else ","


def _name(name: str, columns: Sequence[str]) -> str:
    """Return a column's name: in small letters where it is one that is wanted."""
    name = name.strip()
    return name.casefold() if name.casefold() in columns else name


def _row(cells: Sequence[str], names: Sequence[str], columns: Sequence[str], where: str) -> dict[str, str]:
    if len(cells) > len(names):
        raise ConfigurationError(f'{where}: has more cells than the header; put "quotes" around text with a comma')
    values = dict(zip(names, cells, strict=False))
    row = {name: values.get(name, "").strip() for name in columns}
    if not all(row.values()):
        raise ConfigurationError(f"{where}: a cell is empty; fill in {', '.join(columns)}")
    # A column without a name is one that a spreadsheet left behind.
    return row | {name: values.get(name, "").strip() for name in names if name and name not in row}
