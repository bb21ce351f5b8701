"""Durable writes and moves: on real files, with real errors from the system."""

from __future__ import annotations

import errno
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from sdclient import files
from sdclient.errors import StorageError
from sdclient.files import (
    create_exclusive,
    create_whole,
    durable,
    fsync_dir,
    fsync_file,
    is_storage_trouble,
    storage_error,
    write_durable,
    write_new_file,
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


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def test_what_is_exported_is_sorted_and_there() -> None:
    assert files.__all__ == sorted(files.__all__, key=lambda name: (not name.isupper(), name))
    assert all(hasattr(files, name) for name in files.__all__)


class TestWriteDurable:
    def test_a_new_file_holds_the_data_and_nothing_else_is_left(self, tmp_path: Path) -> None:
        write_durable(tmp_path / "a.txt", b"whole")

        assert (tmp_path / "a.txt").read_bytes() == b"whole"
        assert names_in(tmp_path) == ["a.txt"]

    def test_an_existing_file_is_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"the older and longer one")

        write_durable(tmp_path / "a.txt", b"")

        assert (tmp_path / "a.txt").read_bytes() == b""

    @posix_only
    def test_a_full_disk_leaves_the_old_file_and_no_leftover(self, tmp_path: Path) -> None:
        (tmp_path / "a.txt").write_bytes(b"old")

        with file_size_limit(100), pytest.raises(StorageError, match="cannot write") as caught:
            write_durable(tmp_path / "a.txt", bytes(1000))

        assert isinstance(caught.value.__cause__, OSError)
        assert (tmp_path / "a.txt").read_bytes() == b"old"
        assert names_in(tmp_path) == ["a.txt"]

    def test_a_missing_folder_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="No such file"):
            write_durable(tmp_path / "gone" / "a.txt", b"x")

    def test_a_folder_of_that_name_is_not_replaced(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()

        with pytest.raises(StorageError):
            write_durable(tmp_path / "a", b"x")

        assert names_in(tmp_path) == ["a"]

    def test_a_new_file_is_never_written_over_another(self, tmp_path: Path) -> None:
        write_new_file(tmp_path / "a", b"first")

        with pytest.raises(StorageError, match="EEXIST"):
            write_new_file(tmp_path / "a", b"second")

        assert (tmp_path / "a").read_bytes() == b"first"


class TestFsync:
    def test_a_file_and_its_folder_can_be_flushed(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        with path.open("wb") as file:
            file.write(b"x")
            file.flush()

            fsync_file(file.fileno())
            fsync_dir(tmp_path)

        assert path.read_bytes() == b"x"

    def test_a_closed_file_is_not_reported_as_flushed(self, tmp_path: Path) -> None:
        fd = os.open(tmp_path / "a", os.O_CREAT | os.O_WRONLY)
        os.close(fd)

        with pytest.raises(OSError, match="Bad file descriptor"):
            fsync_file(fd)

    @posix_only
    def test_a_flush_command_the_system_does_not_know_falls_back_to_fsync(self, tmp_path: Path) -> None:
        import fcntl

        with (tmp_path / "a").open("wb") as file:
            # Unknown, so that what follows can only have been the fsync.
            with pytest.raises(OSError, match="Invalid argument"):
                fcntl.fcntl(file.fileno(), 9999)
            os.write(file.fileno(), b"x")

            durable._fsync_through(file.fileno(), 9999)

        assert (tmp_path / "a").read_bytes() == b"x"

    @posix_only
    def test_a_refused_flush_command_with_another_error_is_raised(self, tmp_path: Path) -> None:
        import fcntl

        # The lease of a file that is open for writing is refused with EAGAIN: an error that is not "unknown command".
        with (tmp_path / "a").open("wb") as file, pytest.raises(BlockingIOError):
            durable._fsync_through(file.fileno(), fcntl.F_SETLEASE)

    def test_a_missing_folder_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="flush"):
            fsync_dir(tmp_path / "gone")

    @posix_only
    def test_a_folder_that_cannot_be_flushed_by_its_system_is_no_error_and_left_closed(self) -> None:
        open_before = len(list(Path("/dev/fd").iterdir()))

        fsync_dir("/proc/self")

        assert len(list(Path("/dev/fd").iterdir())) == open_before


class TestCreateExclusive:
    @pytest.mark.parametrize("durably", [False, True], ids=["claim", "durable"])
    def test_the_first_wins_and_the_second_is_told(self, tmp_path: Path, *, durably: bool) -> None:
        first = create_exclusive(tmp_path / "claim", b"token-1", durable=durably)
        second = create_exclusive(tmp_path / "claim", b"token-2", durable=durably)

        assert (first, second) == (True, False)
        assert (tmp_path / "claim").read_bytes() == b"token-1"

    def test_of_many_at_once_one_wins(self, tmp_path: Path) -> None:
        won: list[int] = []
        start = threading.Barrier(8)

        def race(number: int) -> None:
            start.wait()
            if create_exclusive(tmp_path / "claim", b"%d" % number):
                won.append(number)

        threads = [threading.Thread(target=race, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert len(won) == 1
        assert (tmp_path / "claim").read_bytes() == b"%d" % won[0]

    def test_a_missing_folder_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="cannot create"):
            create_exclusive(tmp_path / "gone" / "claim", b"token")

    @posix_only
    @pytest.mark.parametrize("durably", [False, True], ids=["claim", "durable"])
    def test_a_torn_file_is_not_reported_as_won(self, tmp_path: Path, *, durably: bool) -> None:
        with file_size_limit(4), pytest.raises(StorageError, match="EFBIG"):
            create_exclusive(tmp_path / "claim", b"a long token", durable=durably)

        assert (tmp_path / "claim").read_bytes() == b"a lo"

    def test_an_error_after_which_the_content_is_ours_counts_as_created(self, tmp_path: Path) -> None:
        (tmp_path / "claim").write_bytes(b"token")
        lost_reply = OSError(errno.EIO, "the reply was lost")

        durable._settle_create(tmp_path / "claim", b"token", lost_reply)

        with pytest.raises(StorageError, match="EIO"):
            durable._settle_create(tmp_path / "claim", b"another token", lost_reply)


class TestCreateWhole:
    def test_the_first_wins_and_no_leftover_stays(self, tmp_path: Path) -> None:
        outcomes = [create_whole(tmp_path / "run.json", data) for data in (b"{1}", b"{2}")]

        assert outcomes == [True, False]
        assert (tmp_path / "run.json").read_bytes() == b"{1}"
        assert names_in(tmp_path) == ["run.json"]

    @posix_only
    def test_a_full_disk_creates_nothing_at_all(self, tmp_path: Path) -> None:
        with file_size_limit(2), pytest.raises(StorageError):
            create_whole(tmp_path / "run.json", b"{1234}")

        assert names_in(tmp_path) == []

    def test_without_links_the_name_is_created_exclusively(self, tmp_path: Path) -> None:
        # A folder cannot be linked: the system answers as one that makes no links does.
        unlinkable = tmp_path / "folder"
        unlinkable.mkdir()

        outcomes = [durable._link_or_create(unlinkable, tmp_path / "run.json", data) for data in (b"{1}", b"{2}")]

        assert outcomes == [True, False]
        assert (tmp_path / "run.json").read_bytes() == b"{1}"

    def test_an_error_after_which_the_content_is_ours_counts_as_created(self, tmp_path: Path) -> None:
        target = tmp_path / "run.json"
        target.write_bytes(b"{1}")

        # The name to link from is missing, as after a reply that was lost and a request sent twice.
        created = durable._link_or_create(tmp_path / "gone", target, b"{1}")

        assert created

    def test_any_other_error_is_a_storage_error(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError):
            durable._link_or_create(tmp_path / "gone", tmp_path / "run.json", b"{1}")


class TestHolds:
    def test_equal_content_is_told_from_shorter_and_longer(self, tmp_path: Path) -> None:
        path = tmp_path / "a"
        path.write_bytes(b"token")

        found = [durable.holds(path, data) for data in (b"token", b"tok", b"token!", b"")]

        assert found == [True, False, False, False]

    @posix_only
    def test_a_file_that_answers_einval_is_asked_again_for_two_seconds(self) -> None:
        waits: list[float] = []

        # Reading this file of the kernel's without an offset it likes is EINVAL every time.
        held = durable.holds(einval_file(), b"token", sleep=waits.append)

        assert not held
        assert sum(waits) == pytest.approx(2.0)


def einval_file() -> Path:
    """Find a file here whose reading is EINVAL, as a file just linked on Linux SMB is."""
    candidates = [Path("/proc/self/attr/exec"), Path("/proc/self/attr/current"), Path("/proc/thread-self/attr/current")]
    found = next(filter(answers_einval, candidates), None)
    return found or pytest.skip("no file here answers EINVAL")


def answers_einval(path: Path) -> bool:
    try:
        path.read_bytes()
    except OSError as exc:
        return exc.errno == errno.EINVAL
    return False


@pytest.mark.parametrize(
    ("number", "windows", "says_so"),
    [(errno.EPERM, None, True), (errno.EINVAL, 1, True), (errno.EINVAL, None, False), (errno.ENOSPC, None, False)],
)
def test_a_file_system_without_hard_links_is_known(number: int, windows: int | None, *, says_so: bool) -> None:
    exc = OSError(number, "x")
    # On FAT and exFAT, where Python knows no better number than EINVAL.
    exc.winerror = windows  # type: ignore[attr-defined] # pyright: ignore[reportAttributeAccessIssue]

    assert durable.makes_no_links(exc) is says_so


class TestTrouble:
    @pytest.mark.parametrize("name", ["ENOSPC", "EDQUOT", "EROFS", "EIO", "ESTALE", "ENOTCONN", "EHOSTDOWN", "ENODEV"])
    def test_trouble_that_passes_is_known(self, name: str) -> None:
        assert is_storage_trouble(OSError(getattr(errno, name), "x"))

    @pytest.mark.parametrize("exc", [OSError("no number"), OSError(errno.EACCES, "x"), OSError(errno.ENOENT, "x")])
    def test_everything_else_is_not(self, exc: OSError) -> None:
        assert not is_storage_trouble(exc)

    def test_a_message_says_what_failed_on_what_why_and_what_to_do(self) -> None:
        error = storage_error("write", "/out/fox.png", OSError(errno.ENOSPC, "No space left on device"))

        assert str(error) == (
            "cannot write /out/fox.png: No space left on device (ENOSPC); free some space and try again"
        )

    def test_a_long_path_is_cut_short(self) -> None:
        assert len(str(storage_error("write", "x" * 9000, OSError("odd")))) < 400
