"""The everyday commands and runs, as a person types them: real processes, real sockets, real files, real kills."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from sdclient.batch.folder import RunFolder
from sdclient.batch.log import read_attempts
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.practice_lane import plan_jobs

SMALL = ("--set", "width=128", "--set", "height=128", "--set", "tiled=null")


def fill(folder: Path, count: int, size: tuple[int, int] = (128, 128)) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.radial_gradient("L").resize(size).rotate(number).convert("RGB").save(folder / f"{number:02d}.png")


def posts(server: Simulator) -> int:
    return sum(one.method == "POST" for one in server.log)


def until(condition: Callable[[], bool], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def check_every_image_once(out: Path, expected: int) -> None:
    """Every job has one record, its file is there with the record's hash, and nothing else lies about."""
    records = [json.loads(path.read_bytes()) for path in (out / ".sdclient" / "done").glob("*/*/record.json")]
    files = {one["place"]: one["sha256"] for record in records for one in record["files"]}
    assert len(records) == len(files) == expected
    assert {path.relative_to(out).as_posix() for path in out.rglob("*.png") if ".sdclient" not in path.parts} == set(
        files
    )
    for place, sha256 in files.items():
        assert hashlib.sha256((out / place).read_bytes()).hexdigest() == sha256


def test_txt2img_saves_the_image_and_tells_its_seed(cli: CommandLine, draw_things: Simulator) -> None:
    payload = (
        "--payload",
        "sdxl-refiner-ultrasharp",
        "--set",
        "width=512",
        "--set",
        "height=512",
        "--set",
        "hires=null",
    )

    ended = cli("txt2img", "a red fox", *payload, "--seed", "7", "-o", "fox.png", "--json", "--url", draw_things.url)

    value = json.loads(ended.stdout)
    assert value["files"] == ["fox.png"]
    assert value["seeds"] == [7]
    text = parse_infotext(read_infotext((cli.folder / "fox.png").read_bytes()) or "")
    assert text.prompt == "a red fox"
    assert text.get_int("Seed") == 7
    assert "127.0.0.1" not in str(text)


def test_img2img_draws_over_a_file(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder, 1)

    ended = cli("img2img", "00.png", "--payload", "bake", *SMALL, "-o", "baked.png", "--url", draw_things.url)

    assert ended.code == 0, ended.stderr
    with Image.open(cli.folder / "baked.png") as baked:
        assert baked.size == (128, 128)


def test_generate_carries_columns_and_fields_of_a_csv(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "prompts.csv").write_text(
        'prompt,seed,name,mood\n"a fox, red",7,animals/fox,calm\na cat,,animals/cat,wild\n', encoding="utf-8"
    )

    ended = cli(
        "generate", "prompts.csv", "--out", "OUT", "--set", "inherit=true", *SMALL[:4], "--url", draw_things.url
    )

    assert ended.code == 0, ended.stderr
    with (cli.folder / "OUT" / "images.csv").open(encoding="utf-8", newline="") as stream:
        rows = {row["image"]: row for row in csv.DictReader(stream)}
    assert set(rows) == {"animals/fox_1.png", "animals/cat_1.png"}
    assert rows["animals/fox_1.png"]["seed"] == "7"
    assert rows["animals/cat_1.png"]["mood"] == "wild"


def test_the_same_command_again_sends_no_request(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder / "IN", 2)
    words = ("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", draw_things.url)
    first = cli(*words)
    sent = len(draw_things.log)

    again = cli(*words)

    assert (first.code, again.code) == (0, 0)
    assert posts(draw_things) == 2
    assert len(draw_things.log) == sent


def test_a_limit_begins_that_many_and_the_rest_next_time(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder / "IN", 3)
    words = ("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", draw_things.url)

    first = cli(*words, "--limit", "1")
    sent = posts(draw_things)
    rest = cli(*words)

    assert (first.code, sent, rest.code) == (0, 1, 0)
    check_every_image_once(cli.folder / "OUT", 3)


def test_a_dry_run_says_jobs_time_and_disk_and_sends_nothing(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder / "IN", 3)

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--dry-run", "--url", draw_things.url)

    assert ended.code == 0
    assert "3 jobs" in ended.stderr
    assert "disk" in ended.stderr
    assert posts(draw_things) == 0


def test_json_lines_tell_the_plan_every_event_and_the_end(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder / "IN", 2)

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--json", "--url", draw_things.url)

    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert events[0]["event"] == "planned"
    documented = (Path(__file__).parents[2] / "examples" / "progress.md").read_text(encoding="utf-8")
    assert [name for name in events[0] if f"`{name}`" not in documented] == []
    assert events[-1] == {"event": "ended", "jobs": 2, "done": 2, "failed": 0, "set_aside": 0, "claimed": 0, "waiting": 0,
                          "made": 2, "exit_code": 0}  # fmt: skip
    assert [one["images"] for one in events[1:-1] if one["event"] == "done"] == [1, 1]


@pytest.mark.skipif(sys.platform == "win32", reason="kill -9 is POSIX")
def test_kill_9_during_upscale_and_the_same_command_finishes_at_once(cli: CommandLine) -> None:
    fill(cli.folder / "IN", 8)
    with Simulator("drawthings", delay_s=0.3) as server:
        words = ("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", server.url)
        with cli.start(*words) as process:
            until(lambda: posts(server) >= 4)
            process.kill()
        began = time.monotonic()
        again = cli(*words)
        wall_s = time.monotonic() - began

    assert again.code == 0, again.stderr
    check_every_image_once(cli.folder / "OUT", 8)
    # At once: nothing like the 90 s lease is waited for.
    assert wall_s < 30
    assert posts(server) <= 8 + 2


def test_two_processes_on_one_folder_share_the_work(cli: CommandLine) -> None:
    fill(cli.folder / "IN", 12)
    with Simulator("drawthings", delay_s=0.25) as one, Simulator("drawthings", delay_s=0.25) as two:
        words = ("upscale", "IN", "OUT", "--payload", "bake", *SMALL)
        with cli.start(*words, "--url", one.url) as first, cli.start(*words, "--url", two.url) as second:
            codes = [first.wait(60), second.wait(60)]

    assert codes == [0, 0]
    check_every_image_once(cli.folder / "OUT", 12)
    logs = [
        path.read_text(encoding="utf-8").splitlines()[1:]
        for path in (cli.folder / "OUT" / ".sdclient" / "log").glob("*.csv")
    ]
    totals = sorted(sum(",done," in line for line in lines) for lines in logs)
    assert sum(totals) == 12
    assert totals[0] >= 2
    assert posts(one) + posts(two) == 12


def test_who_loses_a_run_to_another_in_its_place_says_what_was_done_and_offers_no_command_that_would_work_on_that(
    cli: CommandLine,
) -> None:
    fill(cli.folder / "IN", 24)
    words = ("upscale", "IN", "OUT", "--payload", "bake", *SMALL)
    with Simulator("drawthings", delay_s=0.3) as server, cli.start(*words, "--url", server.url) as process:
        until(lambda: len(list((cli.folder / "OUT").glob("*.png"))) >= 2)
        (cli.folder / "OUT").rename(cli.folder / "AWAY")
        plan_jobs(RunFolder.create(cli.folder / "OUT"), ["a", "b"])
        _, stderr = process.communicate(timeout=60)

    assert process.returncode == 2
    ended = re.search(r"was removed or moved; when it was last seen: (\d+) of 24 jobs done, (\d+) of them now", stderr)
    assert ended is not None, stderr
    assert int(ended[1]) == int(ended[2]) >= 2
    assert not re.search("set aside|retry|same command|join|Traceback", stderr)
    assert {row["status"] for row in read_attempts(RunFolder.open(cli.folder / "AWAY"))[0]} == {"done"}


def test_several_urls_are_several_loops_in_one_process(cli: CommandLine) -> None:
    fill(cli.folder / "IN", 8)
    with Simulator("drawthings", delay_s=0.25) as one, Simulator("drawthings", delay_s=0.25) as two:
        ended = cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", one.url, "--url", two.url)

    assert ended.code == 0, ended.stderr
    assert posts(one) + posts(two) == 8
    assert min(posts(one), posts(two)) >= 2
    check_every_image_once(cli.folder / "OUT", 8)


def test_join_takes_part_without_typing_anything_again(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder / "IN", 3)
    cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--limit", "1", "--url", draw_things.url)

    ended = cli("join", "OUT", "--url", draw_things.url)

    assert ended.code == 0, ended.stderr
    check_every_image_once(cli.folder / "OUT", 3)


def test_join_finds_the_inputs_where_this_machine_has_them(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder / "IN", 2)
    cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--limit", "0", "--url", draw_things.url)
    (cli.folder / "IN").rename(cli.folder / "ELSEWHERE")

    ended = cli("join", "OUT", "--in", "ELSEWHERE", "--url", draw_things.url)

    assert ended.code == 0, ended.stderr
    check_every_image_once(cli.folder / "OUT", 2)


def test_segment_cuts_out_every_object_and_says_who_did_it(cli: CommandLine, draw_things: Simulator) -> None:
    cli("txt2img", "an Italian family", "--inherit", "-o", "IN/scene.png", "--set", "width=512", "--set", "height=512",
        "--url", draw_things.url)  # fmt: skip

    ended = cli("segment", "IN", "OUT", "--model", "classical")

    assert ended.code == 0, ended.stderr
    value = json.loads((cli.folder / "OUT" / "scene" / "objects.json").read_text(encoding="utf-8"))
    assert value["segmenter"]["name"] == "classical"
    assert len(value["objects"]) >= 3
    for one in value["objects"]:
        with Image.open(cli.folder / "OUT" / "scene" / one["file"]) as cutout:
            assert (cutout.mode, cutout.size) == ("RGBA", (value["image"]["width"], value["image"]["height"]))


def test_segment_without_a_model_says_what_can_be_said(cli: CommandLine) -> None:
    fill(cli.folder / "IN", 1)

    ended = cli("segment", "IN", "OUT")

    assert ended.code == 2
    assert "--model" in ended.stderr


def test_no_output_folder_holds_an_address_or_a_password(cli: CommandLine) -> None:
    fill(cli.folder / "IN", 1)
    with Simulator("a1111", auth=("me", "s3cret-word")) as server:
        url = server.url.replace("//", "//me:s3cret-word@")
        ended = cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", url)

    assert ended.code == 0, ended.stderr
    held = b"".join(path.read_bytes() for path in (cli.folder / "OUT").rglob("*") if path.is_file())
    assert b"s3cret-word" not in held
    assert b"http://127" not in held


def test_status_counts_add_up(cli: CommandLine, draw_things: Simulator) -> None:
    fill(cli.folder / "IN", 3)
    cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--limit", "1", "--url", draw_things.url)

    value = json.loads(cli("status", "OUT", "--json").stdout)

    assert value["jobs"] == 3
    assert value["done"] == 1
    assert value["jobs"] == sum(value[name] for name in ("done", "failed", "set_aside", "claimed", "waiting"))


def test_a_table_of_the_users_own_in_the_output_folder_is_left(cli: CommandLine, draw_things: Simulator) -> None:
    table = cli.folder / "OUT" / "images.csv"
    table.parent.mkdir()
    table.write_text("prompt,note\na fox,mine\nan owl,mine too\n")
    words = ("generate", "OUT/images.csv", "--out", "OUT", "--url", draw_things.url, "--set", "inherit=true", *SMALL)

    first = cli(*words, "--limit", "1")
    again = cli(*words)

    assert (first.code, again.code) == (0, 0), first.stderr + again.stderr
    assert "images.csv: was not written by sdclient, and is left as it is; rename it" in again.stderr
    assert table.read_text() == "prompt,note\na fox,mine\nan owl,mine too\n"
    assert len(list(table.parent.glob("*.png"))) == 2


def test_programs_are_told_as_people_are_what_could_not_be_written_at_the_end(
    cli: CommandLine, draw_things: Simulator
) -> None:
    table = cli.folder / "OUT" / "images.csv"
    table.parent.mkdir()
    table.write_text("prompt\na fox\n")
    words = ("generate", "OUT/images.csv", "--out", "OUT", "--url", draw_things.url, "--set", "inherit=true", *SMALL)

    ended = cli(*words, "--json")

    events = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["event"] for one in events[-2:]] == ["remark", "ended"]
    assert "images.csv: was not written by sdclient" in events[-2]["message"]


@pytest.mark.parametrize("name", ["report.html", "metadata.jsonl"])
def test_a_report_leaves_files_of_the_users_own(cli: CommandLine, draw_things: Simulator, name: str) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n")
    words = ("generate", "prompts.txt", "--out", "OUT", "--url", draw_things.url, "--set", "inherit=true", *SMALL)
    assert cli(*words).code == 0
    (cli.folder / "OUT" / name).write_text('{"file_name": "fox.png", "text": "mine"}\n')

    ended = cli("report", "OUT")

    assert f"{name}: was not written by sdclient, and is left as it is; rename it" in ended.stdout + ended.stderr
    assert (cli.folder / "OUT" / name).read_text() == '{"file_name": "fox.png", "text": "mine"}\n'
    assert cli("report", "OUT").code == ended.code == (0 if name == "metadata.jsonl" else 2)
