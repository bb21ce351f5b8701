"""Images that appear in a folder, told from those that are still being written."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from sdclient.errors import ConfigurationError
from sdclient.planning import Arrivals, Watch
from sdclient.planning.arrivals import has_end


def encoded(form: str, size: tuple[int, int] = (64, 64)) -> bytes:
    file = io.BytesIO()
    Image.effect_noise(size, 90).convert("RGB").save(file, form)
    return file.getvalue()


PNG = encoded("PNG")


def paths(arrivals: Arrivals) -> tuple[str, ...]:
    found = arrivals.look().paths
    arrivals.accept(found)
    return found


@pytest.fixture
def arrivals(tmp_path: Path) -> Arrivals:
    return Arrivals(tmp_path, tmp_path / "out", sleep=lambda _: None)


def test_an_image_is_given_once_and_not_before_the_second_look(arrivals: Arrivals) -> None:
    (arrivals.folder / "a.png").write_bytes(PNG)

    assert [paths(arrivals) for _ in range(4)] == [(), ("a.png",), (), ()]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_a_half_copied_image_waits_however_long_it_stands_still(arrivals: Arrivals, form: str) -> None:
    data = encoded(form)
    path = arrivals.folder / f"a.{form.lower()}"
    path.write_bytes(data[: len(data) // 2])
    seen = [paths(arrivals) for _ in range(12)]
    with path.open("ab") as file:
        file.write(data[len(data) // 2 :])

    later = [paths(arrivals) for _ in range(2)]

    assert (set(seen), later) == ({()}, [(), (path.name,)])


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_an_image_whose_space_was_reserved_first_waits_for_its_content(arrivals: Arrivals, form: str) -> None:
    data = encoded(form)
    path = arrivals.folder / f"a.{form.lower()}"
    path.write_bytes(data[:200] + bytes(len(data) - 200))
    before = path.stat()
    seen = [paths(arrivals) for _ in range(5)]
    path.write_bytes(data)
    # A copying program may set the time of the original: neither size nor time tells.
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    later = [paths(arrivals) for _ in range(70)]

    assert set(seen) == {()}
    assert [one for one in later if one] == [(path.name,)]


def test_what_is_written_under_another_name_is_taken_once_it_has_its_own(arrivals: Arrivals) -> None:
    (arrivals.folder / "a.png.part").write_bytes(PNG)
    (arrivals.folder / ".b.png").write_bytes(PNG)
    seen = [arrivals.look() for _ in range(3)]
    (arrivals.folder / "a.png.part").rename(arrivals.folder / "a.png")
    (arrivals.folder / ".b.png").rename(arrivals.folder / "b.png")

    later = [paths(arrivals) for _ in range(2)]

    assert [(one.paths, one.skipped) for one in seen] == [((), ())] * 3
    assert later == [(), ("a.png", "b.png")]


def test_what_never_becomes_an_image_is_said_once(arrivals: Arrivals) -> None:
    (arrivals.folder / "a.png").write_bytes(PNG[:500])

    said = [one for _ in range(60) for one in arrivals.look().skipped]

    assert [str(one) for one in said] == ["a.png: not a whole image; taken in once it is"]
    assert not arrivals.is_waiting


def test_an_image_that_goes_away_is_forgotten(arrivals: Arrivals) -> None:
    (arrivals.folder / "a.png").write_bytes(PNG)
    arrivals.look()
    (arrivals.folder / "a.png").unlink()

    assert (paths(arrivals), arrivals.is_waiting) == ((), False)


def test_the_first_look_gives_what_is_whole_and_leaves_the_rest_for_later(arrivals: Arrivals) -> None:
    (arrivals.folder / "whole.png").write_bytes(PNG)
    (arrivals.folder / "half.png").write_bytes(PNG[:500])

    found = arrivals.first_look(1.0)

    assert found.paths == ("whole.png",)
    assert arrivals.is_waiting


def test_what_is_left_out_at_the_start_is_said_once(arrivals: Arrivals) -> None:
    (arrivals.folder / "whole.png").write_bytes(PNG)
    (arrivals.folder / "scan.tif").write_bytes(b"II*")
    (arrivals.folder / "zero.png").write_bytes(b"")
    (arrivals.folder / "Thumbs.db").write_bytes(b"x")

    said = [str(one) for one in arrivals.first_look(1.0).skipped]
    again = [str(one) for _ in range(5) for one in arrivals.look().skipped]

    assert sorted(line.partition(":")[0] for line in said) == ["Thumbs.db", "scan.tif", "zero.png"]
    assert again == []


def test_what_an_earlier_start_took_in_is_given_at_once(tmp_path: Path) -> None:
    (tmp_path / "cafe\u0301.png").write_bytes(b"changed meanwhile: that is for verify to say")
    arrivals = Arrivals(tmp_path, tmp_path / "out", trusted=frozenset({"caf\u00e9.png"}), sleep=lambda _: None)

    assert arrivals.first_look(1.0).paths == ("cafe\u0301.png",)


def test_an_image_waits_for_the_text_beside_it_and_not_for_ever(tmp_path: Path) -> None:
    arrivals = Arrivals(tmp_path, tmp_path / "out", has_companion=lambda path: path.with_suffix(".txt").exists())
    for name in ("a.png", "b.png"):
        (tmp_path / name).write_bytes(PNG)
    seen = [paths(arrivals) for _ in range(3)]
    (tmp_path / "a.txt").write_text("a fox")

    later = [one for _ in range(5) if (one := paths(arrivals))]

    assert (seen, later) == ([()] * 3, [("a.png",), ("b.png",)])


def test_a_folder_that_is_gone_is_an_error_that_may_pass(arrivals: Arrivals) -> None:
    (arrivals.folder / "a.png").write_bytes(PNG)
    arrivals.look()
    arrivals.folder.rename(arrivals.folder.with_name("away"))
    with pytest.raises(ConfigurationError, match="no such folder"):
        arrivals.look()
    arrivals.folder.with_name("away").rename(arrivals.folder)

    assert paths(arrivals) == ("a.png",)


@pytest.mark.parametrize(("form", "tells"), [("PNG", True), ("JPEG", True), ("WEBP", False)])
def test_the_end_of_a_file_tells_of_png_and_jpeg(tmp_path: Path, form: str, tells: bool) -> None:  # noqa: FBT001 - a table's cell
    data = encoded(form)
    (tmp_path / "whole").write_bytes(data)
    (tmp_path / "half").write_bytes(data[:-1])

    assert (has_end(tmp_path / "whole"), has_end(tmp_path / "half"), has_end(tmp_path / "none")) == (
        tells,
        False,
        False,
    )


@pytest.mark.parametrize("watch", [{"interval_s": 0}, {"idle_exit_s": -1}, {"idle_exit_s": float("nan")}])
def test_numbers_that_make_no_sense_are_refused(watch: dict[str, float]) -> None:
    with pytest.raises(ConfigurationError, match="give seconds of 0 and more"):
        Watch(**watch)
