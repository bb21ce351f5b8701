"""The commit of a folder and the publishing of its files: nothing is ever replaced."""

from __future__ import annotations

import errno
import os
import sys
import threading
from pathlib import Path

import pytest

from sdclient.errors import StorageError
from sdclient.files import (
    CommitOutcome,
    PublishOutcome,
    commit_directory,
    moves,
    publish,
    write_new_file,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and links")


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


def folder_with(path: Path, content: bytes) -> Path:
    path.mkdir(parents=True)
    write_new_file(path / "record.json", content)
    return path


class TestCommitDirectory:
    def test_a_free_name_is_won(self, tmp_path: Path) -> None:
        part = folder_with(tmp_path / "parts" / "job", b"mine")
        (tmp_path / "done").mkdir()

        outcome = commit_directory(part, tmp_path / "done" / "job")

        assert outcome is CommitOutcome.WON
        assert (tmp_path / "done" / "job" / "record.json").read_bytes() == b"mine"
        assert not part.exists()

    def test_a_committed_one_is_never_replaced(self, tmp_path: Path) -> None:
        part = folder_with(tmp_path / "parts" / "job", b"late")
        done = folder_with(tmp_path / "done" / "job", b"first")

        outcome = commit_directory(part, done)

        assert outcome is CommitOutcome.LOST
        assert (done / "record.json").read_bytes() == b"first"
        assert (part / "record.json").read_bytes() == b"late"

    def test_of_many_at_once_one_wins(self, tmp_path: Path) -> None:
        parts = [folder_with(tmp_path / f"part{number}", b"%d" % number) for number in range(6)]
        start = threading.Barrier(6)
        outcomes: dict[int, CommitOutcome] = {}

        def race(number: int) -> None:
            start.wait()
            outcomes[number] = commit_directory(parts[number], tmp_path / "done")

        threads = [threading.Thread(target=race, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        winners = [number for number, outcome in outcomes.items() if outcome is CommitOutcome.WON]
        assert len(winners) == 1
        assert (tmp_path / "done" / "record.json").read_bytes() == b"%d" % winners[0]

    def test_a_part_that_is_gone_is_uncertain_and_says_so(self, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="commit") as caught:
            commit_directory(tmp_path / "swept", tmp_path / "done")

        assert isinstance(caught.value.__cause__, OSError)
        assert caught.value.__cause__.errno == errno.ENOENT

    def test_a_refusal_for_want_of_permission_counts_as_lost_only_where_something_is(self, tmp_path: Path) -> None:
        done = folder_with(tmp_path / "done", b"first")
        (tmp_path / "empty").mkdir()

        forbidden = OSError(errno.EACCES, "permission denied")
        found = [moves._is_refused(forbidden, path) for path in (done, tmp_path / "empty", tmp_path / "gone")]

        assert found == [True, False, False]


class TestPublish:
    def test_a_file_is_moved_and_folders_are_made(self, tmp_path: Path) -> None:
        source = tmp_path / "fox.png"
        source.write_bytes(b"image")

        outcome = publish(source, tmp_path / "generated" / "Italian" / "fox.png")

        assert outcome is PublishOutcome.MOVED
        assert (tmp_path / "generated" / "Italian" / "fox.png").read_bytes() == b"image"
        assert not source.exists()

    def test_moving_twice_is_harmless(self, tmp_path: Path) -> None:
        source, final = tmp_path / "part.png", tmp_path / "fox.png"
        source.write_bytes(b"image")

        outcomes = [publish(source, final), publish(source, final)]

        assert outcomes == [PublishOutcome.MOVED, PublishOutcome.ALREADY_GONE]
        assert final.read_bytes() == b"image"

    def test_a_foreign_file_is_never_replaced(self, tmp_path: Path) -> None:
        source, final = tmp_path / "part.png", tmp_path / "fox.png"
        source.write_bytes(b"image")
        final.write_bytes(b"someone's")

        outcome = publish(source, final)

        assert outcome is PublishOutcome.TAKEN
        assert final.read_bytes() == b"someone's"
        assert source.read_bytes() == b"image"

    def test_a_move_cut_off_between_its_two_steps_is_finished(self, tmp_path: Path) -> None:
        source, final = tmp_path / "part.png", tmp_path / "fox.png"
        source.write_bytes(b"image")
        os.link(source, final)

        outcome = publish(source, final)

        assert outcome is PublishOutcome.MOVED
        assert names_in(tmp_path) == ["fox.png"]

    @posix_only
    def test_a_link_in_the_final_place_is_not_followed(self, tmp_path: Path) -> None:
        source, final = tmp_path / "part.png", tmp_path / "fox.png"
        source.write_bytes(b"image")
        final.symlink_to(source)

        outcome = publish(source, final)

        assert outcome is PublishOutcome.TAKEN
        assert source.read_bytes() == b"image"

    def test_without_links_the_file_is_renamed(self, tmp_path: Path) -> None:
        source, final = tmp_path / "part.png", tmp_path / "fox.png"
        source.write_bytes(b"image")

        outcome = moves._publish_otherwise(source, final, OSError(errno.ENOTSUP, "no links here"))

        assert outcome is PublishOutcome.MOVED
        assert names_in(tmp_path) == ["fox.png"]

    def test_without_links_a_foreign_file_is_not_replaced_either(self, tmp_path: Path) -> None:
        source, final = tmp_path / "part.png", tmp_path / "fox.png"
        source.write_bytes(b"image")
        final.write_bytes(b"someone's")

        outcome = moves._publish_otherwise(source, final, OSError(errno.EPERM, "no links here"))

        assert outcome is PublishOutcome.TAKEN
        assert final.read_bytes() == b"someone's"

    def test_an_error_that_says_nothing_about_links_is_raised(self, tmp_path: Path) -> None:
        source = tmp_path / "part.png"
        source.write_bytes(b"image")

        with pytest.raises(OSError, match="broken"):
            moves._publish_otherwise(source, tmp_path / "fox.png", OSError(errno.EIO, "broken"))

        assert source.read_bytes() == b"image"

    def test_a_final_place_below_a_file_is_a_storage_error(self, tmp_path: Path) -> None:
        source = tmp_path / "part.png"
        source.write_bytes(b"image")

        with pytest.raises(StorageError, match="publish"):
            publish(source, source / "fox.png")

    def test_a_source_that_goes_while_it_is_compared_is_gone(self, tmp_path: Path) -> None:
        outcome = moves._settle(tmp_path / "gone", tmp_path / "fox.png")

        assert outcome is PublishOutcome.ALREADY_GONE
