"""``sdclient daily``: an image for every part of the day, drawn and posted."""

from __future__ import annotations

import datetime as dt
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import click

from sdclient.batch.changed import OnChange, redo_changed
from sdclient.cli import options
from sdclient.cli.app import EXIT_INTERRUPTED, exit_code
from sdclient.cli.changing import REDO_CHANGED, ask_to_redo, refuse_changed
from sdclient.cli.running import Company, RunningOptions, end, work
from sdclient.cli.talk import duration, emit, say
from sdclient.errors import ConfigurationError, ServerError
from sdclient.posting.door import check_address
from sdclient.posting.publish import FolderPublisher, Publisher, read_secrets
from sdclient.recipes.daily.completion import Completer, MagicPromptCompleter, TemplateCompleter
from sdclient.recipes.daily.cycle import GRACE_S, PAYLOAD, Daily, DailySettings, Drawing, Outcome
from sdclient.recipes.daily.enlarge import LocalEnlarger
from sdclient.recipes.daily.ledger import Ledger
from sdclient.recipes.daily.slots import open_zone
from sdclient.recipes.daily.texts import PostWords
from sdclient.recipes.daily.words import load_words
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.schemas.sets import apply_sets

if TYPE_CHECKING:
    from typing_extensions import Unpack

RETRY_S = 300.0
"""Seconds until a slot that could not be posted is tried again."""
LOOK_S = 30.0
"""Seconds between two looks at the clock: it may be set, and a laptop may sleep."""
_WORDS = PostWords()
_YEARS = range(1900, 9000)
"""Parts of the day are looked for some days around a moment, and the calendar ends in 9999."""
_BOT_OPTIONS = (
    click.option("--zone", default="UTC", show_default=True, metavar="NAME", help="Where the hours are meant."),
    click.option("--grace", type=click.IntRange(1, 1440), default=int(GRACE_S // 60), show_default=True,
                 metavar="MINUTES", help="A part of the day that began longer ago is missed."),
    click.option("--late", is_flag=True, help="Never miss: post until the next part of the day begins."),
    click.option("--publish", type=click.Choice(["folder", "x", "mastodon"]), default="folder", show_default=True,
                 help="Where posts go."),
    click.option("--reply-to", metavar="ID", help="The post that begins the thread."),
    click.option("--mastodon", metavar="URL", help="The Mastodon server."),
    click.option("--x-address", metavar="URL", hidden=True, help="Another address of X's API."),
    click.option("--words", type=click.Path(exists=True, dir_okay=False, path_type=Path),
                 help="Other hours, starts and greetings."),
    click.option("--magic-prompt", type=click.Path(file_okay=False, path_type=Path), metavar="FOLDER",
                 help="Complete prompts with the language model in this folder. [default: templates]"),
    click.option("--enlarge-here", is_flag=True, help="Enlarge with Real-ESRGAN on this machine, not on the server."),
    click.option("--title", default=_WORDS.title, show_default=True, help="The bot's hashtag."),
    click.option("--made-on", default=_WORDS.made_on, show_default=True, help="A line about how it is made."),
    click.option("--hashtags", default=_WORDS.hashtags, show_default=True, help="The last line."),
    click.option("--first-number", type=click.IntRange(0), default=1, show_default=True,
                 help="Number of the first post."),
)  # fmt: skip


class BotOptions(RunningOptions):
    """The options of `_bot_options`, as click hands them over, beside those of a run."""

    zone: str
    grace: int
    late: bool
    publish: str
    reply_to: str | None
    mastodon: str | None
    x_address: str | None
    words: Path | None
    magic_prompt: Path | None
    enlarge_here: bool
    title: str
    made_on: str
    hashtags: str
    first_number: int
    redo_changed: bool


def _bot_options(function: click.decorators.FC) -> click.decorators.FC:
    # The option that is added last is shown first.
    for option in reversed(_BOT_OPTIONS):
        function = option(function)
    return function


@click.command(
    name="daily",
    epilog="Example:  sdclient daily --out BOT --zone Europe/Madrid --url http://127.0.0.1:7860\n\n"
    "From cron:  sdclient daily --once --out BOT --zone Europe/Madrid --publish x --reply-to 1670879416904216595",
)
@options.out_folder
@options.urls
@options.payload
@click.option("--once", is_flag=True, help="Do what the present part of the day needs, and end.")
@click.option("--at", "moment", metavar="TIME", help="Take this for the present, and end: 06:00 or 2026-11-20T06:00.")
@_bot_options
@REDO_CHANGED
@options.running
def command(
    *,
    out: Path,
    urls: tuple[str, ...],
    payload: str | None,
    sets: tuple[str, ...],
    once: bool,
    moment: str | None,
    **given: Unpack[BotOptions],
) -> None:
    """Draw and post one image for every part of the day, each at most once.

    Where the payload changed before an image was drawn, --once and --at ask, and a bot that keeps hours refuses; there
    are no variants, since each part of the day has one post.

    Secrets come from the environment, or the system's keyring (service sdclient): SDCLIENT_X_CONSUMER_KEY,
    SDCLIENT_X_CONSUMER_SECRET, SDCLIENT_X_ACCESS_TOKEN, SDCLIENT_X_ACCESS_TOKEN_SECRET; SDCLIENT_MASTODON_TOKEN.
    """
    zone = open_zone(given["zone"])
    now = None if moment is None else parse_moment(moment, zone)
    # A bot that keeps hours must not stand at a question all night.
    ask = redo_changed if given["redo_changed"] else ask_to_redo if once or now is not None else refuse_changed
    daily = _bot(out, apply_sets(Txt2Img.load(payload or PAYLOAD), sets), zone, ask, given)
    company, as_json = Company(urls), given["as_json"]
    if given["dry_run"] or given["limit"] == 0:
        looking: BotOptions = {**given, "dry_run": True}
        foreseen = daily.foresee(now or _now(), lambda run: work(run, company, looking))
        end(_told(foreseen, as_json=as_json))
        return
    drawing = partial(_draw, company=company, running=given)
    if once or now is not None:
        end(_told(daily.tick(now or _now(), drawing), as_json=as_json))
        return
    keep_hours(daily, drawing, lambda outcome: _told(outcome, as_json=as_json))


def _bot(out: Path, request: Txt2Img, zone: ZoneInfo, ask: OnChange, given: BotOptions) -> Daily:
    words = load_words(given["words"])
    enlarger = None
    if given["enlarge_here"]:
        enlarger, request = LocalEnlarger(), request.replace(enlarge=None)
    folder = given["magic_prompt"]
    completer: Completer = TemplateCompleter(words) if folder is None else MagicPromptCompleter(folder)
    grace_s = None if given["late"] else given["grace"] * 60.0
    return Daily(
        Run(out),
        request,
        words=words,
        completer=completer,
        publisher=_publisher(out, given),
        ledger=Ledger(out / "daily", given["first_number"]),
        settings=DailySettings(
            zone, grace_s, PostWords(given["title"], given["made_on"], given["hashtags"]), enlarger, on_change=ask
        ),
    )


def _draw(run: Run, company: Company, running: RunningOptions) -> int:
    code = work(run, company, running)
    if code == EXIT_INTERRUPTED:
        # Whoever stopped the drawing stops the bot, and no post goes out after that; the image is kept.
        raise KeyboardInterrupt
    return code


def keep_hours(
    daily: Daily,
    drawing: Drawing,
    tell: Callable[[Outcome], object],
    *,
    clock: Callable[[], dt.datetime] | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Look at the clock for ever, and do what the present part of the day needs.

    Args:
        daily: The bot.
        drawing: Who draws.
        tell: Told what came of it, once for each change.
        clock: Gives the present; None takes the system's.
        sleep: Waits so many seconds.
    """
    clock = clock or _now
    told: Outcome | None = None
    while True:
        outcome = daily.tick(clock(), drawing)
        if told is None or (outcome.message != told.message and not _is_known(outcome, told)):
            tell(outcome)
            told = outcome
        wait_s = LOOK_S
        if outcome.status == "failed":
            asked_s = outcome.error.retry_after_s if isinstance(outcome.error, ServerError) else None
            wait_s = max(RETRY_S, asked_s or 0.0)
        _wait(daily, outcome.slot.key, wait_s, clock, sleep)


def _is_known(outcome: Outcome, told: Outcome) -> bool:
    """Tell whether an outcome only repeats how a slot ended."""
    ended = told.status in ("posted", "missed", "aside", "nothing")
    return ended and outcome.status == "nothing" and outcome.slot.key == told.slot.key


def _wait(
    daily: Daily, key: str, wait_s: float, clock: Callable[[], dt.datetime], sleep: Callable[[float], None]
) -> None:
    """Wait, but not beyond the beginning of another part of the day."""
    while wait_s > 0 and daily.slot(clock()).key == key:
        sleep(min(wait_s, LOOK_S))
        wait_s -= LOOK_S


def parse_moment(text: str, zone: ZoneInfo) -> dt.datetime:
    """Read a time of today, or a date and time, in a time zone.

    Raises:
        ConfigurationError: If it is none.
    """
    try:
        if "T" not in text and " " not in text.strip():
            found = dt.datetime.combine(_now().astimezone(zone).date(), dt.time.fromisoformat(text))
        else:
            found = dt.datetime.fromisoformat(text)
    except ValueError:
        found = None
    if found is None or found.year not in _YEARS:
        raise ConfigurationError(f"--at {text[:40]!r}: is no time; write 06:00, or 2026-11-20T06:00")
    return found if found.tzinfo is not None else found.replace(tzinfo=zone)


def _now() -> dt.datetime:
    return dt.datetime.now(dt.timezone.utc)


def _publisher(out: Path, given: BotOptions) -> Publisher:
    name, reply_to, address = given["publish"], given["reply_to"], given["mastodon"]
    if name == "folder":
        return FolderPublisher(out / "posts")
    if name == "x":
        from sdclient.posting.x import SECRETS, XPublisher, XSecrets

        check_address(given["x_address"], "--x-address")
        return XPublisher(XSecrets(*read_secrets(SECRETS).values()), reply_to=reply_to, elsewhere=given["x_address"])
    from sdclient.posting.mastodon import SECRETS as TOKEN
    from sdclient.posting.mastodon import MastodonPublisher

    if address is None:
        raise ConfigurationError("--publish mastodon: say on which server, as --mastodon https://mastodon.social")
    check_address(address, "--mastodon")
    return MastodonPublisher(address, read_secrets(TOKEN)[TOKEN[0]], reply_to=reply_to)


def _told(outcome: Outcome, *, as_json: bool) -> int:
    """Say what came of a look at the clock, and return the exit code that stands for it."""
    if as_json:
        emit({"event": "slot", "slot": outcome.slot.key, "status": outcome.status, "message": outcome.message})
    elif outcome.status == "nothing":
        left_s = (outcome.slot.end - _now()).total_seconds()
        next_text = f"; the next part of the day begins in {duration(left_s)}" if left_s > 0 else ""
        say(f"{outcome.message}{next_text}")
    else:
        say(outcome.message)
    sys.stdout.flush()
    if outcome.status == "failed" and outcome.error is not None:
        return exit_code(outcome.error)
    return 1 if outcome.status in ("aside", "failed") else 0
