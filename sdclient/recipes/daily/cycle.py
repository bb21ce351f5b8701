"""One look at the clock: what the present slot needs, done at most once."""

from __future__ import annotations

import datetime as dt
import json
import random
import secrets
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from typing import Literal, Protocol, TypeAlias
from zoneinfo import ZoneInfo

from sdclient.batch.changed import OnChange
from sdclient.batch.record import Record
from sdclient.errors import AnswerLostError, ImageLimitError, SDClientError, StorageError
from sdclient.files import resolve_inside, write_durable
from sdclient.planning import JobList
from sdclient.posting.media import Media, make_media
from sdclient.posting.publish import Post, Published, Publisher
from sdclient.recipes.daily.completion import Completer, is_worth, tidy
from sdclient.recipes.daily.ledger import End, Ledger, Posting, SlotPlan
from sdclient.recipes.daily.slots import Slot, slot_at
from sdclient.recipes.daily.texts import PostWords, alt_text
from sdclient.recipes.daily.words import DailyWords, draw_start
from sdclient.recipes.documents import made_jobs
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.steps.generate import GenerateSpec

PAYLOAD = "daily"
GRACE_S = 3600.0
_SHRINKS = 3


class Enlarger(Protocol):
    """Enlarges images on this machine."""

    name: str
    """What the alternative text calls it."""

    def enlarge(self, data: bytes) -> bytes:
        """Return a larger image."""
        ...


@dataclass(frozen=True, slots=True)
class DailySettings:
    """How a bot keeps its hours.

    Attributes:
        zone: Where the hours are meant.
        grace_s: A slot that began longer ago is missed; None posts it until the next one begins.
        words: What posts have in common.
        enlarger: Enlarges images here, after they were drawn; None leaves that to the server.
        on_change: Asked where the image of a slot is planned otherwise and not drawn; None refuses.
    """

    zone: ZoneInfo
    grace_s: float | None = GRACE_S
    words: PostWords = field(default_factory=PostWords)
    enlarger: Enlarger | None = None
    on_change: OnChange | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a look at the clock.

    Attributes:
        status: ``nothing`` to do, ``posted``, ``missed``, ``aside`` (nobody knows whether it is out), ``busy`` (another
            process posts), ``failed`` (it may be tried again while the slot lasts), or ``foreseen`` (only looked at).
        slot: The slot.
        message: A sentence for people.
        error: What failed.
    """

    status: Literal["nothing", "posted", "missed", "aside", "busy", "failed", "foreseen"]
    slot: Slot
    message: str
    error: SDClientError | None = None


Drawing: TypeAlias = Callable[[Run], object]
"""Who draws: works on a run until its open jobs are done, or cannot be."""


class Daily:
    """A bot: draws and posts one image for every part of the day.

    Args:
        run: The run its images are jobs of.
        request: How they are drawn.
        words: Starts and greetings.
        completer: Who makes prompts of starts.
        publisher: Where posts go.
        ledger: What became of every slot.
        settings: How it keeps its hours.
    """

    def __init__(
        self,
        run: Run,
        request: Txt2Img,
        *,
        words: DailyWords,
        completer: Completer,
        publisher: Publisher,
        ledger: Ledger,
        settings: DailySettings,
    ) -> None:
        self._run = run
        self._request = request
        self._spec = GenerateSpec(request)
        self._words = words
        self._completer = completer
        self._publisher = publisher
        self._ledger = ledger
        self._settings = settings
        self._enlarger = settings.enlarger

    def slot(self, now: dt.datetime) -> Slot:
        """Return the slot of a moment."""
        return slot_at(now, self._words.hours, self._settings.zone)

    def tick(self, now: dt.datetime, drawing: Drawing) -> Outcome:
        """Do what the slot of ``now`` needs, and nothing that was done before.

        Args:
            now: The present, with a time zone.
            drawing: Who draws.
        """
        slot = self.slot(now)
        try:
            left = self._settle(slot)
            if left is not None:
                return left
            closed = self._closed(slot, now)
            if closed is not None and closed.status == "missed":
                self._ledger.miss(slot, f"first looked at {now.isoformat()}")
            return closed or self._draw_and_post(slot, drawing, now)
        except SDClientError as exc:
            return Outcome("failed", slot, f"{slot.key}: not posted: {exc}", exc)

    def foresee(self, now: dt.datetime, drawing: Drawing) -> Outcome:
        """Say what `tick` would do; writes nothing, draws nothing, posts nothing, and settles nothing.

        Args:
            now: The present, with a time zone.
            drawing: Who would draw; shown the run with its job.
        """
        slot = self.slot(now)
        try:
            if (posting := self._ledger.posting()) is not None and not self._ledger.has_ended(posting):
                return Outcome("foreseen", slot, f"{posting.key}: would look first whether its post is out")
            if (closed := self._closed(slot, now)) is not None:
                return replace(closed, status="foreseen")
            plan = self._ledger.find_plan(slot) or self._plan(slot)
            self._draw(plan, drawing)
        except SDClientError as exc:
            return Outcome("failed", slot, f"{slot.key}: would not be posted: {exc}", exc)
        number, name = self._ledger.next_number(), self._publisher.name
        return Outcome("foreseen", slot, f"{slot.key}: would go to {name} as No.{number}, such as {plan.prompt!r}")

    def _closed(self, slot: Slot, now: dt.datetime) -> Outcome | None:
        """Return why nothing is to be done for a slot; None where it is open, or open again."""
        end = self._ledger.end_of(slot)
        if end in ("posted", "aside"):
            return Outcome("nothing", slot, f"{slot.key}: {_PAST[end]}")
        grace_s = self._settings.grace_s
        if grace_s is None or (now - slot.start).total_seconds() <= grace_s:
            return None
        if end == "missed":
            return Outcome("nothing", slot, f"{slot.key}: was missed; --late posts it still")
        return Outcome("missed", slot, f"{slot.key}: missed; it is too late for this slot (--late posts it still)")

    # Drawing

    def _draw(self, plan: SlotPlan, drawing: Drawing) -> str | None:
        """See that a slot's image is drawn, if it can be; return the id of the job that did it, None where none has."""
        listed = JobList()
        columns = {"slot": plan.key, "start": plan.start}
        job = listed.add(self._spec, _place(plan), changes={"prompt": plan.prompt}, columns=columns)
        key = (job.kind, job.place)
        if (made := made_jobs(self._run).get(key)) is not None:
            return made
        # A plan that never begins is forgotten with the run it was added to: no server may take the request.
        run_seed, ask = self._run.folder.settings.run_seed, self._settings.on_change
        drawing(Run(self._run.out, run_seed=run_seed, on_change=ask or "refuse").add_jobs(listed))
        return made_jobs(self._run).get(key)

    def _draw_and_post(self, slot: Slot, drawing: Drawing, now: dt.datetime) -> Outcome:
        plan = self._ledger.plan(slot, lambda: self._plan(slot))
        job = self._draw(plan, drawing)
        if job is None:
            reason = self._run.status().set_aside.get(_place(plan), "its server did not do it")
            return Outcome("failed", slot, f"{slot.key}: no image: {reason}")
        posting = self._ledger.begin_posting(slot, now)
        if posting is None:
            return Outcome("busy", slot, f"{slot.key}: another process is posting")
        return self._post(slot, posting, plan, job)

    def _plan(self, slot: Slot) -> SlotPlan:
        words = self._words.at(slot.hour)
        seed = secrets.randbits(32)
        start = draw_start(words, random.Random(seed))
        prompt = tidy(start, self._completer.complete(start, seed, words))
        name = self._completer.name if is_worth(start, prompt) else ""
        return SlotPlan(slot.key, start, prompt, words.greeting, name, seed)

    # Posting

    def _post(self, slot: Slot, posting: Posting, plan: SlotPlan, job: str) -> Outcome:
        try:
            record = self._run.folder.record(job)
            published = self._publish(posting, plan, record)
        except AnswerLostError as exc:
            return self._look(slot, posting, exc)
        except SDClientError:
            # Nothing is out, and the number is free again. After anything else (Ctrl-C, a fault of ours) the mark stays,
            # and the next look at the clock finds out.
            self._ledger.release(posting)
            raise
        return self._confirm(slot, posting, published, {**asdict(plan), "job": job, **_drawn(record)})

    def _publish(self, posting: Posting, plan: SlotPlan, record: Record) -> Published:
        data = self._image(record)
        limits = self._publisher.limits()
        for _ in range(_SHRINKS):
            post = self._compose(posting, plan, record, make_media(data, limits))
            with suppress(ImageLimitError):
                return self._publisher.publish(post)
            # It takes less than it says: half of that, or of what was sent, whichever is less.
            limits = replace(limits, max_bytes=min(limits.max_bytes, len(post.media.data)) // 2)
        return self._publisher.publish(self._compose(posting, plan, record, make_media(data, limits)))

    def _image(self, record: Record) -> bytes:
        """Return the image that is posted: as it was drawn, or enlarged here."""
        image = resolve_inside(self._run.out, record.files[0].place)
        # With the image's hash: what is posted was made of this image, not of one before it, and is nobody else's file.
        enlarged = image.with_name(f"{image.stem}_enlarged-{record.files[0].sha256[:12]}.png")
        try:
            data = (enlarged if self._enlarger is not None and enlarged.exists() else image).read_bytes()
        except OSError as exc:
            raise StorageError(f"{image}: the image cannot be read ({exc.strerror}); bring it back") from exc
        if self._enlarger is not None and not enlarged.exists():
            data = self._enlarger.enlarge(data)
            write_durable(enlarged, data)
        return data

    def _compose(self, posting: Posting, plan: SlotPlan, record: Record, media: Media) -> Post:
        words, publisher = self._settings.words, self._publisher
        enlarge = self._request.enlarge
        upscaler = "" if enlarge is None else enlarge.model
        if self._enlarger is not None:
            upscaler = self._enlarger.name
        return Post(
            posting.key,
            posting.number,
            words.first_line(posting.number),
            words.text(posting.number, plan.greeting, publisher.text_limit),
            alt_text(plan.prompt, plan.completer, _model(record), upscaler, publisher.alt_limit),
            media,
        )

    def _confirm(
        self, slot: Slot, posting: Posting, published: Published, facts: Mapping[str, object] | None = None
    ) -> Outcome:
        told = {"id": published.id, "where": published.where, "notes": list(published.notes)}
        when = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
        more = {"number": posting.number, "publisher": self._publisher.name, "confirmed": when, **told, **(facts or {})}
        self._ledger.end(posting, "posted", more)
        self._ledger.release(posting)
        notes = "".join(f"; {note}" for note in published.notes)
        return Outcome("posted", slot, f"{posting.key}: posted as No.{posting.number}: {published.where}{notes}")

    # After a crash, or an answer that was lost

    def _settle(self, slot: Slot) -> Outcome | None:
        """Settle a post that was left under way; None where there is none, or it is settled as not out."""
        posting = self._ledger.posting()
        if posting is None:
            return None
        if self._ledger.has_ended(posting):
            self._ledger.release(posting)
            return None
        if not self._ledger.is_abandoned(posting):
            return Outcome("busy", slot, f"{posting.key}: another process is posting since {posting.started}")
        found = self._look(slot, posting, None)
        # Not out, and its mark is gone: the slot is open. With its mark it waits for another look.
        return None if found.status == "failed" and self._ledger.posting() is None else found

    def _look(self, slot: Slot, posting: Posting, exc: SDClientError | None) -> Outcome:
        """Look whether a post is out, and note it as posted, as free again, or, if unsure, as set aside.

        Where looking may do better later, it is looked for again while its slot lasts.
        """
        try:
            since = dt.datetime.fromisoformat(posting.started)
            found = self._publisher.find(self._settings.words.first_line(posting.number), posting.key, since)
        except SDClientError as doubt:
            reason = f"it may be out as No.{posting.number}, and cannot be looked for: {doubt}"
            if doubt.retryable and posting.key == slot.key:
                waits = f"{self._ledger.mark} stays until that is known; nothing else is posted, and the next look tries again"
                return Outcome("failed", slot, f"{posting.key}: {reason}. {waits}", doubt)
            path = self._ledger.end(posting, "aside", {"number": posting.number, "reason": reason})
            self._ledger.release(posting)
            return Outcome("aside", slot, f"{posting.key}: set aside: {reason}. If it is not out, remove {path}", doubt)
        if found is not None:
            return self._confirm(slot, posting, found, {"found_after": str(exc or "a crash")})
        self._ledger.release(posting)
        return Outcome("failed", slot, f"{posting.key}: not posted: {exc or 'ended while posting'}", exc)


_PAST: Mapping[End, str] = {"posted": "posted before", "aside": "set aside: nobody knows whether its post is out"}


def _place(plan: SlotPlan) -> str:
    return f"images/{plan.key}"


def _drawn(record: Record) -> dict[str, object]:
    """Return what the sidecar says about the image."""
    one = record.files[0]
    facts = json.loads(json.dumps({name: record.facts.get(name) for name in ("seed", "server", "dialect")}))
    return {"image": one.place, "sha256": one.sha256, "model": _model(record), **facts}


def _model(record: Record) -> str:
    """Return the model that the request named; empty where it named none."""
    body = record.facts.get("request")
    if not isinstance(body, dict):
        return ""
    override = body.get("override_settings")
    model = override.get("sd_model_checkpoint") if isinstance(override, dict) else body.get("model")
    return model if isinstance(model, str) else ""
