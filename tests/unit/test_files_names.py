"""File names and folders: portable names, paths that stay inside, what a folder can do."""

from __future__ import annotations

import errno
import sys
from pathlib import Path, PosixPath

import pytest

from sdclient.errors import RunFolderError, StorageError
from sdclient.files import (
    probe,
    probe_folder,
    resolve_inside,
    safe_name,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="needs POSIX limits and links")


class Vanished(PosixPath):
    """A path on a share whose server is gone."""

    def __fspath__(self) -> str:
        raise OSError(errno.ENOTCONN, "Transport endpoint is not connected")


def names_in(folder: Path) -> list[str]:
    return sorted(entry.name for entry in folder.iterdir())


class TestSafeName:
    @pytest.mark.parametrize(
        ("text", "name"),
        [
            ("a red fox", "a red fox"),
            ('a/b\\c:d*e?f"g<h>i|j', "a_b_c_d_e_f_g_h_i_j"),
            ("..", "_"),
            ("", "_"),
            (" . hidden. ", "hidden"),
            ("con", "_con"),
            ("NUL.png", "_NUL.png"),
            ("COM¹", "_COM¹"),
            ("con .x", "_con .x"),
            ("console", "console"),
            ("tab\tnew\nline\0", "tab_new_line_"),
            ("e\u0301", "é"),
            ("日本語", "日本語"),
            ("evil\u202egnp.exe", "evil_gnp.exe"),
            ("bad\udcff", "bad_"),
        ],
    )
    def test_a_name_is_portable(self, text: str, name: str) -> None:
        assert safe_name(text) == name

    def test_a_long_name_is_cut_between_two_characters(self) -> None:
        name = safe_name("日" * 99)

        assert name == "日" * 33

    def test_a_cut_does_not_uncover_a_reserved_name(self) -> None:
        assert safe_name("con" + " " * 97 + "x") == "_con"


class TestResolveInside:
    def test_a_path_inside_is_joined(self, tmp_path: Path) -> None:
        (tmp_path / "a").mkdir()

        assert resolve_inside(tmp_path, "a/b/c.png") == tmp_path / "a" / "b" / "c.png"

    @pytest.mark.parametrize(
        "text",
        ["", "/etc/passwd", "../x", "a/../../x", "a/./b", "a//b", "a/", "C:/x", "c:x", "a\\b", "\\\\host\\x", "a\0b"],
    )
    def test_a_path_that_leads_out_is_refused(self, tmp_path: Path, text: str) -> None:
        with pytest.raises(RunFolderError, match="no plain path inside"):
            resolve_inside(tmp_path, text)

    @pytest.mark.parametrize("text", ["a:b.png", "C:/x"])
    def test_a_name_that_windows_takes_for_a_drive_is_not_called_a_changed_record(
        self, tmp_path: Path, text: str
    ) -> None:
        with pytest.raises(RunFolderError, match="begins with a drive") as caught:
            resolve_inside(tmp_path, text)

        assert "record" not in str(caught.value).replace(str(tmp_path), "")

    @posix_only
    @pytest.mark.parametrize("text", ["link", "link/x.png", "a/deep", "dangling"])
    def test_a_path_through_a_link_is_refused(self, tmp_path: Path, text: str) -> None:
        (tmp_path / "a").mkdir()
        (tmp_path / "link").symlink_to(tmp_path / "a")
        (tmp_path / "a" / "deep").symlink_to("/etc")
        (tmp_path / "dangling").symlink_to("nowhere")

        with pytest.raises(RunFolderError, match="link"):
            resolve_inside(tmp_path, text)

    @posix_only
    @posix_only
    def test_a_share_that_does_not_answer_is_trouble_with_the_disk(self) -> None:
        with pytest.raises(StorageError, match="does not answer") as caught:
            resolve_inside(Vanished("share"), "a/b.png")

        assert isinstance(caught.value.__cause__, OSError)

    def test_the_folder_itself_may_be_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "real").mkdir()
        (tmp_path / "root").symlink_to("real")

        assert resolve_inside(tmp_path / "root", "x") == tmp_path / "root" / "x"

    def test_a_path_below_a_file_or_too_long_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")

        for text in ("file/x", "y" * 5000):
            with pytest.raises(RunFolderError, match="cannot look at"):
                resolve_inside(tmp_path, text)


class TestProbe:
    def test_an_ordinary_folder_holds_all_promises_and_stays_empty(self, tmp_path: Path) -> None:
        facts = probe_folder(tmp_path)

        assert facts.problem is None
        assert facts.writable
        assert facts.exclusive_create
        assert facts.directory_rename_refuses
        assert facts.hard_links
        assert facts.fsync_ok
        assert facts.rewrite_visible
        assert facts.free_bytes > 0
        assert facts.synced_by == ""
        assert names_in(tmp_path) == []

    def test_the_file_system_is_named(self, tmp_path: Path) -> None:
        assert probe._filesystem(Path("/proc")) in {"proc", ""}
        assert isinstance(probe._filesystem(tmp_path), str)

    def test_a_missing_folder_holds_nothing_and_says_why(self, tmp_path: Path) -> None:
        facts = probe_folder(tmp_path / "gone")

        assert facts.problem is not None
        assert "No such file" in facts.problem
        assert not facts.writable
        assert not facts.exclusive_create
        assert facts.free_bytes == 0

    @pytest.mark.parametrize(
        ("mark", "inside", "program"),
        [(".stfolder", "out", "Syncthing"), (".dropbox", "out", "Dropbox"), ("x", "OneDrive/out", "OneDrive")],
    )
    def test_a_synchronised_folder_is_noticed(self, tmp_path: Path, mark: str, inside: str, program: str) -> None:
        (tmp_path / mark).mkdir()
        folder = tmp_path / inside
        folder.mkdir(parents=True)

        assert probe_folder(folder).synced_by == program

    def test_a_promise_that_does_not_hold_is_told(self) -> None:
        problems: list[str] = []

        assert not probe._holds("keep files", lambda: False, problems)
        assert problems == ["this folder does not keep files; choose one on another disk or share"]
