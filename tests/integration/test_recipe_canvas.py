"""``sdclient canvas`` as a person uses it, against simulated servers."""

from __future__ import annotations

import base64
import io
import itertools
import json
import os
import signal
import sys
from pathlib import Path

import pytest
from PIL import Image, ImageChops

from sdclient.simulator import Simulator
from tests.conftest import CommandLine, Ended
from tests.integration.relay import Relay
from tests.integration.terminal import Terminal

QUICK = ("--set", "steps=4", "--set", "width=128", "--set", "height=128")


@pytest.fixture
def place(cli: CommandLine) -> Path:
    """A canvas of pixel art; every pixel's colour is its own."""
    image = Image.new("RGB", (80, 60))
    image.putdata([(x * 3, y * 4, 90) for y in range(60) for x in range(80)])
    image.quantize(200).save(cli.folder / "place.png")
    return cli.folder / "place.png"


def draw(cli: CommandLine, server: str, *more: str) -> Ended:
    return cli("canvas", "place.png", "--out", "OUT", "--url", server, *QUICK, *more)


def files(cli: CommandLine, pattern: str = "*") -> list[str]:
    out = cli.folder / "OUT"
    return sorted(path.relative_to(out).as_posix() for path in out.glob(pattern) if path.is_file())


def bodies(server: Simulator) -> list[dict[str, object]]:
    return [one.body for one in server.log if one.method == "POST" and isinstance(one.body, dict)]


def decoded(body: dict[str, object]) -> Image.Image:
    images = body["init_images"]
    assert isinstance(images, list)
    return Image.open(io.BytesIO(base64.b64decode(str(images[0])))).convert("RGB")


def differs(one: Image.Image, two: Image.Image) -> bool:
    return ImageChops.difference(one.convert("RGB"), two.convert("RGB")).getbbox() is not None


def opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        image.load()
        return image.copy()


# ---- a slice ----


@pytest.mark.usefixtures("place")
def test_a_slice_becomes_original_passes_last_image_strip_and_gif(cli: CommandLine, draw_things: Simulator) -> None:
    ended = draw(cli, draw_things.url, "--seed", "5")

    assert ended.code == 0
    assert files(cli, "0*") == ["0001.gif", "0001.json", "0001_generated.png", "0001_original.png", "0001_strip.png"]
    assert files(cli, "passes/*") == [f"passes/0001_pass_{number}_1.png" for number in (1, 2, 3, 4)]
    last = (cli.folder / "OUT/passes/0001_pass_4_1.png").read_bytes()
    assert (cli.folder / "OUT/0001_generated.png").read_bytes() == last
    assert "slice 0001: " in ended.stderr
    assert ended.stdout.splitlines() == [f"OUT/0001{kind}" for kind in ("_generated.png", "_strip.png", ".gif")]


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("passes", [1, 2, 8])
def test_strip_and_gif_hold_the_original_and_every_pass_in_order(
    cli: CommandLine, draw_things: Simulator, passes: int
) -> None:
    """The original knew a strip of four passes only, and its comments had the sizes wrong."""
    draw(cli, draw_things.url, "--passes", str(passes), "--strength", "0.9")

    out = cli.folder / "OUT"
    strip = opened(out / "0001_strip.png")
    frames = [out / "0001_original.png", *(out / f"passes/0001_pass_{step}_1.png" for step in range(1, passes + 1))]
    assert strip.size == ((passes + 1) * 128, 128)
    for number, frame in enumerate(frames):
        assert not differs(strip.crop((number * 128, 0, number * 128 + 128, 128)), opened(frame))
    with Image.open(out / "0001.gif") as gif:
        assert (getattr(gif, "n_frames", 1), gif.size, gif.info["loop"]) == (passes + 1, (128, 128), 0)


@pytest.mark.parametrize("dialect", ["drawthings", "a1111"])
@pytest.mark.usefixtures("place")
def test_every_pass_gets_its_strength_its_seed_and_the_image_before(cli: CommandLine, dialect: str) -> None:
    """The original passed ``strengh``, which was ignored: what its page says about strengths never happened."""
    with Simulator(dialect) as server:
        draw(cli, server.url, "--strength", "0.8,0.5,0.3")
        sent = bodies(server)

    recorded = json.loads((cli.folder / "OUT/0001.json").read_bytes())
    key = "strength" if dialect == "drawthings" else "denoising_strength"
    frames = ["0001_original.png", "passes/0001_pass_1_1.png", "passes/0001_pass_2_1.png"]
    assert [body.get(key, body.get("denoising_strength")) for body in sent] == [0.8, 0.5, 0.3] == recorded["strengths"]
    assert [body["seed"] for body in sent] == recorded["seeds"]
    for body, name in zip(sent, frames, strict=True):
        assert not differs(decoded(body), opened(cli.folder / "OUT" / name))


@pytest.mark.usefixtures("place")
def test_words_are_sent_empty_and_what_the_apps_window_holds_is_cleared(
    cli: CommandLine, draw_things: Simulator
) -> None:
    draw(cli, draw_things.url, "--passes", "1")

    (body,) = bodies(draw_things)
    assert (body["prompt"], body["negative_prompt"]) == ("", "")
    assert (body["controls"], body["loras"], body["upscaler"]) == ([], [], None)
    assert body["model"] == "sd_v1.5_f16.ckpt"


@pytest.mark.usefixtures("place")
def test_the_slice_is_sent_as_blocks_of_whole_pixels(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url, "--passes", "1", "--slice", "7,9", "--slice-px", "16")

    (body,) = bodies(draw_things)
    canvas, sent = opened(cli.folder / "place.png").convert("RGB"), decoded(body)
    assert sent.size == (128, 128)
    for x, y in [(0, 0), (7, 7), (8, 7), (127, 127), (64, 33)]:
        assert sent.getpixel((x, y)) == canvas.getpixel((7 + x // 8, 9 + y // 8))


@pytest.mark.usefixtures("place")
def test_a_strength_of_nothing_sends_nothing_and_shows_the_image_again(
    cli: CommandLine, draw_things: Simulator
) -> None:
    ended = draw(cli, draw_things.url, "--strength", "0,0.6,0")

    strip = opened(cli.folder / "OUT/0001_strip.png")
    parts = [strip.crop((left, 0, left + 128, 128)) for left in range(0, 512, 128)]
    assert ended.code == 0
    assert len(bodies(draw_things)) == 1
    assert [differs(one, two) for one, two in itertools.pairwise(parts)] == [False, True, False]


@pytest.mark.usefixtures("place")
def test_nothing_but_strengths_of_nothing_needs_no_server(cli: CommandLine) -> None:
    ended = draw(cli, "http://127.0.0.1:1", "--strength", "0", "--passes", "2")

    assert ended.code == 0
    assert opened(cli.folder / "OUT/0001_strip.png").size == (384, 128)


# ---- again ----


@pytest.mark.usefixtures("place")
def test_the_same_seed_again_sends_nothing_and_a_larger_count_the_rest(
    cli: CommandLine, draw_things: Simulator
) -> None:
    draw(cli, draw_things.url, "--seed", "5", "--passes", "2")
    before = {name: (cli.folder / "OUT" / name).stat().st_mtime_ns for name in files(cli, "**/0001*")}

    draw(cli, draw_things.url, "--seed", "5", "--passes", "2")
    sent = len(bodies(draw_things))
    draw(cli, draw_things.url, "--seed", "5", "--passes", "2", "--count", "2")

    assert (sent, len(bodies(draw_things))) == (2, 4)
    assert {name: (cli.folder / "OUT" / name).stat().st_mtime_ns for name in files(cli, "**/0001*")} == before


@pytest.mark.usefixtures("place")
def test_without_a_seed_every_run_takes_a_new_slice_beside_the_old_ones(
    cli: CommandLine, draw_things: Simulator
) -> None:
    for _ in range(2):
        draw(cli, draw_things.url, "--passes", "1")

    slices = [json.loads((cli.folder / "OUT" / name).read_bytes()) for name in files(cli, "*.json")]
    assert files(cli, "*_generated.png") == ["0001_generated.png", "0002_generated.png"]
    assert slices[0]["seed"] != slices[1]["seed"]


@pytest.mark.usefixtures("place")
def test_one_slice_is_made_again_from_its_record_to_the_last_byte(cli: CommandLine, draw_things: Simulator) -> None:
    """Of the original's examples nobody could tell where they came from, or make them again."""
    draw(cli, draw_things.url, "--count", "2", "--strength", "0.7,0.2")

    again = cli("canvas", "place.png", "--again", "OUT/0002.json", "--out", "AGAIN", "--url", draw_things.url)

    assert again.code == 0
    assert "note:" not in again.stderr
    assert (cli.folder / "AGAIN/0001.json").read_bytes() == (cli.folder / "OUT/0002.json").read_bytes()
    for kind in ("generated.png", "strip.png"):
        one, two = cli.folder / f"OUT/0002_{kind}", cli.folder / f"AGAIN/0001_{kind}"
        assert one.read_bytes() == two.read_bytes()


@pytest.mark.usefixtures("place")
def test_a_slice_made_again_in_its_own_folder_is_done_already(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url, "--passes", "1")

    ended = cli("canvas", "place.png", "--again", "OUT/0001.json", "--out", "OUT", "--url", draw_things.url)

    assert ended.code == 0
    assert "note: OUT has this slice, and nothing is made again; name another --out\n" in ended.stderr
    assert len(bodies(draw_things)) == 1
    assert files(cli, "*.json") == ["0001.json"]


@pytest.mark.usefixtures("place")
def test_a_slice_of_another_canvas_is_not_made_again_from_this_one(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url, "--passes", "1")
    Image.new("RGB", (80, 60), "red").save(cli.folder / "other.png")

    ended = cli("canvas", "other.png", "--again", "OUT/0001.json", "--out", "AGAIN")

    assert ended.code == 2
    assert "that slice was taken from place.png (sha256 " in ended.stderr
    assert "and none of other.png is that file" in ended.stderr


@pytest.mark.usefixtures("place")
def test_another_payload_than_the_records_is_pointed_out(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url, "--passes", "1")

    again = ("canvas", "place.png", "--again", "OUT/0001.json", "--out", "AGAIN", "--url", draw_things.url)
    changed = cli(*again, "--set", "cfg_scale=1.5", "--dry-run")
    other = cli(*again, "--payload", "canvas", "--dry-run")

    assert (changed.code, other.code) == (0, 0)
    words = "note: this is not what the slice was made with, so its images will differ: "
    assert f"{words}cfg_scale 7.5, now 1.5\n" in changed.stderr
    assert f"{words}" in other.stderr
    assert "steps 4, now 50" in other.stderr


@pytest.mark.usefixtures("place")
def test_what_the_record_decides_is_not_decided_otherwise_beside_it(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url, "--passes", "1")

    for option in ("--strength 0", "--passes 2", "--slice 1,1", "--seed 0", "--count 2", "--set denoising_strength=1"):
        ended = cli("canvas", "place.png", "--again", "OUT/0001.json", "--out", "AGAIN", *option.split())

        name = option.replace("=", " ").rpartition(" ")[0]
        assert ended.code == 2
        assert f"--again takes place, seeds and strengths from the file; leave {name} out" in ended.stderr


@pytest.mark.usefixtures("place")
def test_making_a_slice_again_without_its_canvas_says_which_one_it_was(
    cli: CommandLine, draw_things: Simulator
) -> None:
    draw(cli, draw_things.url, "--strength", "0", "--passes", "1")

    ended = cli("canvas", "--again", "OUT/0001.json", "--out", "AGAIN")

    assert ended.code == 2
    assert "canvas: name the image it was: place.png" in ended.stderr


@pytest.mark.usefixtures("place")
def test_the_record_says_what_was_asked(cli: CommandLine, draw_things: Simulator) -> None:
    """Not its hash: whoever finds the file in a year can tell what made the images."""
    draw(cli, draw_things.url, "--passes", "1", "--set", "cfg_scale=3")

    request = json.loads((cli.folder / "OUT/0001.json").read_bytes())["request"]

    expected = {"prompt": "", "steps": 4, "width": 128, "height": 128, "cfg_scale": 3, "sampler_name": "DDIM"}
    assert {name: request[name] for name in expected} == expected
    assert request["overlays"]["drawthings"]["model"] == "sd_v1.5_f16.ckpt"
    assert not {"denoising_strength", "seed"} & set(request)


@pytest.mark.usefixtures("place")
def test_a_dry_run_writes_nothing(cli: CommandLine, draw_things: Simulator) -> None:
    ended = draw(cli, draw_things.url, "--count", "2", "--dry-run")

    assert ended.code == 0
    assert "slice 0002: " in ended.stderr
    assert "8 jobs, 0 done, 8 to do" in ended.stderr
    assert not (cli.folder / "OUT").exists()


@pytest.mark.usefixtures("place")
def test_of_very_many_slices_some_are_shown_and_the_rest_counted(cli: CommandLine, draw_things: Simulator) -> None:
    ended = draw(cli, draw_things.url, "--count", "25", "--dry-run")

    assert ended.code == 0
    assert ended.stderr.count("slice 00") == 20
    assert "\nand 5 slices more\n" in ended.stderr
    assert "100 jobs, 0 done, 100 to do" in ended.stderr


@pytest.mark.usefixtures("place")
def test_a_number_that_another_command_took_meanwhile_stays_its_own(cli: CommandLine, draw_things: Simulator) -> None:
    """Numbers are looked up before the servers are asked, and given when work begins."""
    draw(cli, draw_things.url, "--seed", "1", "--passes", "1")
    other = (cli.folder / "OUT/0001.json").read_bytes()
    rival = cli.folder / "RIVAL"
    command = ("canvas", "place.png", "--out", "RIVAL", "--seed", "2", "--passes", "1", *QUICK)

    def take() -> None:
        rival.mkdir(exist_ok=True)
        (rival / "0001.json").write_bytes(other)

    with Relay(draw_things.url, on_get=take) as relay:
        ended = cli(*command, "--url", relay.url)

    assert ended.code == 0
    assert (rival / "0001.json").read_bytes() == other
    assert [path.name for path in rival.glob("*_strip.png")] == ["0002_strip.png"]
    assert [path.name for path in rival.glob("passes/*")] == ["0002_pass_1_1.png"]


@pytest.mark.usefixtures("place")
def test_a_run_killed_in_a_chain_goes_on_before_anything_new_is_taken(cli: CommandLine) -> None:
    with Simulator("drawthings", delay_s=0.3) as slow:
        first = cli.start("canvas", "place.png", "--out", "OUT", "--url", slow.url, "--json", *QUICK)
        with first:
            for line in first.stdout or ():
                if json.loads(line).get("event") == "done":
                    os.kill(first.pid, signal.SIGKILL)
                    break
        ended = draw(cli, slow.url)
        sent = [body["seed"] for body in bodies(slow)]

    seeds = json.loads((cli.folder / "OUT/0001.json").read_bytes())["seeds"]
    assert ended.code == 0
    assert "passes are unfinished and come first; the same command then takes new slices" in ended.stderr
    assert files(cli, "*.json") == ["0001.json"]
    assert list(dict.fromkeys(sent)) == seeds
    assert opened(cli.folder / "OUT/0001_strip.png").size == (5 * 128, 128)


@pytest.mark.usefixtures("place")
def test_documents_are_built_again_alone_without_a_server(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url)
    built = ("0001_generated.png", "0001_strip.png", "0001.gif")
    before = [(cli.folder / "OUT" / name).read_bytes() for name in built]
    for name in built:
        (cli.folder / "OUT" / name).unlink()

    ended = cli("canvas", "--out", "OUT", "--documents-only", "--json")

    assert ended.code == 0
    assert json.loads(ended.stdout) == {"event": "documents", "files": [f"OUT/{name}" for name in built]}
    assert [(cli.folder / "OUT" / name).read_bytes() for name in built] == before


@pytest.mark.usefixtures("place")
def test_documents_need_every_image(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url)
    (cli.folder / "OUT/passes/0001_pass_2_1.png").unlink()

    ended = cli("canvas", "--out", "OUT", "--documents-only")

    assert ended.code == 2
    assert "0001_pass_2_1.png: an image of slice 1 cannot be read (No such file or directory)" in ended.stderr


@pytest.mark.usefixtures("place")
def test_an_answer_that_is_no_image_does_not_break_the_chain(cli: CommandLine, a1111: Simulator) -> None:
    with Relay(a1111.url, {2: (200, b'{"images": ["bm8gaW1hZ2U="]}')}) as relay:
        ended = draw(cli, relay.url, "--passes", "3")

    assert ended.code == 0
    assert len(relay.bodies) == 4
    assert len(files(cli, "passes/*")) == 3


@pytest.mark.usefixtures("place")
def test_a_cluster_that_refuses_leaves_no_slice_behind(cli: CommandLine) -> None:
    ended = cli("canvas", "place.png", "--out", "OUT", "--engine", "ray", "--limit", "1", *QUICK)

    assert ended.code == 2
    assert "--limit" in ended.stderr
    assert files(cli) == []


# ---- what else lies in the folder ----


@pytest.mark.usefixtures("place")
def test_files_that_were_there_are_never_written_over_or_drawn_over(cli: CommandLine, draw_things: Simulator) -> None:
    out = cli.folder / "OUT"
    out.mkdir()
    mine = {f"0001{kind}": b"precious" for kind in ("_generated.png", "_strip.png", ".gif")}
    mine |= {"0002_original.png": b"red", "0003.json": b"mine"}
    for name, data in mine.items():
        (out / name).write_bytes(data)

    ended = draw(cli, draw_things.url, "--passes", "1")
    again = draw(cli, draw_things.url, "--passes", "1")

    assert (ended.code, again.code) == (0, 0)
    assert {name: (out / name).read_bytes() for name in mine} == mine
    assert files(cli, "000[45].json") == ["0004.json", "0005.json"]
    words = f"note: {Path('OUT/0003.json')}: describes no slice ("
    assert (ended.stderr.count(words), again.stderr.count(words)) == (1, 0)


@pytest.mark.usefixtures("place")
def test_a_document_changed_by_hand_is_kept_aside_and_told(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url, "--passes", "1")
    strip = cli.folder / "OUT/0001_strip.png"
    strip.write_bytes(b"mine")

    ended = cli("canvas", "--out", "OUT", "--documents-only")

    assert ended.code == 0
    assert strip.with_name("0001_strip~1.png").read_bytes() == b"mine"
    assert opened(strip).size == (2 * 128, 128)
    words = "was changed by hand since it was made; that one is kept as 0001_strip~1.png"
    assert f"note: 0001_strip.png {words}\n" in ended.stderr


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize("gone", ["0002*", "0002.json"])
def test_the_number_of_a_deleted_slice_is_not_given_again(cli: CommandLine, draw_things: Simulator, gone: str) -> None:
    """Its jobs are in the plan: another slice under its number was refused, run after run."""
    draw(cli, draw_things.url, "--passes", "1", "--count", "2", "--seed", "5")
    for name in (*files(cli, gone), *files(cli, f"passes/{gone}")):
        (cli.folder / "OUT" / name).unlink()

    anywhere = draw(cli, draw_things.url, "--passes", "1")
    same = draw(cli, draw_things.url, "--passes", "1", "--count", "2", "--seed", "5")

    assert (anywhere.code, same.code) == (0, 0)
    assert files(cli, "*.json") == ["0001.json", "0003.json", "0004.json"]
    assert len(bodies(draw_things)) == 4


# ---- a person ----


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.usefixtures("place")
def test_a_person_is_asked_for_another_slice_until_no(cli: CommandLine, draw_things: Simulator) -> None:
    command = ("canvas", "place.png", "--out", "OUT", "--url", draw_things.url, "--passes", "1", *QUICK)

    with Terminal(cli, *command) as terminal:
        for answer in ("y", "once more", ""):
            terminal.until("Another slice? y or N: ")
            terminal.type(answer + "\n")
        code = terminal.ended()

    assert code == 0
    assert files(cli, "*_strip.png") == ["0001_strip.png", "0002_strip.png", "0003_strip.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.usefixtures("place")
def test_ctrl_c_at_that_question_is_a_no(cli: CommandLine, draw_things: Simulator) -> None:
    command = ("canvas", "place.png", "--out", "OUT", "--url", draw_things.url, "--passes", "1", *QUICK)

    with Terminal(cli, *command) as terminal:
        terminal.until("Another slice? y or N: ")
        terminal.press_ctrl_c("\n")
        code = terminal.ended()

    assert code == 0
    assert files(cli, "*_strip.png") == ["0001_strip.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals of this kind")
@pytest.mark.usefixtures("place")
def test_nobody_is_asked_for_another_slice_after_one_of_before(cli: CommandLine, draw_things: Simulator) -> None:
    draw(cli, draw_things.url, "--seed", "5", "--passes", "1")
    again = ("canvas", "place.png", "--again", "OUT/0001.json", "--out", "AGAIN", "--url", draw_things.url)

    with Terminal(cli, *again) as terminal:
        code = terminal.ended()

    assert code == 0
    assert "Another slice?" not in terminal.shown


# ---- wrong things ----


@pytest.mark.usefixtures("place")
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--strength", "strong"), "--strength 'strong': give a number from 0 to 1, as-documented or as-run"),
        (("--strength", "0.1,0.2", "--passes", "4"), "2 strengths for 4 passes; give one a pass"),
        (("--slice", "here"), "--slice 'here': write X,Y, or IMAGE:X,Y"),
        (("--slice", "70,0"), "place.png: a slice at 70,0 would leave the canvas of 80x60 pixels"),
        (("--slice", "other.png:1,1"), "say on which canvas, as IMAGE:X,Y; given are place.png"),
        (("--slice-px", "64"), "place.png: 80x60 pixels are smaller than a 64x64 slice"),
        (("--slice-px", "48"), "the payload says 512x512, and every pixel of a 48x48 slice becomes a square block"),
        (("--min-colours", "2000"), "all have fewer than 2000 colours; lower --min-colours"),
        (("--set", "strengh=0.05"), "strengh"),
        (("--again", "place.png"), "place.png: describes no slice"),
        (("--payload", "no-such-payload"), "no-such-payload"),
    ],
    ids=lambda value: " ".join(value)[:30] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_before_anything_is_made(
    cli: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    ended = cli("canvas", "place.png", "--out", "OUT", *arguments)

    assert ended.code == 2
    assert words in ended.stderr
    assert not (cli.folder / "OUT").exists()


def test_a_canvas_that_is_missing_or_none_is_named(cli: CommandLine) -> None:
    (cli.folder / "text.png").write_text("no image")

    missing = cli("canvas", "gone.png", "--out", "OUT")
    broken = cli("canvas", "text.png", "--out", "OUT")
    none = cli("canvas", "--out", "OUT")

    assert (missing.code, broken.code, none.code) == (2, 2, 2)
    assert "gone.png" in missing.stderr
    assert "text.png" in broken.stderr
    assert "name one image or more to take slices from" in none.stderr


@pytest.mark.usefixtures("place")
def test_a_model_is_named_in_the_payload_and_a_slip_is_told_in_words(cli: CommandLine, draw_things: Simulator) -> None:
    """The original asked for a number from a menu, with no default, and died of anything else."""
    ended = draw(cli, draw_things.url, "--set", "model=sd_v1.4_f16.ckpt")

    assert ended.code in (1, 2)
    assert "sd_v1.4_f16.ckpt" in ended.stderr
    assert files(cli, "passes/*") == []


@pytest.mark.usefixtures("place")
def test_a_slip_in_the_model_does_not_stay_in_the_folder(cli: CommandLine, a1111: Simulator) -> None:
    """A plan does not change: the slip would be the unfinished slice that every later command begins with."""
    wrong = draw(cli, a1111.url, "--passes", "1", "--set", "model=gone")

    right = draw(cli, a1111.url, "--passes", "1")

    assert (wrong.code, right.code) == (2, 0)
    assert "gone" in wrong.stderr
    assert files(cli, "*_strip.png") == ["0001_strip.png"]


@pytest.mark.usefixtures("place")
def test_a_canvas_that_was_resampled_is_pointed_out(cli: CommandLine, draw_things: Simulator) -> None:
    """The original's first canvas was shrunk, so that its pixels were nobody's."""
    image = opened(cli.folder / "place.png").convert("RGB").resize((70, 50), Image.Resampling.BICUBIC)
    image.save(cli.folder / "shrunk.png")
    command = ("--out", "OUT", "--url", draw_things.url, "--passes", "1", *QUICK)

    shrunk = cli("canvas", "shrunk.png", *command)
    clean = cli("canvas", "place.png", *command)

    assert "note: shrunk.png has more than 256 colours: if it is pixel art, it was resized" in shrunk.stderr
    assert "note:" not in clean.stderr


@pytest.mark.usefixtures("place")
def test_canvases_are_found_from_any_folder(cli: CommandLine, draw_things: Simulator) -> None:
    """The original opened its canvases relative to wherever it was started."""
    (cli.folder / "deep").mkdir()
    command = ("canvas", "../place.png", "--out", "../OUT", "--url", draw_things.url, "--passes", "1", *QUICK)

    ended = CommandLine(cli.folder / "deep")(*command)

    assert ended.code == 0
    assert files(cli, "*_strip.png") == ["0001_strip.png"]
