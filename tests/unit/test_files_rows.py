"""CSV logs: one line per row, harmless to open, readable after a crash."""

from __future__ import annotations

import csv
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient import files
from sdclient.errors import StorageError
from sdclient.files import (
    RowLog,
    format_row,
    is_storage_trouble,
    read_rows,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and links")


@contextmanager
def file_size_limit(limit_bytes: int) -> Iterator[None]:
    """Let the system refuse to write beyond `limit_bytes`, in the middle of a write: the stand-in for a full disk."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


class TestRows:
    COLUMNS = ("job", "note")

    def test_rows_come_back_as_they_were_given(self, tmp_path: Path) -> None:
        with RowLog(tmp_path / "log.csv", self.COLUMNS) as log:
            log.append(["1", 'a "red" fox, in snow'])
            log.append(["", ""])
            log.sync()

        rows, problems = read_rows(tmp_path / "log.csv")

        assert rows == [{"job": "1", "note": 'a "red" fox, in snow'}, {"job": "", "note": ""}]
        assert problems == []

    @pytest.mark.parametrize(
        ("cell", "written"),
        [
            ("=cmd|' /C calc'!A0", "'=cmd|' /C calc'!A0"),
            ("+1 is plus one", "'+1 is plus one"),
            ("-x", "'-x"),
            ("@SUM(A1)", "'@SUM(A1)"),
            ("\t=1", "'\t=1"),
            ("\r=1", "' =1"),
            ("\uff1d1+1", "'\uff1d1+1"),
            ("-1.5e-3", "-1.5e-3"),
            ("+7", "+7"),
            ("-", "'-"),
            ("a-b", "a-b"),
            ("two\r\nlines\u2028more", "two lines more"),
            ("nul\0byte", "nulbyte"),
        ],
    )
    def test_a_cell_is_made_harmless(self, cell: str, written: str) -> None:
        line = format_row([cell, "x"])

        assert next(csv.reader([line.decode()])) == [written, "x"]
        assert line.count(b"\n") == 1

    def test_a_defused_cell_reads_back_as_the_original(self, tmp_path: Path) -> None:
        cells = ["=1+1", "'=1+1", "'quoted'", "-5"]
        with RowLog(tmp_path / "log.csv", list("abcd")) as log:
            log.append(cells)

        rows, _ = read_rows(tmp_path / "log.csv")

        assert list(rows[0].values()) == cells

    def test_a_cell_longer_than_a_spreadsheet_takes_is_cut(self) -> None:
        line = format_row(["x" * 200_000]).decode()

        assert len(line) == files.MAX_CELL_CHARS + 1
        assert line.endswith("…\n")

    def test_a_lone_surrogate_does_not_stop_the_log(self) -> None:
        assert format_row(["bad\udcff name"]) == b"bad\\udcff name\n"

    @pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
    def test_a_full_disk_is_a_storage_error_that_passes_and_leaves_no_file_open(self) -> None:
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(5):
            with pytest.raises(StorageError, match="free some") as caught:
                RowLog("/dev/full", self.COLUMNS)

        assert isinstance(caught.value.__cause__, OSError)
        assert is_storage_trouble(caught.value.__cause__)
        assert len(list(Path("/proc/self/fd").iterdir())) == before

    @posix_only
    def test_half_a_head_is_taken_back_when_the_disk_is_full(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        with file_size_limit(3), pytest.raises(StorageError, match="open"):
            RowLog(path, self.COLUMNS)
        with RowLog(path, self.COLUMNS) as log:
            log.append(["1", "after"])

        assert read_rows(path) == ([dict(zip(self.COLUMNS, ["1", "after"], strict=True))], [])

    @posix_only
    def test_half_a_row_is_taken_back_when_the_disk_is_full(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        with RowLog(path, self.COLUMNS) as log:
            log.append(["1", "short"])
            with file_size_limit(path.stat().st_size + 5), pytest.raises(StorageError, match="append"):
                log.append(["2", "does not fit any more"])
            log.append(["3", "after"])

        rows, problems = read_rows(path)

        assert [row["job"] for row in rows] == ["1", "3"]
        assert problems == []

    def test_a_log_is_continued_without_a_second_head(self, tmp_path: Path) -> None:
        for job in ("1", "2"):
            with RowLog(tmp_path / "log.csv", self.COLUMNS) as log:
                log.append([job, ""])

        rows, problems = read_rows(tmp_path / "log.csv")

        assert [row["job"] for row in rows] == ["1", "2"]
        assert problems == []

    def test_an_unfinished_line_of_an_earlier_process_does_not_swallow_the_next_row(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_bytes(b"job,note\n1,a\n2")

        with RowLog(path, self.COLUMNS) as log:
            log.append(["3", "c"])

        rows, problems = read_rows(path)
        assert [row["job"] for row in rows] == ["1", "3"]
        assert len(problems) == 1
        assert "line 3" in problems[0]

    def test_a_row_of_another_length_is_refused(self, tmp_path: Path) -> None:
        with RowLog(tmp_path / "log.csv", self.COLUMNS) as log, pytest.raises(ValueError, match="1 cells for 2"):
            log.append(["1"])

    def test_a_log_without_columns_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(ValueError, match="column"):
            RowLog(tmp_path / "log.csv", [])

    def test_a_closed_log_refuses_rows_and_may_be_closed_again(self, tmp_path: Path) -> None:
        log = RowLog(tmp_path / "log.csv", self.COLUMNS)
        log.close()
        log.close()

        with pytest.raises(ValueError, match="closed"):
            log.append(["1", "2"])

    def test_a_log_in_a_missing_folder_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="open"):
            RowLog(tmp_path / "gone" / "log.csv", self.COLUMNS)

    def test_threads_share_a_log_without_mixing_rows(self, tmp_path: Path) -> None:
        with RowLog(tmp_path / "log.csv", self.COLUMNS) as log:
            threads = [
                threading.Thread(target=lambda job=job: [log.append([job, job * 50]) for _ in range(50)])
                for job in "abcd"
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

        rows, problems = read_rows(tmp_path / "log.csv")
        assert len(rows) == 200
        assert all(row["note"] == row["job"] * 50 for row in rows)
        assert problems == []

    @pytest.mark.parametrize(
        "bad",
        [b"1,2,3\n", b'1,"open\n', b"\xff\xfe,2\n", b"x" * 200_000 + b",2\n"],
        ids=["three cells", "open quote", "no utf-8", "beyond the reader"],
    )
    def test_a_bad_line_is_reported_and_the_rest_kept(self, tmp_path: Path, bad: bytes) -> None:
        path = tmp_path / "log.csv"
        path.write_bytes(b"job,note\n1,a\n" + bad + b"2,b\n")

        rows, problems = read_rows(path)

        assert [row["job"] for row in rows] == ["1", "2"]
        assert len(problems) == 1
        assert "line 3" in problems[0]
        assert len(problems[0]) < 400

    def test_what_a_power_cut_left_is_dropped(self, tmp_path: Path) -> None:
        path = tmp_path / "log.csv"
        path.write_bytes(b"\xef\xbb\xbfjob,note\r\n1,a\r\n\0\0\0\n2,b\0\n" + b"\0" * 50)

        rows, problems = read_rows(path)

        assert rows == [{"job": "1", "note": "a"}, {"job": "2", "note": "b"}]
        assert problems == []

    def test_a_missing_log_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="read"):
            read_rows(tmp_path / "gone.csv")


@given(st.lists(st.text("ab'=+-@ \t\n\r\0\u2028\uff1d\"é", max_size=6), min_size=1, max_size=5))
def test_a_cell_is_made_harmless_whatever_stands_beside_it(cells: list[str]) -> None:
    together = next(csv.reader([format_row(cells).decode()]))

    assert together == [next(csv.reader([format_row(["x", cell]).decode()]))[1] for cell in cells]
