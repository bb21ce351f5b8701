"""Laws of the files: a cut log is a shorter one, a name made safe stays, nothing leads out of a folder."""

from __future__ import annotations

import csv
import os
import tempfile
import unicodedata
from pathlib import Path, PurePosixPath

from hypothesis import given
from hypothesis import strategies as st

from sdclient.errors import RunFolderError
from sdclient.files import (
    MAX_NAME_BYTES,
    RowLog,
    create_exclusive,
    format_row,
    read_rows,
    resolve_inside,
    safe_name,
    write_durable,
)

COLUMNS = ("job", "status", "note")
cells = st.text(max_size=40)
rows_of_cells = st.lists(st.tuples(cells, cells, cells), max_size=8)
LINE_BREAKS = "\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"


def flattened(cell: str) -> str:
    """What is left of a cell in a log: one line, no NUL, nothing that UTF-8 cannot hold."""
    flat = cell.replace("\0", "").replace("\r\n", " ")
    flat = "".join(" " if char in LINE_BREAKS else char for char in flat)
    return flat.encode("utf-8", "backslashreplace").decode()


@given(rows_of_cells, st.data())
def test_a_log_cut_at_any_byte_reads_as_a_prefix_without_complaint(
    rows: list[tuple[str, str, str]], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        with RowLog(path, COLUMNS) as log:
            for row in rows:
                log.append(row)
        whole, no_problems = read_rows(path)
        os.truncate(path, data.draw(st.integers(0, path.stat().st_size)))

        kept, problems = read_rows(path)

    assert no_problems == problems == []
    assert kept == whole[: len(kept)]
    assert [list(row.values()) for row in whole] == [[flattened(cell) for cell in row] for row in rows]


@given(st.lists(st.text(max_size=30), min_size=1, max_size=5))
def test_a_row_is_one_line_that_no_spreadsheet_runs(row: list[str]) -> None:
    line = format_row(row)

    text = line.decode()
    assert len(text.splitlines()) == 1
    assert text.endswith("\n")
    assert "\0" not in text
    assert not any(cell.lstrip().startswith(("=", "@")) for cell in next(csv.reader([text])))


@given(st.binary(max_size=300))
def test_any_bytes_can_be_read_as_a_log(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "log.csv"
        path.write_bytes(content)

        rows, problems = read_rows(path)

    assert len(rows) + len(problems) <= content.count(b"\n")


@given(st.text(max_size=150))
def test_a_safe_name_is_portable_and_making_it_safe_again_changes_nothing(text: str) -> None:
    name = safe_name(text)

    assert safe_name(name) == name
    assert 1 <= len(name.encode()) <= MAX_NAME_BYTES
    assert not set(name) & set('/\\:*?"<>|\0\n\r\t')
    assert name == name.strip(". ")
    assert unicodedata.is_normalized("NFC", name)


@given(st.text(min_size=1, max_size=40))
def test_a_safe_name_is_a_real_file_name_inside_its_folder(text: str) -> None:
    name = safe_name(text)

    with tempfile.TemporaryDirectory() as folder:
        write_durable(Path(folder) / name, b"x")

        assert resolve_inside(Path(folder), name).read_bytes() == b"x"


@given(st.text(alphabet="ab./\\:\0~ C", max_size=12) | st.text(max_size=20))
def test_no_recorded_path_leads_out_of_its_folder(text: str) -> None:
    root = Path("/nowhere/at/all")
    try:
        path = resolve_inside(root, text)
    except RunFolderError:
        return

    assert Path(os.path.normpath(path)).is_relative_to(root)
    assert path != root
    assert not PurePosixPath(text).is_absolute()


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=5))
def test_the_first_to_create_a_name_decides_its_content(contents: list[bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        outcomes = [create_exclusive(Path(folder) / "claim", content) for content in contents]
        held = (Path(folder) / "claim").read_bytes()

    assert outcomes == [True] + [False] * (len(contents) - 1)
    assert held == contents[0]
