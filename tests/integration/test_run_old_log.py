"""Plain lists that another program kept of what it had drawn over: taken in where the images are there and sound."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from PIL import Image

from sdclient.errors import ConfigurationError
from sdclient.oldlogs import read_old_log
from sdclient.run import Run
from sdclient.schemas import Img2Img
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.practice_lane import PracticeLane, quick

NAMES = ("it/a.png", "it/b.png", "gr/b.png", "gr/caf\u00e9.png", "gr/d,e.png")
TINY = ("--payload", "bake", "--set", "width=128", "--set", "height=128", "--set", "tiled=null")


def draw(path: Path, size: tuple[int, int] = (128, 128)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.effect_noise(size, 90).convert("RGB").save(path)
    return path


def hashes(folder: Path) -> dict[str, str]:
    files = (path for path in folder.rglob("*.png") if ".sdclient" not in path.parts)
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in NAMES:
        draw(tmp_path / "IN" / name)
    return tmp_path


def made(folder: Path, name: str, size: tuple[int, int] = (128, 128)) -> Path:
    return draw(folder / "OUT" / f"{name.removesuffix('.png')}_upscaled_1.png", size)


def new_run(folder: Path) -> Run:
    return Run(folder / "OUT", run_seed=1, lease_s=1, beat_s=0.1).add_folder(folder / "IN", Img2Img())


def test_what_is_listed_there_and_sound_counts_as_done_and_stays_as_it_is(folder: Path) -> None:
    for name in NAMES:
        made(folder, name)
    before = hashes(folder / "OUT")
    log = folder / "logfile_upscales.txt"
    log.write_bytes("\ufeffa.png\r\nb.png\r\n\r\nb.png\r\ncafe\u0301.png\r\nd,e.png\r\n".encode())
    run = new_run(folder)

    found = run.import_log(log)
    again = new_run(folder).import_log(log)

    assert len(found.imported) == 5
    assert (found.again, found.unlisted, found.unknown) == ({}, (), ())
    assert (again.imported, again.known) == ((), 5)
    assert run.status().counts.left == 0
    assert hashes(folder / "OUT") == before
    assert run.verify() == []
    rows = run.images()
    assert rows[["prompt", "seed", "server", "execute_s"]].replace("", None).isna().all().all()
    assert set(rows["sha256"]) == set(before.values())
    assert run.attempts()["message"].str.startswith("imported from logfile_upscales.txt").all()


def test_what_is_listed_and_no_good_is_made_again_and_kept_aside(folder: Path) -> None:
    made(folder, "it/a.png").write_bytes(made(folder, "it/a.png").read_bytes()[:200])
    made(folder, "it/b.png", (64, 64))
    made(folder, "gr/caf\u00e9.png")
    log = folder / "log.txt"
    log.write_text("a.png\nb.png\ncaf\u00e9.png\n", encoding="utf-8")
    run = new_run(folder)

    found = run.import_log(log)
    run.begin([PracticeLane()], settings=quick())
    result = run.wait()

    assert found.imported == ("gr/caf\u00e9_upscaled",)
    assert found.again == {
        "it/a_upscaled": "not a whole image",
        "it/b_upscaled": "64x64 pixels in place of 128x128",
        "gr/b_upscaled": "not there",
    }
    assert (result.counts.done, result.counts.set_aside) == (5, 0)
    kept = sorted(path.name for path in (run.folder.state / "replaced").glob("*/*"))
    assert kept == ["broken-a_upscaled_1.png", "broken-b_upscaled_1.png"]


def test_what_is_there_and_not_listed_is_never_replaced(folder: Path) -> None:
    made(folder, "it/a.png")
    foreign = made(folder, "it/b.png")
    data = foreign.read_bytes()
    log = folder / "log.txt"
    log.write_text("it/a.png\n", encoding="utf-8")
    run = new_run(folder)

    found = run.import_log(log)
    run.begin([PracticeLane()], settings=quick())
    result = run.wait()

    assert found.unlisted == ("it/b_upscaled",)
    assert foreign.read_bytes() == data
    assert (result.counts.done, result.counts.set_aside) == (4, 1)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("it/b.png", {"it/b_upscaled"}),
        ("C:\\share\\IN\\it\\b.png", {"it/b_upscaled"}),
        ("/Volumes/share/GENERATIONS/gr/b.png", {"gr/b_upscaled"}),
        ("B.PNG", {"it/b_upscaled", "gr/b_upscaled"}),
        ("a.png,512.3,40.1,77.5", {"it/a_upscaled"}),
        ('"d,e.png"', {"gr/d,e_upscaled"}),
    ],
)
def test_names_with_folders_name_one_image_and_plain_ones_all_of_that_name(
    folder: Path, line: str, expected: set[str]
) -> None:
    for name in NAMES:
        made(folder, name)
    (folder / "log.txt").write_text(f"{line}\nlost.png\n", encoding="utf-8")

    found = new_run(folder).import_log(folder / "log.txt")

    assert set(found.imported) == expected
    assert found.unknown == ("lost.png",)


def test_a_dry_look_writes_nothing(folder: Path) -> None:
    made(folder, "it/a.png")
    (folder / "log.txt").write_text("a.png\n", encoding="utf-8")

    found = new_run(folder).import_log(folder / "log.txt", is_dry=True)

    assert found.sentences() == ["would count as done (listed, there and sound): 1"]
    assert not (folder / "OUT" / ".sdclient").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"\xff\xfea\0", "give the plain list, a text in UTF-8"), (b"\r\n \n", "holds no names"),
     (b"lost.png\n", "names no image of this run; it begins with lost.png")],
    ids=["utf-16", "empty", "foreign"],
)  # fmt: skip
def test_a_list_that_is_none_is_refused(folder: Path, content: bytes, words: str) -> None:
    (folder / "log.txt").write_bytes(content)

    with pytest.raises(ConfigurationError, match=words):
        new_run(folder).import_log(folder / "log.txt")


def test_a_list_that_is_missing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        read_old_log(tmp_path / "none.txt")


def test_the_command_sends_only_what_the_old_program_left(
    cli: CommandLine, draw_things: Simulator, folder: Path
) -> None:
    for name in NAMES[:3]:
        made(folder, name)
    (folder / "log.txt").write_text("a.png\nb.png\n", encoding="utf-8")
    words = ("upscale", "IN", "OUT", *TINY, "--import-log", "log.txt", "--url", draw_things.url)

    dry = cli(*words, "--dry-run")
    first = cli(*words)
    again = cli(*words)
    page = cli("report", "OUT")

    assert (dry.code, first.code, again.code, page.code) == (0, 0, 0, 0), first.stderr
    assert "would count as done (listed, there and sound): 3" in dry.stderr
    assert "counted as done (listed, there and sound): 3" in first.stderr
    assert "counted as done (listed, there and sound): 0; 3 were before" in again.stderr
    assert sum(one.method == "POST" for one in draw_things.log) == 2
    assert "5 of 5 jobs done" in first.stderr
