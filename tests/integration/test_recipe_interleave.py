"""``sdclient interleave`` as a process of its own, on simulated servers."""

from __future__ import annotations

import base64
import csv
import json
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import cast

import pytest

from sdclient.simulator import Exchange, Simulator
from tests.conftest import CommandLine

SMALL = ("--set", "width=128", "--set", "height=128", "--set", "steps=4")
EPISODES = "Season1\nThe keeper\nA storm\nThe harbour\nSeason2\nA canal\nA fox\n"
CONFIG = """
[prompt_config]
source = "s.txt"
key = "series"
max_chapters = 2
[generation_config]
{generation}
[[style_configs]]
style = "photograph of nature"
file_tag = "nature"
weight = 0.9
[[style_configs]]
style = "charcoal"
file_tag = "charcoal"
weight = {weight}
"""
FOLDER = "OUT/series/progresive/nature charcoal"


def write(cli: CommandLine, generation: str = "", weight: str = "0.1", source: str = EPISODES) -> None:
    (cli.folder / "s.txt").write_text(source, encoding="utf-8")
    (cli.folder / "c.toml").write_text(CONFIG.format(generation=generation, weight=weight), encoding="utf-8")


def posts(server: Simulator) -> list[Exchange]:
    return [one for one in server.log if one.method == "POST"]


def bodies(server: Simulator, kind: str) -> list[dict[str, object]]:
    return [cast("dict[str, object]", one.body) for one in posts(server) if one.path.endswith(kind)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_whole_series_is_drawn_in_chains_with_a_grid_for_each_chapter_and_style(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    assert ended.code == 0, ended.stderr
    assert names(cli.folder / FOLDER) == [
        *("charcoal 0-0_1.png", "charcoal 0-1_1.png", "charcoal 0-2_1.png", "charcoal 1-0_1.png"),
        *("charcoal 1-1_1.png", "charcoal grid-0.png", "charcoal grid-1.png"),
        *("nature 0-0_1.png", "nature 0-1_1.png", "nature 0-2_1.png", "nature 1-0_1.png", "nature 1-1_1.png"),
        *("nature grid-0.png", "nature grid-1.png"),
    ]
    assert ended.stdout.splitlines()[0] == f"{FOLDER}/nature grid-0.png"
    assert len(bodies(draw_things, "txt2img")) == 4
    assert len(bodies(draw_things, "img2img")) == 6
    with (cli.folder / "OUT/images.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {(row["chapter"], row["entry"], row["style"]) for row in rows} >= {
        ("0", "2", "charcoal"),
        ("1", "1", "nature"),
    }
    assert all(row["seed"] for row in rows)


def test_each_image_is_drawn_over_the_bytes_of_the_one_before_with_the_weight_as_strength(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli, "interleave = true")

    cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    sent = {str(body["prompt"]): body for body in bodies(draw_things, "img2img")}
    body = sent["A storm charcoal"]
    before = (cli.folder / FOLDER / "nature 0-0_1.png").read_bytes()
    assert base64.b64decode(cast("list[str]", body["init_images"])[0]) == before
    assert body["strength"] == 0.1
    assert sent["A storm photograph of nature"]["strength"] == 0.9


def test_the_same_command_again_sends_nothing(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)
    before = len(posts(draw_things))

    ended = cli("interleave", "c.toml", "--out", "OUT", *SMALL)

    assert ended.code == 0
    assert len(posts(draw_things)) == before
    assert "10 of 10 jobs done" in ended.stderr


def test_a_chain_goes_on_in_the_middle(cli: CommandLine, draw_things: Simulator) -> None:
    """The original had no way to resume."""
    write(cli)
    first = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, "--limit", "6", *SMALL)

    second = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    assert "images are still missing" in first.stderr
    assert second.code == 0
    assert len(posts(draw_things)) == 10
    assert len({str(one.body) for one in posts(draw_things)}) == 10


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
def test_ctrl_c_finishes_what_runs_and_the_same_command_goes_on(cli: CommandLine) -> None:
    write(cli)
    with Simulator("drawthings", delay_s=0.3) as server:
        arguments = ("interleave", "c.toml", "--out", "OUT", "--url", server.url, "--json", *SMALL)
        with cli.start(*arguments) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line)["event"] == "done":
                    process.send_signal(signal.SIGINT)
                    break
            process.communicate(timeout=60)
        stopped = process.returncode
        ended = cli(*arguments)

        assert stopped == 130
        assert ended.code == 0
        assert len(posts(server)) == 10


def test_chapters_are_shared_out_between_servers(cli: CommandLine) -> None:
    write(cli)
    with Simulator("drawthings", delay_s=0.1) as one, Simulator("drawthings", delay_s=0.1) as two:
        ended = cli("interleave", "c.toml", "--out", "OUT", "--url", one.url, "--url", two.url, *SMALL)

        assert ended.code == 0
        assert len(posts(one)) + len(posts(two)) == 10
        assert posts(one)
        assert posts(two)


def test_two_chapters_are_drawn_on_two_servers_at_the_same_time(cli: CommandLine) -> None:
    """Within a chapter each image waits for the one before: with one style, what runs at once is of two chapters."""
    write(cli, source="Season1\nA\nB\nSeason2\nC\nD\n")
    config = (cli.folder / "c.toml").read_text(encoding="utf-8")
    (cli.folder / "c.toml").write_text(config.rpartition("[[style_configs]]")[0], encoding="utf-8")
    with Simulator("drawthings", delay_s=1.5) as one, Simulator("drawthings", delay_s=1.5) as two:
        ended = cli("interleave", "c.toml", "--out", "OUT", "--url", one.url, "--url", two.url, *SMALL)

    at_once = {
        (prompt(here)[0], prompt(there)[0])
        for here in posts(one)
        for there in posts(two)
        if here.started_s < there.ended_s and there.started_s < here.ended_s
    }
    assert ended.code == 0
    assert len(posts(one)) + len(posts(two)) == 4
    assert at_once
    assert not at_once & {("A", "B"), ("B", "A"), ("C", "D"), ("D", "C")}


def prompt(exchange: Exchange) -> str:
    return str(cast("dict[str, object]", exchange.body)["prompt"])


def test_weight_zero_leaves_the_image_as_it_is_and_sends_no_request(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli, "interleave = false", weight="0")

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    assert ended.code == 0
    assert "charcoal: weight 0: its image is handed on unchanged, no request is sent" in ended.stderr
    folder = cli.folder / FOLDER
    assert (folder / "charcoal 0-2_1.png").read_bytes() == (folder / "charcoal 0-0_1.png").read_bytes()
    assert not [body for body in bodies(draw_things, "img2img") if "charcoal" in str(body["prompt"])]
    assert (folder / "charcoal grid-0.png").is_file()


def test_eta_reaches_a1111_with_ddim_and_is_a_loss_on_draw_things(
    cli: CommandLine, draw_things: Simulator, a1111: Simulator
) -> None:
    """The original's documentation said that eta does something: it is DDIM's noise."""
    write(cli, "eta = 0.2")

    apple = cli("interleave", "c.toml", "--out", "ONE", "--url", draw_things.url, "--limit", "1", *SMALL)
    cli("interleave", "c.toml", "--out", "TWO", "--url", a1111.url, *SMALL)

    assert apple.stderr.count("Draw Things has no eta") == 1
    assert "img2img, txt2img on " in apple.stderr
    first = bodies(a1111, "txt2img")[0]
    assert (first["eta"], first["sampler_name"], first["cfg_scale"]) == (0.2, "DDIM", 7.5)
    assert len(bodies(a1111, "img2img")) == 6


def test_no_command_of_a_configuration_is_ever_run(cli: CommandLine, draw_things: Simulator) -> None:
    """The original ran preview_stop, and made its folder, through a shell."""
    write(cli, "preview = true\npreview_max_windows = 3\npreview_stop = 'touch RAN'")

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    assert ended.code == 0
    assert "preview_stop: a configuration runs no commands here" in ended.stderr
    assert not (cli.folder / "RAN").exists()
    page = (cli.folder / "OUT/preview.html").read_text(encoding="utf-8")
    assert page.count("<figure>") == 3
    assert "http-equiv" not in page


def test_a_page_that_has_the_previews_name_is_left_as_it_is(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli, "preview = true")
    (cli.folder / "OUT").mkdir()
    (cli.folder / "OUT/preview.html").write_bytes(b"<title>mine</title>")

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, "--limit", "1", *SMALL)

    assert ended.code == 0
    assert "note: no preview: " in ended.stderr
    assert "preview.html: was not written by sdclient, and is left as it is; rename it" in ended.stderr
    assert (cli.folder / "OUT/preview.html").read_bytes() == b"<title>mine</title>"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
def test_the_preview_is_opened_where_a_person_looks_on(
    cli: CommandLine, draw_things: Simulator, tmp_path: Path
) -> None:
    write(cli, "preview = true")
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\nprintf %s "$1" > "{tmp_path}/opened"\n')
    browser.chmod(0o755)
    cli.env["BROWSER"] = f"{browser} %s"
    import os

    leader, follower = os.openpty()
    reader = threading.Thread(target=_drain, args=(leader,), daemon=True)
    reader.start()
    command = [
        sys.executable,
        "-m",
        "sdclient",
        "interleave",
        "c.toml",
        "--out",
        "OUT",
        "--url",
        draw_things.url,
        *SMALL,
    ]

    code = subprocess.run(command, cwd=cli.folder, env=cli._env(), stderr=follower, check=False, timeout=120).returncode

    os.close(follower)
    assert code == 0
    assert (tmp_path / "opened").read_text() == (cli.folder / "OUT/preview.html").resolve().as_uri()


def _drain(leader: int) -> None:
    import os

    try:
        while os.read(leader, 4096):
            pass
    except OSError:
        pass


def test_without_individual_images_only_grids_lie_in_the_folder(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli, "save_individual = false")

    cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    assert names(cli.folder / FOLDER) == [
        *("charcoal grid-0.png", "charcoal grid-1.png", "nature grid-0.png", "nature grid-1.png", "steps"),
    ]
    assert len(names(cli.folder / FOLDER / "steps")) == 10


def test_grids_are_built_again_without_a_server(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)
    grid = cli.folder / FOLDER / "nature grid-0.png"
    before = grid.read_bytes()
    grid.unlink()
    draw_things.stop()

    ended = cli("interleave", "c.toml", "--out", "OUT", "--documents-only", "--json")

    assert ended.code == 0
    assert grid.read_bytes() == before
    assert len(json.loads(ended.stdout)["files"]) == 4


def test_a_grid_that_was_cut_off_or_edited_is_built_again_and_kept_aside(
    cli: CommandLine, draw_things: Simulator
) -> None:
    write(cli)
    cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)
    cut, edited = (cli.folder / FOLDER / f"nature grid-{chapter}.png" for chapter in (0, 1))
    before = [cut.read_bytes(), edited.read_bytes()]
    changed = [before[0][:-1000], before[1] + b"mine"]
    cut.write_bytes(changed[0])
    edited.write_bytes(changed[1])

    ended = cli("interleave", "c.toml", "--out", "OUT", "--documents-only")

    assert ended.code == 0
    assert [cut.read_bytes(), edited.read_bytes()] == before
    assert [path.with_stem(f"{path.stem}~1").read_bytes() for path in (cut, edited)] == changed
    assert (
        "nature grid-0.png was changed by hand since it was made; that one is kept as nature grid-0~1.png"
        in ended.stderr
    )


@pytest.mark.parametrize(
    "change",
    [{"weight": "0.7"}, {"weight": "0"}, {"generation": "interleave = false"}],
    ids=["weight", "weight 0", "no chains"],
)
def test_another_configuration_for_the_same_folder_is_refused_and_nothing_is_lost(
    cli: CommandLine, draw_things: Simulator, change: dict[str, str]
) -> None:
    write(cli)
    cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)
    before = names(cli.folder / FOLDER)
    write(cli, **change)

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    assert ended.code == 2
    assert "planned otherwise in this folder" in ended.stderr
    assert names(cli.folder / FOLDER) == before


def test_another_seed_for_images_that_are_planned_is_refused(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)
    command = ("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, "--limit", "1", *SMALL)
    cli(*command, "--seed", "3")

    ended = cli(*command, "--seed", "4")

    assert ended.code == 2
    assert "OUT: was begun with --seed 3, which does not change; leave --seed out" in ended.stderr


@pytest.mark.parametrize(
    ("generation", "source", "said"),
    [
        pytest.param("", "no header here\n", "matches nowhere", id="chapter regex that never matches"),
        pytest.param("", "", "the source is empty", id="empty source"),
        pytest.param("num_inference_steps = 200", EPISODES, "less than or equal to 150", id="steps"),
        pytest.param("progressiv = true", EPISODES, "did you mean", id="unknown key"),
    ],
)
def test_bad_input_is_one_message_and_makes_no_folder(
    cli: CommandLine, generation: str, source: str, said: str
) -> None:
    write(cli, generation, source=source)

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert said in ended.stderr
    assert len(ended.stderr.strip().splitlines()) == 1
    assert not (cli.folder / "OUT").exists()


@pytest.mark.slow  # it waits for the 10 seconds to pass
def test_catastrophic_backtracking_is_bounded_and_said(cli: CommandLine) -> None:
    write(cli, source="Season1\n" + "a" * 60 + "!\n")
    config = (cli.folder / "c.toml").read_text().replace('key = "series"', "key = 'x'\nprompt_split_regex = '(a+)+$'")
    (cli.folder / "c.toml").write_text(config)

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", "http://127.0.0.1:1", timeout_s=60)

    assert ended.code == 2
    assert "took longer than 10 s and was ended; write them without repeats inside repeats" in ended.stderr


def test_no_server_is_said_and_the_plan_waits(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli)

    lost = cli("interleave", "c.toml", "--out", "OUT", "--url", "http://127.0.0.1:1", *SMALL)
    found = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, *SMALL)

    assert lost.code == 3
    assert found.code == 0


def test_a_dry_run_asks_for_no_image(cli: CommandLine, draw_things: Simulator) -> None:
    write(cli, "preview = true")

    ended = cli("interleave", "c.toml", "--out", "OUT", "--url", draw_things.url, "--dry-run", *SMALL)

    assert ended.code == 0
    assert "10 jobs, 0 done, 10 to do" in ended.stderr
    assert not posts(draw_things)
    assert not (cli.folder / "OUT/preview.html").exists()


def test_the_example_runs_on_a_simulated_server_and_prints_what_it_made(cli: CommandLine) -> None:
    example = Path(__file__).parents[2] / "examples/interleave.py"

    done = subprocess.run(
        [sys.executable, str(example), "--out", str(cli.folder / "OUT")],
        env=cli._env(),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("14 images, 4 grids:\n")
    assert len(example.read_text(encoding="utf-8").splitlines()) <= 60
