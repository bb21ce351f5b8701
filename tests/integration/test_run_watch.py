"""A folder that is watched while a run works: threads and processes, real files."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sdclient.batch.events import Event
from sdclient.planning import Watch
from sdclient.run import Run
from sdclient.schemas import Img2Img
from sdclient.segment import Prompt, SegmentSettings
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.practice_lane import PracticeLane, quick

QUICK = Watch(idle_exit_s=0.4, interval_s=0.02)
TINY = ("--payload", "bake", "--set", "width=128", "--set", "height=128", "--set", "tiled=null")


def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def put(path: Path, shade: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}")
    Image.linear_gradient("L").resize((128, 128)).point(lambda value: (value + shade) % 256).save(part, "PNG")
    return part.rename(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "IN"
    folder.mkdir()
    return folder


def new_run(tmp_path: Path) -> Run:
    return Run(tmp_path / "out", run_seed=1, lease_s=1, beat_s=0.1)


def test_images_that_appear_are_done_and_the_run_ends_when_nothing_comes(tmp_path: Path, source: Path) -> None:
    put(source / "first.png")
    run = new_run(tmp_path).add_folder(source, Img2Img(), watch=QUICK)
    lane = PracticeLane()
    planned = len(run.jobs())
    run.begin([lane], settings=quick(scan_s=60))
    until(lambda: len(lane.executed) == 1)
    put(source / "later.png", 1)
    put(source / "sub" / "last.png", 2)

    result = run.wait()

    assert planned == 1
    assert (result.counts.done, result.counts.left) == (3, 0)
    assert sorted(lane.executed) == ["first_upscaled", "later_upscaled", "sub/last_upscaled"]


def test_an_empty_folder_may_be_watched_and_the_same_again_goes_on(tmp_path: Path, source: Path) -> None:
    for name in ("a", "b"):
        run = new_run(tmp_path).add_folder(source, Img2Img(), watch=QUICK)
        run.begin([PracticeLane()], settings=quick())
        put(source / f"{name}.png")
        result = run.wait()

    assert result.counts.done == 2
    assert result.made == 1


def test_what_is_left_out_as_it_appears_is_not_said_again_by_the_next_start(tmp_path: Path, source: Path) -> None:
    run = new_run(tmp_path).add_folder(source, Img2Img(), watch=QUICK)
    told: list[str] = []
    put(source / "a.png")
    run.begin([PracticeLane()], settings=quick(), listener=lambda event: told.append(event.message))
    (source / "notes.png").touch()
    until(lambda: any("notes.png" in text for text in told))
    run.wait()

    again = Run(tmp_path / "out").add_folder(source, Img2Img())

    assert not any("notes.png" in text for text in again.skipped)


def test_it_goes_on_until_it_is_stopped(tmp_path: Path, source: Path) -> None:
    run = new_run(tmp_path).add_folder(source, Img2Img(), watch=Watch(interval_s=0.02))
    lane = PracticeLane()
    run.begin([lane], settings=quick())
    put(source / "a.png")
    until(lambda: lane.executed == ["a_upscaled"])
    run.stop()

    assert run.wait().counts.done == 1


def test_time_without_new_images_does_not_count_while_there_is_work(tmp_path: Path, source: Path) -> None:
    put(source / "a.png")
    run = new_run(tmp_path).add_folder(source, Img2Img(), watch=Watch(idle_exit_s=0.05, interval_s=0.02))
    lane = PracticeLane(delay_s=0.5)
    run.begin([lane], settings=quick())
    lane.running.wait(5)
    put(source / "b.png", 1)

    assert run.wait().counts.done == 2


def test_another_worker_waits_along_and_shares_what_comes(tmp_path: Path, source: Path) -> None:
    watching = new_run(tmp_path).add_folder(source, Img2Img(), watch=Watch(idle_exit_s=1.0, interval_s=0.02))
    lanes = [PracticeLane(delay_s=0.1), PracticeLane(delay_s=0.1)]
    watching.begin([lanes[0]], settings=quick())
    until(lambda: bool(watching.folder.read_plan) and any((watching.folder.state / "beats").iterdir()))
    joining = Run.open(tmp_path / "out")
    awaited = joining.awaited_kinds()
    joining.begin([lanes[1]], settings=quick())
    for number in range(8):
        put(source / f"{number}.png", number)

    results = [watching.wait(), joining.wait()]

    assert awaited == {"img2img"}
    assert results[0].counts.done == 8
    assert min(len(lane.executed) for lane in lanes) > 0
    assert sum(result.made for result in results) == 8


def test_an_image_in_the_way_of_another_is_said_and_the_others_go_on(tmp_path: Path, source: Path) -> None:
    put(source / "a.png")
    run = new_run(tmp_path).add_folder(source, Img2Img(), watch=QUICK)
    told: list[Event] = []
    run.begin([PracticeLane()], settings=quick(), listener=told.append)
    put(source / "A.PNG")
    put(source / "b.png")
    result = run.wait()

    remarks = [one.message for one in told if one.name == "remark"]
    assert result.counts.done == 2
    assert len(remarks) == 1
    assert "was planned for ../IN/a.png in this folder, and ../IN/A.PNG would be written under this name" in remarks[0]


def test_a_folder_that_goes_away_and_comes_back_is_said_once_and_watched_on(tmp_path: Path, source: Path) -> None:
    run = new_run(tmp_path).add_folder(source, Img2Img(), watch=Watch(interval_s=0.02))
    told: list[Event] = []
    run.begin([PracticeLane()], settings=quick(), listener=told.append)
    source.rename(tmp_path / "away")
    until(lambda: any("nothing can be taken in for now" in one.message for one in told))
    (tmp_path / "away").rename(source)
    put(source / "a.png")
    until(lambda: any(one.name == "done" for one in told))
    run.stop()

    run.wait()

    assert sum("nothing can be taken in" in one.message for one in told) == 1


def test_what_follows_each_image_is_planned_with_it(tmp_path: Path, source: Path) -> None:
    run = new_run(tmp_path).add_folder(source, Img2Img(), watch=QUICK)
    run.add_cutouts_of_outputs(SegmentSettings(model="classical"))
    run.begin([PracticeLane()], settings=quick())
    put(source / "a.png")

    run.wait()

    assert [job.place for job in run.jobs()] == ["a_upscaled", "cutouts/a_upscaled_1"]


def test_boxes_may_be_given_for_images_that_have_not_come_yet(tmp_path: Path, source: Path) -> None:
    boxes = {name: (Prompt(box_xywh=(8, 8, 32, 32)),) for name in ("first.png", "later.png", "never.png")}
    put(source / "first.png")
    run = new_run(tmp_path).add_cutouts(source, SegmentSettings(model="classical"), prompts=boxes, watch=QUICK)
    run.begin([PracticeLane()], settings=quick())
    put(source / "later.png")
    put(source / "unasked.png")

    run.wait()

    assert [job.place for job in run.jobs()] == ["first", "later"]


def test_words_beside_images_that_appear_are_taken_along(tmp_path: Path, source: Path) -> None:
    run = new_run(tmp_path).add_folder(source, Img2Img(), prompts="sidecar", watch=QUICK)
    run.begin([PracticeLane()], settings=quick())
    (source / "a.txt").write_text("a fox")
    put(source / "a.png")

    run.wait()

    assert [dict(job.changes) for job in run.jobs()] == [{"prompt": "a fox"}]


def test_the_command_waits_for_the_second_half_of_a_file_and_ends_on_ctrl_c(
    cli: CommandLine, draw_things: Simulator
) -> None:
    source = cli.folder / "IN"
    data = put(cli.folder / "a.png").read_bytes()
    source.mkdir()
    done = cli.folder / "OUT" / "a_upscaled_1.png"
    with cli.start("upscale", "IN", "OUT", *TINY, "--watch", "--url", draw_things.url) as process:
        with (source / "a.png").open("wb") as file:
            file.write(data[:300])
            file.flush()
            until((cli.folder / "OUT" / ".sdclient" / "run.json").exists)
            until(lambda: any(one.path.endswith("options") or one.method == "GET" for one in draw_things.log))
            file.write(data[300:])
        until(done.exists)
        process.send_signal(signal.SIGINT)
        _, talk = process.communicate(timeout=30)

    assert process.returncode == 130
    assert "watching IN: images are taken in as they become complete, until Ctrl-C" in talk
    assert "1 of 1 job done" in talk
    assert sum(one.method == "POST" for one in draw_things.log) == 1


def test_cutting_out_watches_too_and_ends_by_itself(cli: CommandLine) -> None:
    (cli.folder / "IN").mkdir()
    words = ("segment", "IN", "OUT", "--model", "classical", "--watch", "--idle-exit", "1")
    with cli.start(*words) as process:
        until((cli.folder / "OUT" / ".sdclient" / "run.json").exists)
        put(cli.folder / "IN" / "a.png")
        _, talk = process.communicate(timeout=60)

    assert process.returncode == 0, talk
    assert "1 of 1 job done" in talk


def test_an_idle_exit_without_a_watch_is_refused(cli: CommandLine) -> None:
    put(cli.folder / "IN" / "a.png")

    ended = cli("upscale", "IN", "OUT", *TINY, "--idle-exit", "3")

    assert ended.code == 2
    assert "--idle-exit says when --watch ends: give both" in ended.stderr


def test_a_dry_run_of_a_watch_says_what_is_there_and_writes_nothing(cli: CommandLine, draw_things: Simulator) -> None:
    put(cli.folder / "IN" / "a.png")

    ended = cli("upscale", "IN", "OUT", *TINY, "--watch", "--dry-run", "--url", draw_things.url)

    assert ended.code == 0, ended.stderr
    assert "1 job, 0 done, 1 to do" in ended.stderr
    assert not (cli.folder / "OUT").exists()
