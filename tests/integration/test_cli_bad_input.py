"""Wrong things typed or found: one clear message, the documented exit code, no traceback, nothing lost."""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from PIL import Image

from sdclient.simulator import Simulator
from tests.conftest import CommandLine


def image(path: Path, size: tuple[int, int] = (128, 128), colour: str = "teal") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)
    return path


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


SMALL = ("--set", "width=128", "--set", "height=128", "--set", "tiled=null")


def test_an_unreachable_server_is_named_with_its_address(cli: CommandLine) -> None:
    url = f"http://127.0.0.1:{free_port()}"

    ended = cli("txt2img", "a fox", "--url", url)

    assert ended.code == 3
    assert url in ended.stderr
    assert "refused" in ended.stderr


def test_an_unknown_host_is_no_server(cli: CommandLine) -> None:
    ended = cli("txt2img", "a fox", "--url", "http://no-such-host.invalid:7860")

    assert ended.code == 3
    assert "no-such-host.invalid" in ended.stderr


def test_no_server_named_says_how_to_name_one(cli: CommandLine) -> None:
    ended = cli("txt2img", "a fox")

    assert ended.code == 2
    assert "--url" in ended.stderr
    assert "sdclient.toml" in ended.stderr


def test_a_server_that_wants_a_password_says_so(cli: CommandLine) -> None:
    with Simulator("a1111", auth=("me", "secret")) as server:
        ended = cli("txt2img", "a fox", "--url", server.url)
        named = cli("txt2img", "a fox", "--url", server.url.replace("//", "//me:secret@"), "--inherit")

    assert ended.code == 2
    assert "401" in ended.stderr
    assert named.code == 0
    assert "secret" not in named.stderr + named.stdout + ended.stderr


def test_a_model_missing_for_this_dialect_is_refused_before_sending(cli: CommandLine, draw_things: Simulator) -> None:
    ended = cli("txt2img", "a fox", "--url", draw_things.url)

    assert ended.code == 2
    assert "model" in ended.stderr
    assert "inherit" in ended.stderr
    assert not [one for one in draw_things.log if one.method == "POST"]


def test_a_payload_with_a_wrong_key_names_file_field_and_a_close_one(cli: CommandLine) -> None:
    (cli.folder / "fox.json").write_text('{"request": {"promt": "a fox"}}', encoding="utf-8")

    ended = cli("txt2img", "a fox", "--payload", "fox.json", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "fox.json: promt: unknown field; did you mean prompt?" in ended.stderr


def test_a_value_out_of_range_is_shown_with_its_bound(cli: CommandLine) -> None:
    ended = cli("txt2img", "a fox", "--steps", "900", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "steps" in ended.stderr
    assert "150" in ended.stderr


def test_an_unknown_payload_lists_the_known_ones(cli: CommandLine) -> None:
    ended = cli("upscale", ".", "OUT", "--payload", "bakes", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "bake" in ended.stderr


def test_an_output_file_that_is_there_is_not_replaced(cli: CommandLine, a1111: Simulator) -> None:
    before = image(cli.folder / "fox.png").read_bytes()

    ended = cli("txt2img", "a fox", "-o", "fox.png", "--inherit", "--url", a1111.url)

    assert ended.code == 2
    assert "fox.png is there already" in ended.stderr
    assert (cli.folder / "fox.png").read_bytes() == before


def test_no_image_of_several_replaces_a_file_of_the_users(cli: CommandLine, a1111: Simulator) -> None:
    (cli.folder / "fox_2.png").write_bytes(b"precious")

    ended = cli("txt2img", "a fox", "--set", "batch_size=2", "-o", "fox.png", "--inherit", "--url", a1111.url)

    assert ended.code == 2
    assert "fox_2.png is there already" in ended.stderr
    assert (cli.folder / "fox_2.png").read_bytes() == b"precious"
    assert not [one for one in a1111.log if one.method == "POST"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no folder that is read-only for everyone")
def test_a_place_that_cannot_be_written_is_found_before_the_server_works(cli: CommandLine, a1111: Simulator) -> None:
    ended = cli("txt2img", "a fox", "-o", "/sys/fox.png", "--inherit", "--url", a1111.url)

    assert ended.code == 2
    assert "/sys" in ended.stderr
    assert not [one for one in a1111.log if one.method == "POST"]


def test_a_name_that_is_no_image_is_refused(cli: CommandLine) -> None:
    ended = cli("txt2img", "a fox", "-o", "fox.txt", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "fox.txt: not the name of an image" in ended.stderr


def test_an_input_that_is_broken_is_set_aside_and_the_others_are_done(cli: CommandLine, draw_things: Simulator) -> None:
    image(cli.folder / "IN" / "good.png")
    (cli.folder / "IN" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n, and no image at all")

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", draw_things.url)
    status = cli("status", "OUT", "--json")

    assert ended.code == 1
    assert "bad" in ended.stderr
    assert (cli.folder / "OUT" / "good_upscaled_1.png").is_file()
    assert not (cli.folder / "OUT" / "bad_upscaled_1.png").exists()
    assert '"set_aside": 1' in status.stdout
    assert '"done": 1' in status.stdout


def test_two_inputs_with_one_output_name_are_refused_when_planning(cli: CommandLine, draw_things: Simulator) -> None:
    image(cli.folder / "IN" / "fox.png")
    image(cli.folder / "IN" / "fox.jpg")

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", "--url", draw_things.url)

    assert ended.code == 2
    assert "fox.jpg" in ended.stderr
    assert "fox.png" in ended.stderr
    assert not [one for one in draw_things.log if one.method == "POST"]


def test_a_file_of_the_users_at_a_final_place_is_never_replaced(cli: CommandLine, draw_things: Simulator) -> None:
    image(cli.folder / "IN" / "fox.png")
    mine = image(cli.folder / "OUT" / "fox_upscaled_1.png", colour="red").read_bytes()

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", draw_things.url)

    assert ended.code in (1, 2)
    assert "fox_upscaled_1.png" in ended.stderr
    assert "yours" in ended.stderr
    assert (cli.folder / "OUT" / "fox_upscaled_1.png").read_bytes() == mine


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no folder that is read-only for everyone")
def test_a_read_only_output_folder_is_named(cli: CommandLine, draw_things: Simulator) -> None:
    image(cli.folder / "IN" / "fox.png")
    if os.geteuid() == 0:
        # Modes do not stop root; the kernel's own folders do.
        out = Path("/sys/sdclient-out")
    else:
        out = cli.folder / "OUT"
        out.mkdir()
        out.chmod(stat.S_IREAD | stat.S_IEXEC)

    ended = cli("upscale", "IN", str(out), "--payload", "bake", *SMALL, "--url", draw_things.url)

    assert ended.code == 2
    assert not [one for one in draw_things.log if one.method == "POST"]
    assert out.name in ended.stderr
    assert "permi" in ended.stderr.lower()


def test_an_output_folder_that_is_a_file_is_named(cli: CommandLine) -> None:
    image(cli.folder / "IN" / "fox.png")
    (cli.folder / "OUT").write_text("a file", encoding="utf-8")

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "OUT" in ended.stderr


def test_a_dry_run_leaves_nothing_behind(cli: CommandLine, draw_things: Simulator) -> None:
    image(cli.folder / "IN" / "fox.png")

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", "--dry-run", "--url", draw_things.url)

    assert ended.code == 0
    assert "1 jobs" in ended.stderr or "1 job" in ended.stderr
    assert not (cli.folder / "OUT").exists()


@pytest.mark.parametrize(
    "wrong",
    [("--set", "enlarge.scale=3"), ("--set", "model=null"), ("--strict", "--set", "eta=0.5")],
    ids=["what it cannot do", "no model", "a loss under --strict"],
)
def test_a_refused_command_does_not_block_its_own_correction(
    cli: CommandLine, draw_things: Simulator, wrong: tuple[str, ...]
) -> None:
    (cli.folder / "prompts.txt").write_text("a fox\n", encoding="utf-8")
    words = (
        "generate",
        "prompts.txt",
        "--out",
        "OUT",
        "--payload",
        "sdxl-refiner-ultrasharp",
        "--url",
        draw_things.url,
    )

    refused = cli(*words, *wrong)
    corrected = cli(*words)

    assert refused.code == 2, refused.stderr
    assert corrected.code == 0, corrected.stderr


def test_a_column_of_a_list_counts_before_the_run_begins(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "good.csv").write_text("prompt,model\na fox,sd_xl_base_1.0_f16.ckpt\n", encoding="utf-8")
    (cli.folder / "bad.csv").write_text("prompt,sampler_name\na fox,Foo\n", encoding="utf-8")

    good = cli("generate", "good.csv", "--out", "GOOD", *SMALL[:4], "--url", draw_things.url)
    bad = cli("generate", "bad.csv", "--out", "BAD", "--set", "inherit=true", "--url", draw_things.url)

    assert good.code == 0, good.stderr
    assert bad.code == 2
    assert "Foo" in bad.stderr
    assert not (cli.folder / "BAD").exists()


def test_one_server_that_is_away_does_not_keep_the_others_from_working(
    cli: CommandLine, draw_things: Simulator
) -> None:
    image(cli.folder / "IN" / "fox.png")
    away = f"http://127.0.0.1:{free_port()}"

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", away, "--url", draw_things.url)

    assert ended.code == 0, ended.stderr
    assert "left out" in ended.stderr


def test_what_was_set_aside_is_tried_again_when_its_cause_is_mended(cli: CommandLine, draw_things: Simulator) -> None:
    image(cli.folder / "IN" / "good.png")
    (cli.folder / "IN" / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n, not yet an image")
    words = ("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", draw_things.url)
    cli(*words)
    image(cli.folder / "IN" / "bad.png")

    retried = cli("retry", "OUT")
    again = cli(*words)

    assert retried.stdout.split() == ["bad_upscaled"]
    assert again.code == 0, again.stderr
    assert (cli.folder / "OUT" / "bad_upscaled_1.png").is_file()


def test_a_folder_without_images_is_no_success(cli: CommandLine, draw_things: Simulator) -> None:
    (cli.folder / "IN").mkdir()
    (cli.folder / "IN" / "scan.tiff").write_bytes(b"II*\0")

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", "--url", draw_things.url)

    assert ended.code == 2
    assert "IN: no images" in ended.stderr
    assert "scan.tiff" in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_an_input_folder_that_is_not_there_is_named(cli: CommandLine) -> None:
    ended = cli("upscale", "NOWHERE", "OUT", "--payload", "bake", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "NOWHERE" in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_status_of_a_folder_without_a_run_says_so(cli: CommandLine) -> None:
    ended = cli("status", ".")

    assert ended.code == 2
    assert "no run here" in ended.stderr


def test_an_unknown_nation_in_a_queue_file_is_named_with_its_line(cli: CommandLine) -> None:
    (cli.folder / "queue.csv").write_text("nation,category,count\nItalien,family,2\n", encoding="utf-8")

    ended = cli("nations", "--plan", "queue.csv", "--out", "OUT", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "line 2" in ended.stderr
    assert "did you mean Italian?" in ended.stderr


def test_a_list_of_prompts_without_a_prompt_column_is_named(cli: CommandLine) -> None:
    (cli.folder / "prompts.csv").write_text("text\na fox\n", encoding="utf-8")

    ended = cli("generate", "prompts.csv", "--out", "OUT", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "no column named prompt" in ended.stderr


def test_a_seed_that_is_no_number_is_named_with_its_line(cli: CommandLine) -> None:
    (cli.folder / "prompts.csv").write_text("prompt,seed\na fox,7\na cat,many\n", encoding="utf-8")

    ended = cli("generate", "prompts.csv", "--out", "OUT", "--url", "http://127.0.0.1:1")

    assert ended.code == 2
    assert "line 3" in ended.stderr
    assert "seed" in ended.stderr


def test_servers_of_different_programs_are_not_mixed_silently(
    cli: CommandLine, draw_things: Simulator, a1111: Simulator
) -> None:
    image(cli.folder / "IN" / "fox.png")

    ended = cli("upscale", "IN", "OUT", "--payload", "bake", "--url", draw_things.url, "--url", a1111.url)

    assert ended.code == 2
    assert "--allow-mixed" in ended.stderr


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_stopping_leaves_a_folder_from_which_the_same_command_goes_on(cli: CommandLine, number: signal.Signals) -> None:
    for name in range(6):
        image(cli.folder / "IN" / f"{name}.png")
    with Simulator("drawthings", delay_s=0.5) as server:
        words = ("upscale", "IN", "OUT", "--payload", "bake", *SMALL, "--url", server.url)
        with cli.start(*words) as process:
            until(lambda: len([one for one in server.log if one.path.endswith("img2img")]) >= 2)
            process.send_signal(number)
            _, stderr = process.communicate(timeout=30)
        again = cli(*words)

    assert process.returncode == 130
    assert "Traceback" not in stderr
    assert "sdclient join" in stderr
    assert again.code == 0
    assert sorted(path.name for path in (cli.folder / "OUT").glob("*.png")) == [
        f"{name}_upscaled_1.png" for name in range(6)
    ]
    assert not list((cli.folder / "OUT" / ".sdclient" / "claims").iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="signals are POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_single_image_that_is_stopped_is_drawn_no_further(cli: CommandLine, number: signal.Signals) -> None:
    with Simulator("a1111", delay_s=30) as server:
        with cli.start("txt2img", "a fox", *SMALL, "--inherit", "--url", server.url, "-o", "fox.png") as process:
            until(lambda: is_painting(server))
            process.send_signal(number)
            _, stderr = process.communicate(timeout=30)
        told = [one.path for one in server.log if one.path.endswith("interrupt")]

    assert process.returncode == 130
    assert "stopped" in stderr
    assert told
    assert not (cli.folder / "fox.png").exists()


def is_painting(server: Simulator) -> bool:
    with urllib.request.urlopen(f"{server.url}/sdapi/v1/progress", timeout=10) as reply:
        return bool(json.load(reply)["state"]["job_count"])


def until(condition: object, timeout_s: float = 20) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():  # type: ignore[operator] # a plain callable
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_list_to_redo_that_is_another_file_is_refused_with_words(cli: CommandLine) -> None:
    (cli.folder / "coco.json").write_text(f'{{"counts": "{"x" * 200_000}"}}', encoding="utf-8")

    ended = cli("redo", "OUT", "--list", "coco.json")

    assert ended.code == 2
    assert "coco.json: no list of images" in ended.stderr


@pytest.mark.parametrize(
    "command", [("segment", "IN", "--model", "classical"), ("canvas", "place.png", "--slice-px", "8", "--out")]
)
def test_a_folder_that_cannot_be_looked_at_is_refused_with_words(cli: CommandLine, command: tuple[str, ...]) -> None:
    (cli.folder / "IN").mkdir()
    Image.effect_noise((64, 64), 90).save(cli.folder / "place.png")
    name = "x" * 300

    ended = cli(*command, name) if command[-1] == "--out" else cli(*command[:2], name, *command[2:])

    assert ended.code == 2
    assert "sdclient: cannot look at" in ended.stderr
