"""CSV logs: one writer, one write per row, one line per row; and reading what a crash left of them."""

from __future__ import annotations

import csv
import io
import os
import re
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import final

from sdclient.files.durable import fsync_file
from sdclient.files.trouble import StrPath, storage_errors

__all__ = ["MAX_CELL_CHARS", "RowLog", "format_row", "format_rows", "one_line", "original_cell", "read_rows"]

MAX_CELL_CHARS = 32_767
"""The longest cell, in characters: what a spreadsheet takes. Python's own reader refuses cells beyond 131,072."""

# Everything that some reader takes for the end of a line.
_LINE_BREAKS = re.compile("\r\n|[\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
# A spreadsheet would run a cell that starts like this; the wide forms do the same in East Asian versions.
_RUNNABLE = re.compile(r"'*\s*[=+\-@\t\uff1d\uff0b\uff0d\uff20]")
_PLAIN_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_SUSPECT = re.compile("\\A['\\s]*[=+\\-@\t\uff1d\uff0b\uff0d\uff20]|[\0\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]")
# The same for cells that stand on a line each; it may take a harmless cell for a suspect, never the other way round.
_SUSPECT_ON_A_LINE = re.compile(
    "^['\\s]*[=+\\-@\t\uff1d\uff0b\uff0d\uff20]|[\0\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029]", re.MULTILINE
)
_BOM = "\ufeff"


def format_row(cells: Iterable[str]) -> bytes:
    """Write `cells` as one line of CSV in UTF-8, harmless to whoever opens it.

    Line breaks become spaces and NUL is left out. A cell that a spreadsheet would run (it starts with `=`, `+`, `-`,
    `@` or a tab, and is no plain number) gets a `'` in front, which `read_rows` takes off again. Cells
    longer than `MAX_CELL_CHARS` are cut and end in `…`.

    Returns:
        The line, with one line feed, at its end.
    """
    return format_rows([cells])


def format_rows(rows: Iterable[Iterable[str]]) -> bytes:
    """Write many rows as `format_row` writes one."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(map(_harmless_row, rows))
    return text.getvalue().encode("utf-8", "backslashreplace")


def _harmless_row(cells: Iterable[str]) -> Sequence[str]:
    # Nearly every one of ten thousand rows is harmless as it is: one look at all of its cells tells.
    row = list(cells)
    whole = "\n".join(row)
    if len(whole) <= MAX_CELL_CHARS and whole.count("\n") < max(1, len(row)) and not _SUSPECT_ON_A_LINE.search(whole):
        return row
    return [_harmless(cell) for cell in row]


def _harmless(cell: str) -> str:
    if len(cell) <= MAX_CELL_CHARS and not _SUSPECT.search(cell):
        return cell
    flat = one_line(cell)
    if _RUNNABLE.match(flat) and not _PLAIN_NUMBER.fullmatch(flat):
        flat = f"'{flat}"
    return flat if len(flat) <= MAX_CELL_CHARS else f"{flat[: MAX_CELL_CHARS - 1]}…"


def one_line(cell: str) -> str:
    """Return a cell as `format_row` writes it on one line: line breaks become spaces, and NUL is left out."""
    return _LINE_BREAKS.sub(" ", cell.replace("\0", ""))


def original_cell(cell: str) -> str:
    """Return a cell as it was before `format_row` made it harmless to spreadsheets."""
    return cell[1:] if cell.startswith("'") and _RUNNABLE.match(cell) else cell


def _write_row(fd: int, line: bytes) -> None:
    rest = line[os.write(fd, line) :]
    # After a short write (the disk is nearly full) the next one finishes the row or says why it cannot.
    while rest:
        rest = rest[os.write(fd, rest) :]


@final
class RowLog:
    """A CSV log that this process alone appends to. Threads may share it.

    A row that could not be written whole is taken back, so that the next one does not grow out of its middle.

    Args:
        path: The log. A new one starts with a row of `columns`. One that exists is continued.
        columns: The names of the cells.

    Raises:
        StorageError: The log cannot be opened.
        ValueError: There are no columns.
    """

    def __init__(self, path: StrPath, columns: Sequence[str]) -> None:
        if not columns:
            raise ValueError("a log needs at least one column")
        self.path = Path(path)
        self.columns = tuple(columns)
        self._lock = threading.Lock()
        self._torn_at: int | None = None
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
        with storage_errors("open", self.path):
            self._fd: int | None = os.open(self.path, flags, 0o666)
            try:
                self._begin(self._fd)
            except BaseException:
                with suppress(OSError):
                    os.close(self._fd)
                raise

    def _begin(self, fd: int) -> None:
        """Write the head, or end the unfinished line of an earlier process."""
        size = os.fstat(fd).st_size
        if size == 0:
            try:
                _write_row(fd, format_row(self.columns))
            except BaseException:
                # Half a head would make every later row unreadable.
                with suppress(OSError):
                    os.ftruncate(fd, 0)
                raise
            return
        os.lseek(fd, size - 1, os.SEEK_SET)
        if os.read(fd, 1) != b"\n":
            _write_row(fd, b"\n")

    def append(self, cells: Sequence[str]) -> None:
        """Append one row, in the order of `columns`.

        Raises:
            ValueError: Not one cell per column, or the log is closed.
            StorageError: The row is not in the log. It may be appended again later.
        """
        if len(cells) != len(self.columns):
            raise ValueError(f"{self.path}: {len(cells)} cells for {len(self.columns)} columns")
        line = format_row(cells)
        with self._lock, storage_errors("append to", self.path):
            fd = self._open_fd()
            self._take_back(fd)
            end = os.fstat(fd).st_size
            # Until the row is whole it counts as torn, so that no way out of here leaves half of one behind.
            self._torn_at = end
            try:
                _write_row(fd, line)
            except BaseException:
                self._take_back(fd)
                raise
            self._torn_at = None

    def _take_back(self, fd: int) -> None:
        if self._torn_at is not None:
            os.ftruncate(fd, self._torn_at)
            self._torn_at = None

    def sync(self) -> None:
        """Have the rows put on the disk.

        Raises:
            StorageError: They may be lost in a power cut.
        """
        with self._lock, storage_errors("flush", self.path):
            fsync_file(self._open_fd())

    def close(self) -> None:
        """Close the log; a second call does nothing.

        Raises:
            StorageError: Rows may be lost: network file systems may report a full disk only here.
        """
        with self._lock, storage_errors("close", self.path):
            fd, self._fd = self._fd, None
            if fd is not None:
                os.close(fd)

    def _open_fd(self) -> int:
        if self._fd is None:
            raise ValueError(f"{self.path}: this log is closed")
        return self._fd

    def __enter__(self) -> RowLog:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_rows(path: StrPath) -> tuple[list[dict[str, str]], list[str]]:
    """Read a log as far as it can be read, even while it is being written or after a crash.

    A last line without its end is still being written, or torn: it is left out in silence. NUL bytes, which a power
    cut may leave, are left out too. Any other line that cannot be read is reported, and the rest kept.

    Returns:
        The rows, by the names in the first line; and one message per line that could not be read.

    Raises:
        StorageError: The file cannot be opened or read.
    """
    rows: list[dict[str, str]] = []
    problems: list[str] = []
    columns: list[str] | None = None
    with storage_errors("read", path):
        for number, raw in _whole_lines(path):
            try:
                cells = _parse_line(raw)
            except (csv.Error, UnicodeDecodeError) as exc:
                problems.append(f"{path}: line {number} cannot be read ({exc}): {raw[:60]!r}")
                continue
            if columns is None:
                columns = cells
            elif len(cells) != len(columns):
                problems.append(f"{path}: line {number} has {len(cells)} cells instead of {len(columns)}")
            else:
                rows.append(dict(zip(columns, cells, strict=True)))
    return rows, problems


def _whole_lines(path: StrPath) -> Iterator[tuple[int, bytes]]:
    with Path(path).open("rb") as file:
        for number, raw in enumerate(file, start=1):
            if raw.endswith(b"\n") and (line := raw.replace(b"\0", b"").rstrip(b"\r\n")):
                yield number, line


def _parse_line(raw: bytes) -> list[str]:
    text = raw.decode("utf-8").removeprefix(_BOM)
    return [original_cell(cell) for cell in next(csv.reader([text], strict=True))]
