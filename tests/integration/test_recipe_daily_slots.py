"""Which slots ``sdclient daily`` takes for done, open or missed: dry runs, late posts, another time zone, old ledgers."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path

import pytest

from sdclient.cli.daily import keep_hours
from sdclient.errors import StorageError
from sdclient.posting.publish import FolderPublisher
from sdclient.recipes.daily.completion import TEMPLATES, TemplateCompleter
from sdclient.recipes.daily.cycle import Daily, DailySettings, Outcome
from sdclient.recipes.daily.ledger import Ledger
from sdclient.recipes.daily.slots import open_zone, slot_at
from sdclient.recipes.daily.words import load_words
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator
from tests.conftest import CommandLine

UTC = dt.timezone.utc


class Bot:
    """A bot that posts to a folder, and a server for it."""

    def __init__(self, out: Path, server: Simulator, zone: str = "UTC", *, grace_s: float | None = 3600.0) -> None:
        words = load_words()
        self.out = out
        self.drawing = lambda run: run.start(server.url)
        self.daily = Daily(
            Run(out),
            Txt2Img.load("daily").replace(width=128, height=128, steps=2, enlarge=None),
            words=words,
            completer=TemplateCompleter(words),
            publisher=FolderPublisher(out / "posts"),
            ledger=Ledger(out / "daily"),
            settings=DailySettings(open_zone(zone), grace_s),
        )

    def tick(self, moment: str) -> Outcome:
        return self.daily.tick(dt.datetime.fromisoformat(moment).replace(tzinfo=UTC), self.drawing)

    def foresee(self, moment: str) -> Outcome:
        return self.daily.foresee(dt.datetime.fromisoformat(moment).replace(tzinfo=UTC), lambda _: None)

    def posts(self) -> list[str]:
        return sorted(path.name for path in (self.out / "posts").glob("*"))


# ---- only looking ----


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("option", [("--dry-run",), ("--limit", "0"), ("--dry-run", "--once")], ids=" ".join)
def test_a_dry_run_says_what_would_be_posted_and_writes_nothing(
    cli: CommandLine, draw_things: Simulator, option: tuple[str, ...]
) -> None:
    ended = cli("daily", "--out", "BOT", "--late", "--url", draw_things.url, *option)

    assert ended.code == 0
    assert "_UTC: would go to folder as No.1, such as '" in ended.stderr
    assert "1 job, 0 done, 1 to do" in ended.stderr
    assert not (cli.folder / "BOT").exists()
    assert not [one for one in draw_things.log if one.method == "POST"]


def test_a_dry_run_changes_nothing_where_something_is_there_already(tmp_path: Path, draw_things: Simulator) -> None:
    bot = Bot(tmp_path, draw_things)
    bot.tick("2026-11-20T06:10")
    before = files(tmp_path)

    told = [bot.foresee(f"2026-11-20T{time}") for time in ("06:20", "09:10", "14:00")]

    assert [one.status for one in told] == ["foreseen"] * 3
    assert ["posted before" in told[0].message, "as No.2" in told[1].message] == [True, True]
    assert "missed" in told[2].message
    assert files(tmp_path) == before


def test_a_dry_run_tells_what_no_server_would_draw(cli: CommandLine, a1111: Simulator) -> None:
    ended = cli("daily", "--out", "BOT", "--late", "--url", a1111.url, "--set", "model=gone", "--dry-run")

    assert ended.code == 2
    assert "gone" in ended.stderr
    assert not (cli.folder / "BOT").exists()


def test_a_dry_run_leaves_a_post_that_is_under_way_alone(tmp_path: Path, draw_things: Simulator) -> None:
    bot = Bot(tmp_path, draw_things)
    now = dt.datetime(2026, 11, 20, 6, 10, tzinfo=UTC)
    assert Ledger(tmp_path / "daily").begin_posting(bot.daily.slot(now), now) is not None
    before = files(tmp_path)

    outcome = bot.daily.foresee(now, bot.drawing)

    assert outcome.message == "2026-11-20_06_UTC: would look first whether its post is out"
    assert files(tmp_path) == before


# ---- missed, and posted still ----


def test_a_missed_slot_is_posted_still_where_that_is_asked_for(cli: CommandLine, draw_things: Simulator) -> None:
    command = ("daily", "--out", "BOT", "--url", draw_things.url, "--set", "enlarge=null", "--at")
    missed = cli(*command, "2026-11-20T08:30")

    late = cli(*command, "2026-11-20T08:35", "--late")

    assert "missed; it is too late for this slot (--late posts it still)" in missed.stderr
    assert late.code == 0
    assert "2026-11-20_06_UTC: posted as No.1" in late.stderr
    assert sorted(path.suffix for path in (cli.folder / "BOT/daily").iterdir()) == [".json", ".posted"]


def test_a_missed_slot_is_posted_for_an_earlier_moment(tmp_path: Path, draw_things: Simulator) -> None:
    bot = Bot(tmp_path, draw_things)

    outcomes = [bot.tick(f"2026-11-20T{time}").status for time in ("08:30", "08:40", "06:30", "08:50")]

    assert outcomes == ["missed", "nothing", "posted", "nothing"]
    assert bot.posts() == ["0001_2026-11-20_06_UTC"]


def test_a_bot_whose_clock_steps_back_behind_a_missed_slot_posts_it_and_says_so(
    tmp_path: Path, draw_things: Simulator
) -> None:
    bot, told = Bot(tmp_path, draw_things), list[Outcome]()
    times = iter(f"2026-11-20T{time}+00:00" for time in ("08:30", "09:00", "06:30", "06:30", "08:50"))
    moments: list[dt.datetime] = []

    def clock() -> dt.datetime:
        # Each look and each wait takes the next moment; the end of the list ends the bot.
        try:
            moments.append(dt.datetime.fromisoformat(next(times)))
        except StopIteration:
            raise KeyboardInterrupt from None
        return moments[-1]

    with pytest.raises(KeyboardInterrupt):
        keep_hours(bot.daily, bot.drawing, told.append, clock=clock, sleep=lambda _: None)

    assert [one.status for one in told] == ["missed", "posted"]


# ---- another time zone ----


@pytest.mark.parametrize(
    ("first", "then", "at", "wanted"),
    [
        # 6:10 in one zone, ten minutes later in another, where the same part of the day lasts.
        ("UTC", "Europe/Madrid", "2026-11-20T06:20", "nothing"),
        ("UTC", "Asia/Tokyo", "2026-11-20T06:20", "nothing"),
        ("UTC", "Etc/UTC", "2026-11-20T06:20", "nothing"),
        # Begun before the part of the day that lasts in the other zone, and posted ten minutes ago.
        ("Europe/Madrid", "UTC", "2026-11-20T06:20", "nothing"),
        # 6 o'clock in New York is another 6 o'clock: its name alone must not pass for posted.
        ("UTC", "America/New_York", "2026-11-20T11:10", "posted"),
        ("UTC", "Europe/Madrid", "2026-11-20T08:10", "posted"),
    ],
)
def test_a_change_of_zone_neither_doubles_nor_drops_a_post(
    tmp_path: Path, draw_things: Simulator, first: str, then: str, at: str, wanted: str
) -> None:
    Bot(tmp_path, draw_things, first, grace_s=None).tick("2026-11-20T06:10")

    outcome = Bot(tmp_path, draw_things, then, grace_s=None).tick(at)

    assert outcome.status == wanted
    assert outcome.slot.zone == then


def test_names_and_entries_tell_the_zone(tmp_path: Path, draw_things: Simulator) -> None:
    Bot(tmp_path, draw_things, "Europe/Madrid").tick("2026-11-20T05:10")

    entry = json.loads((tmp_path / "daily/2026-11-20_06_Europe-Madrid.posted").read_bytes())
    assert (entry["slot"], entry["zone"], entry["began"]) == (
        "2026-11-20_06_Europe-Madrid",
        "Europe/Madrid",
        "2026-11-20T05:00:00+00:00",
    )
    assert entry["completer"] == TEMPLATES


@pytest.mark.parametrize("end", ["posted", "aside"])
def test_an_entry_of_before_that_tells_no_zone_still_counts(tmp_path: Path, draw_things: Simulator, end: str) -> None:
    (tmp_path / "daily").mkdir()
    (tmp_path / f"daily/2026-11-20_06.{end}").write_text('{"slot": "2026-11-20_06", "number": 261}')
    bot = Bot(tmp_path, draw_things, "Europe/Madrid")

    outcomes = [bot.tick(f"2026-11-20T{time}").status for time in ("05:10", "08:10")]

    assert outcomes == ["nothing", "posted"]
    assert bot.posts() == ["0262_2026-11-20_09_Europe-Madrid"]


def test_a_slot_that_was_planned_before_zones_were_told_keeps_its_plan(tmp_path: Path, draw_things: Simulator) -> None:
    plan = {"key": "2026-11-20_06", "start": "a fox", "prompt": "a fox at dawn", "greeting": "☀ hi"}
    (tmp_path / "daily").mkdir()
    (tmp_path / "daily/2026-11-20_06.json").write_text(json.dumps({**plan, "completer": "", "words_seed": 1}))
    bot = Bot(tmp_path, draw_things)

    bot.tick("2026-11-20T06:10")

    assert (tmp_path / "posts/0001_2026-11-20_06_UTC/alt.txt").read_text().startswith("'a fox at dawn'\n")


def test_a_post_that_was_under_way_before_zones_were_told_is_settled(tmp_path: Path, draw_things: Simulator) -> None:
    bot = Bot(tmp_path, draw_things)
    ledger = Ledger(tmp_path / "daily")
    now = dt.datetime(2026, 11, 20, 6, 10, tzinfo=UTC)
    assert ledger.begin_posting(bot.daily.slot(now), now) is not None
    mark = json.loads((tmp_path / "daily/posting").read_bytes())
    del mark["zone"], mark["began"], mark["moment"]
    (tmp_path / "daily/posting").write_text(json.dumps({**mark, "key": "2026-11-20_06"}))

    outcome = bot.tick("2026-11-20T06:10")

    assert (outcome.status, ledger.posting()) == ("posted", None)


@pytest.mark.parametrize("name", ["posting", "2026-11-20_00_UTC.posted", "2026-11-20_06_UTC.json"])
def test_a_ledger_that_cannot_be_read_is_not_called_damaged(tmp_path: Path, draw_things: Simulator, name: str) -> None:
    bot = Bot(tmp_path, draw_things)
    # A folder can be read by nobody, as a file on a share that is away.
    (tmp_path / "daily" / name).mkdir(parents=True)

    outcome = bot.tick("2026-11-20T06:10")

    assert (outcome.status, type(outcome.error)) == ("failed", StorageError)
    assert name in outcome.message
    assert "damaged" not in outcome.message
    assert bot.posts() == []
    assert (tmp_path / "daily/posting").exists() == (name == "posting"), "a mark of ours is left"


# ---- clocks that change inside a slot ----


def test_a_slot_in_which_clocks_change_is_posted_once_and_the_next_one_on_time(
    tmp_path: Path, draw_things: Simulator
) -> None:
    bot = Bot(tmp_path, draw_things, "Europe/Madrid", grace_s=None)
    # 2026-10-25: 3:00 becomes 2:00 at 1:00 UTC, inside the slot that begins at midnight; 3 o'clock comes at 2:00 UTC.
    times = ("2026-10-24T22:10", "2026-10-25T00:30", "2026-10-25T01:30", "2026-10-25T01:59", "2026-10-25T02:00")

    outcomes = [bot.tick(time).status for time in times]

    assert outcomes == ["posted", "nothing", "nothing", "nothing", "posted"]
    assert bot.posts() == ["0001_2026-10-25_00_Europe-Madrid", "0002_2026-10-25_03_Europe-Madrid"]


# ---- words of the hour ----


def test_the_light_of_a_prompt_suits_its_hour() -> None:
    words = load_words()
    completer = TemplateCompleter(words)

    night = {completer.complete("a fox", seed, words.at(0)) for seed in range(40)}
    morning = {completer.complete("a fox", seed, words.at(6)) for seed in range(40)}

    assert all(any(light in prompt for light in words.at(0).wildcards["light"]) for prompt in night)
    assert not [prompt for prompt in night if "morning" in prompt or "sun" in prompt]
    assert not [prompt for prompt in morning if "moon" in prompt or "night" in prompt]


def test_every_slot_has_lights_of_its_own() -> None:
    lights = [tuple(slot.wildcards["light"]) for slot in load_words().slots]

    assert len(set(lights)) == len(lights) == 8


def test_a_slot_knows_its_zone_and_gives_it_to_its_name() -> None:
    slot = slot_at(dt.datetime(2026, 11, 20, 5, 10, tzinfo=UTC), (6,), open_zone("Europe/Madrid"))

    assert (slot.zone, slot.key, slot.zoneless) == ("Europe/Madrid", "2026-11-20_06_Europe-Madrid", "2026-11-20_06")


# ---- seeds ----


def test_every_slot_draws_seeds_of_its_own_and_a_second_try_draws_the_same(
    tmp_path: Path, draw_things: Simulator
) -> None:
    """The original multiplied and divided three small random numbers: some seeds came often, and zero ended it."""
    bot = Bot(tmp_path, draw_things)
    (tmp_path / "posts").write_text("in the way")
    failed = bot.tick("2026-11-20T06:10")
    plan = json.loads((tmp_path / "daily/2026-11-20_06_UTC.json").read_bytes())
    (tmp_path / "posts").unlink()

    posted = [bot.tick(f"2026-11-20T{hour}:10").status for hour in ("06", "09", "12")]

    entries = [
        json.loads((tmp_path / f"daily/2026-11-20_{hour}_UTC.posted").read_bytes()) for hour in ("06", "09", "12")
    ]
    assert (failed.status, posted) == ("failed", ["posted"] * 3)
    assert entries[0]["words_seed"] == plan["words_seed"]
    for name in ("seed", "words_seed"):
        values = {entry[name] for entry in entries}
        assert len(values) == 3
        assert all(0 <= value < 2**32 for value in values)
