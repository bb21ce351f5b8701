"""Posting to X and Mastodon: what a real HTTP server on loopback is sent, and what becomes of everything that fails."""

from __future__ import annotations

import datetime as dt
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image

from sdclient.batch.identity import own_identity
from sdclient.errors import (
    AuthenticationError,
    ConfigurationError,
    NotSentError,
    RejectedError,
    SDClientError,
    ServerBusyError,
)
from sdclient.images import inspect_image
from sdclient.infotext import read_infotext
from sdclient.posting.mastodon import MastodonPublisher
from sdclient.posting.publish import FolderPublisher, Publisher, read_secrets
from sdclient.posting.x import XPublisher, XSecrets
from sdclient.recipes.daily.completion import TemplateCompleter
from sdclient.recipes.daily.cycle import Daily, DailySettings, Outcome
from sdclient.recipes.daily.ledger import Ledger, Posting
from sdclient.recipes.daily.slots import open_zone, slot_at
from sdclient.recipes.daily.words import load_words
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.simulator import Simulator
from tests.conftest import CommandLine
from tests.integration.social import SECRETS, Fault, Social

SIX, NINE = (dt.datetime.fromisoformat(f"2026-11-20T{hour}:10:00+00:00") for hour in ("06", "09"))
X_SECRETS = XSecrets(*(SECRETS[name] for name in list(SECRETS)[:4]))
KEY = "2026-11-20_06_UTC"
SLOT = slot_at(SIX, (6, 9), open_zone("UTC"))

Make = Callable[[Social], Publisher]


def x(social: Social) -> Publisher:
    return XPublisher(X_SECRETS, reply_to="1670879416904216595", elsewhere=social.url)


def mastodon(social: Social) -> Publisher:
    return MastodonPublisher(social.url, SECRETS["SDCLIENT_MASTODON_TOKEN"], reply_to="77")


BOTH = pytest.mark.parametrize("make", [x, mastodon])
POST_ROUTES = {x: "/2/tweets", mastodon: "/api/v1/statuses"}
LOOK_ROUTES = {x: "/2/users/me", mastodon: "/api/v1/accounts/verify_credentials"}
UPLOAD_ROUTES = {x: "/2/media/upload", mastodon: "/api/v2/media"}


@pytest.fixture
def painter() -> Iterator[Simulator]:
    with Simulator("drawthings") as server:
        yield server


class Bot:
    """A bot in a folder, with one publisher."""

    def __init__(self, out: Path, painter: Simulator, publisher: Publisher, *, edge_px: int = 128) -> None:
        words = load_words()
        request = Txt2Img.load("daily").replace(width=edge_px, height=edge_px, steps=2, enlarge=None)
        self.out = out
        self._painter = painter
        self.ledger = Ledger(out / "daily")
        (out / "daily").mkdir(parents=True, exist_ok=True)
        self.daily = Daily(
            Run(out),
            request,
            words=words,
            completer=TemplateCompleter(words),
            publisher=publisher,
            ledger=self.ledger,
            settings=DailySettings(open_zone("UTC")),
        )

    def tick(self, now: dt.datetime = SIX) -> Outcome:
        return self.daily.tick(now, lambda run: run.start(self._painter.url))

    def posted(self, key: str = KEY) -> dict[str, object]:
        return dict(json.loads((self.out / "daily" / f"{key}.posted").read_bytes()))


# ---- what is sent ----


@BOTH
def test_a_post_is_a_reply_in_the_thread_with_image_and_alternative_text(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, make(social))
        outcome = bot.tick()

    (post,) = social.posts
    (image,) = social.images.values()
    told = bot.posted()
    assert (outcome.status, social.complaints) == ("posted", [])
    assert post.text.startswith("#PictureTheDAI No.1\n\n🌅 Good morning, early birds\n\n#PromptInALT")
    assert post.reply_to == ("77" if make is mastodon else "1670879416904216595")
    assert post.media == list(social.images)
    assert image.alt.startswith(f"'{told['prompt']}'\n\nDrawn by juggernaut_reborn_q6p_q8p.ckpt")
    assert (told["id"], told["number"], told["publisher"], told["notes"]) == (post.id, 1, bot_name(make), [])


def bot_name(make: Make) -> str:
    return "mastodon" if make is mastodon else "x"


@BOTH
def test_the_image_that_is_sent_has_a_type_a_name_and_no_metadata(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    with Social() as social:
        Bot(tmp_path, painter, make(social)).tick()

    (image,) = social.images.values()
    assert (image.mime, image.name) == ("image/png", "image.png")
    assert read_infotext(image.data) is None
    assert (
        inspect_image(image.data).pixels_sha256
        == inspect_image((tmp_path / f"images/{KEY}_1.png").read_bytes()).pixels_sha256
    )


@BOTH
def test_each_slot_gets_the_next_number(tmp_path: Path, painter: Simulator, make: Make) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, make(social))
        outcomes = [bot.tick(moment).status for moment in (SIX, SIX, NINE)]

    assert outcomes == ["posted", "nothing", "posted"]
    assert [post.text.split("\n")[0] for post in social.posts] == ["#PictureTheDAI No.1", "#PictureTheDAI No.2"]


def test_x_is_asked_by_its_first_api_where_the_second_does_not_answer(tmp_path: Path, painter: Simulator) -> None:
    """Nobody is sure for how long the first one lives; tweepy knows no other."""
    with Social([Fault("/2/media/upload", 404)]) as social:
        outcome = Bot(tmp_path, painter, x(social)).tick()

    (image,) = social.images.values()
    assert (outcome.status, social.complaints) == ("posted", [])
    assert "POST /1.1/media/upload.json" in social.calls
    assert image.alt.startswith("'")
    assert social.posts[0].media == list(social.images)


def test_an_alternative_text_that_is_refused_does_not_hold_the_post_up(tmp_path: Path, painter: Simulator) -> None:
    with Social([Fault("/2/media/metadata", 400, b'{"detail": "no alt today"}')]) as social:
        bot = Bot(tmp_path, painter, x(social))
        outcome = bot.tick()

    assert outcome.status == "posted"
    assert "without its alternative text: describing the image on X: 400: no alt today" in outcome.message
    assert len(social.posts) == 1


# ---- too large ----


@BOTH
def test_an_image_that_is_refused_for_its_size_is_encoded_smaller_and_sent_again(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    with Social(max_bytes=60_000, told_max_bytes=16_000_000) as social:
        outcome = Bot(tmp_path, painter, make(social), edge_px=512).tick()

    (image,) = social.images.values()
    assert outcome.status == "posted"
    assert len(image.data) <= 60_000
    assert (image.mime, image.name) == ("image/jpeg", "image.jpg")
    assert (tmp_path / f"images/{KEY}_1.png").stat().st_size > 60_000


def test_mastodons_own_limit_is_asked_for_and_kept(tmp_path: Path, painter: Simulator) -> None:
    with Social(max_bytes=60_000) as social:
        Bot(tmp_path, painter, mastodon(social), edge_px=512).tick()

    assert social.calls.count("POST /api/v2/media") == 1


def test_an_image_of_2048_pixels_stays_below_xs_five_megabytes(tmp_path: Path, painter: Simulator) -> None:
    noise = Image.effect_noise((2048, 2048), 80).convert("RGB")
    with Social() as social:
        publisher = x(social)
        bot = Bot(tmp_path, painter, publisher)
        bot.daily.tick(SIX, lambda run: run.start(painter.url))
        limits = publisher.limits()

    from sdclient.images import read_image_input
    from sdclient.posting.media import make_media

    assert limits.max_bytes == 5_000_000
    assert len(read_image_input(noise)) > 5_000_000 >= len(make_media(read_image_input(noise), limits).data)


@BOTH
def test_an_image_that_is_refused_at_every_size_is_told(tmp_path: Path, painter: Simulator, make: Make) -> None:
    with Social(max_bytes=10, told_max_bytes=16_000_000) as social:
        bot = Bot(tmp_path, painter, make(social))
        outcome = bot.tick()

    assert outcome.status == "failed"
    assert "size" in outcome.message
    assert (social.posts, bot.ledger.posting()) == ([], None)


# ---- not posted, for certain ----


@BOTH
@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (Fault("POST", 429, b"{}"), ServerBusyError),
        (Fault("POST", 401, b'{"error": "bad token", "detail": "bad token"}'), AuthenticationError),
        (Fault("POST", 400, b'{"error": "no", "detail": "no"}'), RejectedError),
    ],
    ids=["quota", "token", "refused"],
)
def test_a_post_that_is_refused_is_tried_again_with_the_same_number(
    tmp_path: Path, painter: Simulator, make: Make, fault: Fault, error: type[SDClientError]
) -> None:
    """The original counted before it posted, so that a refusal left a gap."""
    with Social([replace(fault, path=POST_ROUTES[make])]) as social:
        bot = Bot(tmp_path, painter, make(social))
        first = bot.tick()
        second = bot.tick()

    assert (first.status, type(first.error)) == ("failed", error)
    assert (second.status, bot.posted()["number"]) == ("posted", 1)
    assert len(social.posts) == 1
    assert sum(one.method == "POST" for one in painter.log) == 1


@BOTH
def test_a_quota_says_when_the_service_takes_posts_again(tmp_path: Path, painter: Simulator, make: Make) -> None:
    then = dt.datetime.now(dt.timezone.utc) + dt.timedelta(seconds=600)
    # X tells seconds since 1970, Mastodon a date.
    reset = str(int(then.timestamp())) if make is x else then.isoformat()
    headers = {"x-rate-limit-reset": reset, "x-rate-limit-remaining": "0", "x-rate-limit-limit": "300"}
    told = {name.replace("rate-limit", "ratelimit") if make is mastodon else name: headers[name] for name in headers}
    with Social([Fault(POST_ROUTES[make], 429, b"{}", told)]) as social:
        outcome = Bot(tmp_path, painter, make(social)).tick()

    assert isinstance(outcome.error, ServerBusyError)
    # A server tells its own time in whole seconds.
    assert 550 < (outcome.error.retry_after_s or 0) <= 602
    assert "the quota is used up (429); it takes posts again in" in outcome.message


@BOTH
def test_a_service_that_is_down_leaves_the_slot_open(tmp_path: Path, painter: Simulator, make: Make) -> None:
    with Social() as gone:
        publisher = make(gone)
    bot = Bot(tmp_path, painter, publisher)

    outcome = bot.tick()

    assert (outcome.status, type(outcome.error)) == ("failed", NotSentError)
    assert f"{gone.url[7:]}; is the service or the network down? The same command tries again" in outcome.message
    assert "HTTPConnectionPool" not in outcome.message
    assert (bot.ledger.posting(), bot.ledger.end_of(SLOT)) == (None, None)


@BOTH
@pytest.mark.parametrize("how", [{"drop": True}, {"status": 503}, {"status": 200, "body": b"<html>"}])
def test_an_image_that_gets_lost_on_its_way_means_that_nothing_is_posted(
    tmp_path: Path, painter: Simulator, make: Make, how: dict[str, object]
) -> None:
    faults = [Fault(UPLOAD_ROUTES[make], **how), Fault("/1.1/media/upload.json", **how)]  # type: ignore[arg-type]
    with Social(faults) as social:
        bot = Bot(tmp_path, painter, make(social))
        first = bot.tick()
        social.faults.clear()
        second = bot.tick()

    assert first.status == "failed"
    assert (second.status, len(social.posts), bot.posted()["number"]) == ("posted", 1, 1)


# ---- posted, or not? ----


@BOTH
@pytest.mark.parametrize(
    "how", [{"drop": True}, {"status": 500}, {"status": 200, "body": b"{}"}, {"status": 200, "body": b"null"}]
)
def test_a_post_whose_answer_is_lost_is_found_in_the_thread(
    tmp_path: Path, painter: Simulator, make: Make, how: dict[str, object]
) -> None:
    with Social([Fault(POST_ROUTES[make], after=True, **how)]) as social:  # type: ignore[arg-type]
        bot = Bot(tmp_path, painter, make(social))
        outcomes = [bot.tick().status, bot.tick().status]

    assert outcomes == ["posted", "nothing"]
    assert len(social.posts) == 1
    assert (bot.posted()["id"], bot.posted()["notes"]) == (social.posts[0].id, ["found in the thread"])


@BOTH
@pytest.mark.parametrize("body", [b"null", b'"maintenance"', b"[7]"])
def test_a_thread_that_is_answered_with_nonsense_is_looked_at_again(
    tmp_path: Path, painter: Simulator, make: Make, body: bytes
) -> None:
    faults = [Fault(POST_ROUTES[make], drop=True, after=True), Fault(LOOK_ROUTES[make], 200, body)]
    with Social(faults) as social:
        bot = Bot(tmp_path, painter, make(social))
        outcomes = [bot.tick().status, bot.tick().status]

    assert outcomes == ["failed", "posted"]
    assert len(social.posts) == 1


def test_a_list_of_posts_that_is_none_is_not_taken_for_an_empty_one(tmp_path: Path, painter: Simulator) -> None:
    faults = [Fault("/api/v1/statuses", drop=True, after=True), Fault("/api/v1/accounts/7/statuses", 200, b"{}")]
    with Social(faults) as social:
        bot = Bot(tmp_path, painter, mastodon(social))
        outcomes = [bot.tick().status, bot.tick().status]

    assert outcomes == ["failed", "posted"]
    assert len(social.posts) == 1


@BOTH
def test_an_upload_that_is_answered_with_nonsense_is_tried_again(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    faults = [Fault(UPLOAD_ROUTES[make], 200, b"[7]"), Fault("/1.1/media/upload.json", 200, b"[7]")]
    with Social(faults) as social:
        bot = Bot(tmp_path, painter, make(social))
        outcomes = [bot.tick().status, bot.tick().status]

    assert outcomes == ["failed", "posted"]
    assert len(social.posts) == 1


@BOTH
def test_a_post_that_is_lost_before_it_arrived_is_posted_the_next_time(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    with Social([Fault(POST_ROUTES[make], drop=True)]) as social:
        bot = Bot(tmp_path, painter, make(social))
        outcomes = [bot.tick().status, bot.tick().status]

    assert outcomes == ["failed", "posted"]
    assert [post.text.split("\n")[0] for post in social.posts] == ["#PictureTheDAI No.1"]


@BOTH
def test_a_slot_is_set_aside_where_nobody_can_tell_and_its_number_is_not_used_again(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    faults = [
        Fault(POST_ROUTES[make], drop=True, after=True),
        Fault(LOOK_ROUTES[make], 403, b'{"error": "no reading"}'),
    ]
    with Social(faults) as social:
        bot = Bot(tmp_path, painter, make(social))
        first, second, third = bot.tick(), bot.tick(), bot.tick(NINE)

    assert (first.status, second.status, third.status) == ("aside", "nothing", "posted")
    assert "it may be out as No.1, and cannot be looked for" in first.message
    assert f"If it is not out, remove {tmp_path / 'daily' / KEY}.aside" in first.message
    assert "nobody knows whether its post is out" in second.message
    assert len(social.posts) == 2
    assert bot.posted("2026-11-20_09_UTC")["number"] == 2


@BOTH
def test_a_thread_that_cannot_be_looked_at_for_now_is_looked_at_again_and_nothing_posted_meanwhile(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    faults = [Fault(POST_ROUTES[make], drop=True, after=True), *[Fault(LOOK_ROUTES[make], status=503)] * 2]
    with Social(faults) as social:
        bot = Bot(tmp_path, painter, make(social))
        outcomes = [bot.tick() for _ in range(4)]

    assert [one.status for one in outcomes] == ["failed", "failed", "posted", "nothing"]
    assert "it may be out as No.1, and cannot be looked for" in outcomes[0].message
    assert len(social.posts) == 1


@BOTH
def test_after_a_crash_a_thread_that_cannot_be_looked_at_sets_the_slot_aside_when_it_is_over(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    with Social([Fault(LOOK_ROUTES[make], status=503)] * 2) as social:
        bot = Bot(tmp_path, painter, make(social))
        leave_posting(bot)
        outcomes = [bot.tick(), bot.tick(NINE), bot.tick(NINE)]

    assert [one.status for one in outcomes] == ["failed", "aside", "posted"]
    assert f"If it is not out, remove {tmp_path / 'daily' / KEY}.aside" in outcomes[1].message
    assert [post.text.split("\n")[0][-4:] for post in social.posts] == ["No.2"]


@BOTH
def test_a_thread_that_shows_only_newer_posts_does_not_prove_that_one_is_not_out(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    with Social() as social:
        for number in range(120):
            social.keep_post(f"by hand {number}", [], None)
        bot = Bot(tmp_path, painter, make(social))
        leave_posting(bot)
        outcome = bot.tick()

    assert outcome.status == "aside"
    assert "newer posts, and it shows no more; look for it by hand" in outcome.message
    assert len(social.posts) == 120


def test_x_refusing_a_duplicate_means_that_the_post_is_out(tmp_path: Path, painter: Simulator) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, x(social))
        bot.tick()
        (tmp_path / f"daily/{KEY}.posted").unlink()
        outcome = bot.tick()

    assert outcome.status == "posted"
    assert len(social.posts) == 1
    assert bot.posted()["id"] == social.posts[0].id


# ---- crashes ----


def leave_posting(bot: Bot, number: int = 1, key: str = KEY) -> None:
    """Leave the mark of a process that died while it posted."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as process:
        gone = replace(own_identity(), pid=process.pid, start="long ago")
    from dataclasses import asdict

    from sdclient.recipes.daily.ledger import to_json

    (bot.out / "daily/posting").write_bytes(to_json(asdict(Posting(key, number, "2026-11-20T06:10:00+00:00", gone))))


@BOTH
def test_after_a_crash_behind_the_post_the_thread_is_looked_at_and_nothing_posted_again(
    tmp_path: Path, painter: Simulator, make: Make
) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, make(social))
        bot.tick()
        (tmp_path / f"daily/{KEY}.posted").unlink()
        leave_posting(bot)
        outcome = bot.tick()

    assert (outcome.status, len(social.posts)) == ("posted", 1)
    assert bot.posted()["found_after"] == "a crash"
    assert bot.ledger.posting() is None


@BOTH
def test_after_a_crash_before_the_post_it_is_posted(tmp_path: Path, painter: Simulator, make: Make) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, make(social))
        leave_posting(bot)
        outcome = bot.tick()

    assert (outcome.status, len(social.posts), bot.posted()["number"]) == ("posted", 1, 1)


@pytest.mark.parametrize("service", ["x", "mastodon"])
def test_a_process_killed_right_after_its_post_arrived_is_followed_by_one_that_finds_it(
    cli: CommandLine, painter: Simulator, service: str
) -> None:
    cli.env.update(SECRETS)
    with Social() as social:
        where = ("--x-address", social.url) if service == "x" else ("--mastodon", social.url)
        command = ("daily", "--out", "BOT", "--at", "2026-11-20T06:10", "--url", painter.url, "--publish", service)
        with cli.start(*command, *where, "--set", "enlarge=null") as process:
            social.on_post = process.kill
            process.communicate(timeout=120)
        mark = json.loads((cli.folder / "BOT/daily/posting").read_bytes())
        ended = cli(*command, *where, "--set", "enlarge=null")

    told = json.loads((cli.folder / f"BOT/daily/{KEY}.posted").read_bytes())
    assert (mark["key"], mark["number"]) == (KEY, 1)
    assert ended.code == 0
    assert "posted as No.1" in ended.stderr
    assert "found in the thread" in ended.stderr
    assert (len(social.posts), told["id"]) == (1, social.posts[0].id)
    assert not (cli.folder / "BOT/daily/posting").exists()


def test_after_a_crash_an_older_slot_is_settled_before_the_present_one(tmp_path: Path, painter: Simulator) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, x(social))
        bot.tick(SIX)
        (tmp_path / f"daily/{KEY}.posted").unlink()
        leave_posting(bot)
        outcomes = [bot.tick(NINE), bot.tick(NINE)]

    assert [one.message.split(":")[0] for one in outcomes] == [KEY, "2026-11-20_09_UTC"]
    assert [post.text.split("\n")[0][-4:] for post in social.posts] == ["No.1", "No.2"]


def test_a_crash_between_confirming_and_unmarking_is_no_doubt(tmp_path: Path, painter: Simulator) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, x(social))
        bot.tick()
        leave_posting(bot)
        calls = len(social.calls)
        outcome = bot.tick()

    assert (outcome.status, len(social.calls), bot.ledger.posting()) == ("nothing", calls, None)


def test_another_process_that_posts_is_left_alone(tmp_path: Path, painter: Simulator) -> None:
    from dataclasses import asdict

    from sdclient.recipes.daily.ledger import to_json

    with Social() as social, subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        bot = Bot(tmp_path, painter, x(social))
        alive = replace(own_identity(), pid=other.pid, start="")
        mark = to_json(asdict(Posting(KEY, 1, "2026-11-20T06:10:00+00:00", alive)))
        (tmp_path / "daily/posting").write_bytes(mark)
        outcome = bot.tick()
        other.communicate(b"\n")

    assert outcome.status == "busy"
    assert "another process is posting since 2026-11-20T06:10:00+00:00" in outcome.message
    assert (social.posts, (tmp_path / "daily/posting").read_bytes()) == ([], mark)


def test_a_mark_from_another_machine_counts_as_abandoned_after_a_quarter_of_an_hour(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    posting = ledger.begin_posting(SLOT, SIX)
    assert posting is not None
    elsewhere = replace(posting, process=replace(posting.process, boot="another machine"))
    written_s = (tmp_path / "posting").stat().st_mtime

    assert not ledger.is_abandoned(elsewhere, now_s=lambda: written_s + 600)
    assert ledger.is_abandoned(elsewhere, now_s=lambda: written_s + 901)
    assert ledger.is_abandoned(elsewhere, now_s=lambda: written_s - 901)


def test_a_damaged_mark_and_a_damaged_plan_are_named(tmp_path: Path, painter: Simulator) -> None:
    with Social() as social:
        bot = Bot(tmp_path, painter, x(social))
        (tmp_path / "daily/posting").write_bytes(b"{")
        marked = bot.tick()
        (tmp_path / "daily/posting").unlink()
        (tmp_path / f"daily/{KEY}.json").write_bytes(b"{}")
        planned = bot.tick()

    assert "posting: damaged; look at the thread whether its post is out, and remove the file" in marked.message
    assert f"{KEY}.json: damaged; remove it, and the slot is planned anew" in planned.message
    assert social.posts == []


def test_an_image_that_is_gone_is_told_and_nothing_posted(tmp_path: Path, painter: Simulator) -> None:
    with Social([Fault("/2/tweets", 429)]) as social:
        bot = Bot(tmp_path, painter, x(social))
        bot.tick()
        (tmp_path / f"images/{KEY}_1.png").unlink()
        outcome = bot.tick()

    assert outcome.status == "failed"
    assert f"{KEY}_1.png: the image cannot be read (No such file or directory); bring it back" in outcome.message
    assert (social.posts, bot.ledger.posting()) == ([], None)


def test_a_folder_that_is_in_the_way_of_a_post_is_not_touched(tmp_path: Path, painter: Simulator) -> None:
    (tmp_path / f"posts/0001_{KEY}").mkdir(parents=True)
    (tmp_path / f"posts/0001_{KEY}/mine.txt").write_text("mine")
    bot = Bot(tmp_path, painter, FolderPublisher(tmp_path / "posts"))

    outcome = bot.tick()

    assert outcome.status == "failed"
    assert "is there already, and not from this run; move it away" in outcome.message
    assert (tmp_path / f"posts/0001_{KEY}/mine.txt").read_text() == "mine"


def test_a_crash_behind_a_post_to_a_folder_is_found_there(tmp_path: Path, painter: Simulator) -> None:
    bot = Bot(tmp_path, painter, FolderPublisher(tmp_path / "posts"))
    bot.tick()
    (tmp_path / f"daily/{KEY}.posted").unlink()
    leave_posting(bot)

    outcome = bot.tick()

    assert outcome.status == "posted"
    assert len(list((tmp_path / "posts").iterdir())) == 1


# ---- secrets ----


def test_secrets_come_from_the_environment_and_one_that_is_missing_is_named() -> None:
    environ = {"ONE": " a1b2 "}

    assert read_secrets(["ONE"], environ=environ) == {"ONE": "a1b2"}
    with pytest.raises(ConfigurationError) as caught:
        read_secrets(["ONE", "SDCLIENT_NO_SUCH_SECRET"], environ=environ)
    install = "" if find_spec("keyring") else "`pip install keyring` and "
    words = f"no SDCLIENT_NO_SUCH_SECRET: set the environment variable, or {install}`keyring set sdclient SDCLIENT_NO"
    assert words in str(caught.value)
    assert "a1b2" not in str(caught.value)


@pytest.fixture
def ring() -> Iterator[dict[str, str]]:
    """A keyring of our own in place of the system's: the secrets of the service ``sdclient``."""
    keyring = pytest.importorskip("keyring")
    from keyring.backend import KeyringBackend

    kept: dict[str, str] = {}

    class Ring(KeyringBackend):  # type: ignore[misc]  # keyring may be missing where types are checked
        priority = 1

        def get_password(self, service: str, username: str) -> str | None:
            return kept.get(username) if service == "sdclient" else None

        def set_password(self, service: str, username: str, password: str) -> None:
            """Keep nothing: the tests fill the ring."""

    before = keyring.get_keyring()
    keyring.set_keyring(Ring())
    yield kept
    keyring.set_keyring(before)


def test_secrets_that_the_environment_lacks_come_from_the_keyring(ring: dict[str, str]) -> None:
    ring |= {"ONE": "of the ring", "TWO": "of the ring"}

    assert read_secrets(["ONE", "TWO"], environ={"ONE": "of the environment", "TWO": " "}) == {
        "ONE": "of the environment",
        "TWO": "of the ring",
    }


@pytest.mark.parametrize("service", ["x", "mastodon"])
def test_the_command_posts_with_secrets_that_are_nowhere_to_be_seen(
    cli: CommandLine, painter: Simulator, service: str
) -> None:
    command = ("daily", "--out", "BOT", "--at", "2026-11-20T06:10", "--url", painter.url, "--set", "enlarge=null")
    cli.env.update(SECRETS)

    with Social() as social:
        where = ("--x-address", social.url) if service == "x" else ("--mastodon", social.url)
        ended = cli("-vv", *command, "--publish", service, *where, "--reply-to", "77")

    assert ended.code == 0
    assert [post.reply_to for post in social.posts] == ["77"]
    kept = b"".join(path.read_bytes() for path in (cli.folder / "BOT").rglob("*") if path.is_file())
    for secret in SECRETS.values():
        assert secret not in ended.stderr + ended.stdout + repr(X_SECRETS)
        assert secret.encode() not in kept


def test_a_wrong_token_is_told_without_showing_it(cli: CommandLine, painter: Simulator) -> None:
    cli.env.update({**SECRETS, "SDCLIENT_MASTODON_TOKEN": "wr0ng-token"})
    command = ("daily", "--out", "BOT", "--at", "2026-11-20T06:10", "--url", painter.url, "--set", "enlarge=null")

    with Social() as social:
        ended = cli(*command, "--publish", "mastodon", "--mastodon", social.url)

    assert ended.code == 2
    assert "check the token and its right to write" in ended.stderr
    assert "wr0ng-token" not in ended.stderr
    assert [path.name for path in (cli.folder / "BOT/daily").iterdir()] == [f"{KEY}.json"]


@pytest.mark.parametrize("status", [429, 503])
def test_the_command_tells_that_a_post_may_be_out(cli: CommandLine, painter: Simulator, status: int) -> None:
    """It told only what the service had answered to the look at the thread."""
    cli.env.update(SECRETS)
    command = ("daily", "--out", "BOT", "--at", "2026-11-20T06:10", "--url", painter.url, "--set", "enlarge=null")
    faults = [Fault("/api/v1/statuses", drop=True, after=True), Fault("/api/v1/accounts", status=status)]

    with Social(faults) as social:
        ended = cli(*command, "--publish", "mastodon", "--mastodon", social.url)

    assert ended.code == 1
    assert f"{KEY}: it may be out as No.1, and cannot be looked for: " in ended.stderr
    assert f"{Path('BOT/daily/posting')} stays until that is known; nothing else is posted" in ended.stderr


@pytest.mark.parametrize("status", [429, 503])
def test_the_command_names_the_slot_that_was_not_posted(cli: CommandLine, painter: Simulator, status: int) -> None:
    cli.env.update(SECRETS)
    command = ("daily", "--out", "BOT", "--at", "2026-11-20T06:10", "--url", painter.url, "--set", "enlarge=null")

    with Social([Fault("/api/v2/media", status=status)]) as social:
        ended = cli(*command, "--publish", "mastodon", "--mastodon", social.url)

    assert ended.code == 1
    assert f"{KEY}: not posted: " in ended.stderr
    # Not the end of a port.
    assert len(re.findall(rf"\b{status}\b", ended.stderr)) == 1
