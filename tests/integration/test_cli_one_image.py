"""One image on a terminal: the steps where they are told, the time where not, and what Ctrl-C can do."""

from __future__ import annotations

import base64
import io
import json
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from PIL import Image

from sdclient.images import read_size
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.integration.terminal import Terminal

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
SMALL = ("txt2img", "a fox", "--inherit", "--set", "width=128", "--set", "height=128", "--steps", "20")
WIDE = {"prompt": "a fox", "width": 256, "height": 128, "inherit": True}


def test_the_steps_are_shown_where_the_server_tells_them(cli: CommandLine) -> None:
    with Simulator("a1111", delay_s=2) as server, Terminal(cli, *SMALL, "--url", server.url, columns=100) as terminal:
        terminal.until("/20 [00:0")
        terminal.until("image.png  128x128")

        assert terminal.ended() == 0


def test_the_time_goes_on_where_the_server_tells_nothing(cli: CommandLine) -> None:
    with (
        Simulator("drawthings", delay_s=30) as server,
        Terminal(cli, *SMALL, "--url", server.url, columns=100) as terminal,
    ):
        terminal.until("painting [00:01]")
        assert "%" not in terminal.shown
        terminal.press_ctrl_c("Draw Things cannot be interrupted: what it has begun it draws to its end")

        assert terminal.ended() == 130


def test_ctrl_c_says_that_a_server_which_does_not_tell_whose_image_it_draws_goes_on(cli: CommandLine) -> None:
    with (
        Simulator("sdnext", delay_s=30) as server,
        Terminal(cli, *SMALL, "--url", server.url, columns=160) as terminal,
    ):
        terminal.until("/20 [00:0")
        terminal.press_ctrl_c("SD.Next does not tell whose image it draws")

        assert terminal.ended() == 130


def test_ctrl_c_says_that_an_image_which_waits_behind_anothers_stays_in_the_queue(cli: CommandLine) -> None:
    with Simulator("a1111", delay_s=30) as server, ThreadPoolExecutor(1) as pool:
        body = {"prompt": "a hare", "width": 64, "height": 64, "steps": 2}
        other = pool.submit(requests.post, f"{server.url}/sdapi/v1/txt2img", json=body, timeout=60)
        with Terminal(cli, *SMALL, "--url", server.url, columns=160) as terminal:
            while not requests.get(f"{server.url}/internal/pending-tasks", timeout=10).json()["size"]:
                time.sleep(0.05)
            terminal.press_ctrl_c("the server still has it in its queue")

            assert terminal.ended() == 130
        requests.post(f"{server.url}/sdapi/v1/interrupt", timeout=10)
        other.result(timeout=60)


def test_a_dry_run_says_which_files_may_be_missing_without_a_word(cli: CommandLine) -> None:
    payload = ("--payload", "sdxl-refiner-ultrasharp")
    with Simulator("drawthings") as server:
        ended = cli("txt2img", "a fox", *payload, "--dry-run", "--url", server.url)
        posts = [one for one in server.log if one.method == "POST"]
    with Simulator("a1111") as server:
        known = cli("txt2img", "a fox", *payload, "--dry-run", "--url", server.url)

    assert (ended.code, posts) == (0, [])
    assert "it may draw without one it lacks and not say so" in ended.stderr
    assert "sd_xl_refiner_1.0_f16.ckpt (refiner.model)" in ended.stderr
    assert known.stderr == "AUTOMATIC1111: everything is done as asked.\n"


def test_strict_turns_a_loss_into_a_refusal_before_anything_is_drawn(cli: CommandLine) -> None:
    with Simulator("sdnext") as server:
        ended = cli("txt2img", "a fox", "--payload", "sdxl-refiner-ultrasharp", "--strict", "--url", server.url)
        posts = [one for one in server.log if one.method == "POST"]

    assert (ended.code, posts) == (2, [])
    assert "nothing was sent:\n  refiner: SD.Next chooses its refiner" in ended.stderr
    assert not list(cli.folder.glob("*.png"))


def test_an_image_is_resized_by_the_server_where_the_payload_says_how(cli: CommandLine) -> None:
    (cli.folder / "mine.json").write_text(json.dumps({"kind": "img2img", "request": {**WIDE, "resize_mode": 1}}))
    Image.new("RGB", (96, 96)).save(cli.folder / "square.png")
    with Simulator("a1111") as server:
        ended = cli("img2img", "square.png", "--payload", "mine.json", "--url", server.url, "-o", "out.png")
        body = server.log[-1].body

    assert ended.code == 0, ended.stderr
    assert (body["width"], body["height"], body["resize_mode"]) == (256, 128, 1)
    assert Image.open(io.BytesIO(base64.b64decode(body["init_images"][0]))).size == (96, 96)
    assert read_size(cli.folder / "out.png") == (256, 128)


def test_a_size_that_gives_way_to_the_shape_of_the_image_is_said_and_refused_under_strict(cli: CommandLine) -> None:
    (cli.folder / "mine.json").write_text(json.dumps({"kind": "img2img", "request": WIDE}))
    Image.new("RGB", (96, 96)).save(cli.folder / "square.png")
    args = ("img2img", "square.png", "--payload", "mine.json", "-o", "out.png")
    with Simulator("a1111") as server:
        refused = cli(*args, "--strict", "--url", server.url)
        drawn = cli(*args, "--url", server.url)

    assert (refused.code, drawn.code) == (2, 0)
    assert "width: 256 is asked for and 128 drawn" in refused.stderr
    assert "256 is asked for and 128 drawn" in drawn.stderr
    assert read_size(cli.folder / "out.png") == (128, 128)
