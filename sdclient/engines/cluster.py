"""The engine of many machines: Ray keeps one worker alive near each server; it carries no jobs, no images, no truth.

Ray does what it is good at: it places an actor on the machine that a server's resource names, and starts it anew when it
dies. The workers inside pull and claim from the run folder as ever, so that an actor that was thought dead and wakes
up, or two that are there for one server for a while, change nothing that is committed.
"""

# Ray leaves the types of many results and arguments open; mypy checks what it has.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from sdclient.batch.events import Event, Listener
from sdclient.batch.folder import RunFolder
from sdclient.batch.patience import is_gone
from sdclient.batch.pipeline import Stop
from sdclient.batch.seen import look_at_folder
from sdclient.batch.settings import holds_another_run
from sdclient.batch.status import read_status
from sdclient.batch.survey import Counts
from sdclient.batch.worker import WorkerResult
from sdclient.engines.keeper import NodeReport, Post
from sdclient.engines.news import News
from sdclient.engines.rays import (
    connect,
    first_line,
    how_to_offer,
    how_to_offer_gpu,
    need_ray,
    node_addresses,
    offered_resources,
)
from sdclient.engines.seats import Seat
from sdclient.errors import ConfigurationError, RunFolderError, StorageError

log = logging.getLogger(__name__)

RESOURCE = "sdapi:"
"""A node that reaches the server NAME is started with the resource ``sdapi:NAME``."""
_POLL_S = 0.5
_BACK_AFTER_S = 15.0
"""A worker whose server was away, or that had nothing to do, is tried again after so long, while others work."""
_LAST_NEWS_S = 5.0
"""A worker that has reported is heard out for so long."""
_NODE_PATIENCE_S = 120.0
"""When nobody is left to work, a node that is gone, or has no room, is waited for so long."""


class ClusterEngine:
    """Keeps a worker at every post until the run is done or told to stop.

    Args:
        folder: The run; every node must see it under the same path.
        posts: Who is needed.
        address: Address of a Ray cluster, ``auto`` for the one this machine belongs to; None starts Ray here.
        listener: Told of everything that happens.
        back_after_s: Seconds after which a worker whose server was away is asked again.
        node_patience_s: Seconds to wait for a node that is gone when nobody else is left to work.

    Raises:
        MissingExtraError: If Ray is not installed.
    """

    def __init__(
        self,
        folder: RunFolder,
        posts: Sequence[Post],
        *,
        address: str | None = None,
        listener: Listener | None = None,
        back_after_s: float = _BACK_AFTER_S,
        node_patience_s: float = _NODE_PATIENCE_S,
    ) -> None:
        need_ray()
        self._folder = folder
        self._seats = [Seat(post) for post in posts]
        self._address = address
        self._before = read_status(folder).counts
        self._news = News(self._before, listener)
        self._back_after_s = back_after_s
        self._node_patience_s = node_patience_s
        self._idle_since_s = 0.0
        self._is_connected = False
        self._has_lost_news = False
        self._stop: Stop | None = None
        # What is said to an actor after the end would start a Ray of its own here.
        self._ending = threading.Lock()
        self._has_ended = False

    @property
    def is_given_up(self) -> bool:
        """True where it was told to stop before it had reached the cluster, which Ray may wait for for minutes."""
        return self._stop is not None and not self._is_connected

    def run(self, ready: Callable[[], None] | None = None) -> WorkerResult:
        """Work until nothing is left, nobody is left to do it, or `stop` was called.

        Args:
            ready: Called once the cluster is reached and fits, before anybody is placed; writes the run, where it is
                not written yet.

        Raises:
            NotSentError: If the cluster cannot be reached.
            ConfigurationError: If it is open to the world, or no node fits.
        """
        import ray

        connect(self._address)
        self._is_connected = True
        try:
            self._refuse_what_does_not_fit()
            if ready is not None and self._stop is None:
                ready()
            while not self._is_over():
                for seat in self._seats:
                    self._fill(seat)
                    self._pass_on(seat.hear())
                self._collect()
                self._call_back()
            return self._result()
        finally:
            with self._ending:
                self._has_ended = True
            for seat in self._seats:
                seat.kill()
            ray.shutdown()

    def stop(self, how: Stop = Stop.FINISH) -> None:
        """Ask all workers to stop; callable from any thread, at any time."""
        self._stop = how
        with self._ending:
            for seat in () if self._has_ended else self._seats:
                seat.stop(how)

    def change_posts(self, change: Callable[[Post], Post]) -> None:
        """Change who is needed before anybody is placed, as the run turned out when it was written."""
        for seat in self._seats:
            seat.post = change(seat.post)

    def _refuse_what_does_not_fit(self) -> None:
        offered = offered_resources()
        gpus = [seat.post for seat in self._seats if seat.post.gpus]
        if gpus and "GPU" not in offered:
            self._news.remark(gpus[0].name, f"{how_to_offer_gpu()}; it begins as soon as one does")
        wanted = [seat.post for seat in self._seats if seat.post.resource]
        if wanted and not any(name.startswith(RESOURCE) for name in offered) and len(node_addresses()) == 1:
            # One machine and nothing said: it is the one that reaches every server.
            for seat in self._seats:
                seat.post = replace(seat.post, resource="")
            return
        missing = [post for post in wanted if post.resource not in offered]
        if wanted and len(missing) == len(wanted):
            raise ConfigurationError(how_to_offer(missing[0].resource))
        for post in missing:
            self._news.remark(post.name, f"{how_to_offer(post.resource)}; it takes part as soon as one does")

    def _is_over(self) -> bool:
        if any(seat.work is not None for seat in self._seats):
            self._idle_since_s = 0.0
            return False
        if self._stop is not None:
            return True
        # Nobody works. Whoever left because its server was away is not waited for: nothing would ever end.
        self._idle_since_s = self._idle_since_s or time.monotonic()
        is_waiting = any(seat.is_wanting for seat in self._seats) and self._has_left()
        return not is_waiting or time.monotonic() - self._idle_since_s > self._node_patience_s

    def _has_left(self) -> bool:
        try:
            return read_status(self._folder).counts.left > 0
        except StorageError as exc:
            # The share may come back, as nodes may.
            log.debug("%s: what is left is not known: %s", self._folder.out, exc)
            return True

    def _fill(self, seat: Seat) -> None:
        """Place a worker where one is due, ask its node, and give it work once that has said yes."""
        if self._stop is not None or seat.work is not None or not self._is_due(seat):
            return
        report = seat.ask()
        if report is None:
            return
        if report.left:
            self._leave(seat, report)
            return
        # Losses are told before the server draws.
        self._news.remark_once(seat.post.name, report.said)
        seat.begin()

    def _is_due(self, seat: Seat) -> bool:
        if seat.is_wanting:
            return True
        others_work = any(other.work is not None for other in self._seats)
        return bool(seat.left) and others_work and time.monotonic() >= seat.back_s

    def _call_back(self) -> None:
        """Want those again that ended where work for them has come, or may come: who draws may begin after who cuts."""
        others = frozenset[str]().union(*(seat.post.kinds for seat in self._seats if seat.work is not None))
        # At the end nobody is left whose next look could be waited for.
        is_end = not others and not any(seat.is_wanting for seat in self._seats)
        now_s = time.monotonic()
        due = [seat for seat in self._seats if seat.has_ended and (is_end or now_s >= seat.back_s)]
        if not due or self._stop is not None:
            return
        try:
            seen = look_at_folder(self._folder)
        except StorageError as exc:
            log.debug("%s: looked for nothing new: %s", self._folder.out, exc)
            return
        for seat in due:
            # Whoever found nothing though nobody else works, and nothing was done since, would find nothing again.
            may_help = bool(others) or seat.called_at != len(seen.done)
            if may_help and seen.has_more(seat.post.kinds, others):
                seat.called_at, seat.back_s = len(seen.done), 0.0
            else:
                seat.back_s = now_s + self._back_after_s

    def _pass_on(self, news: Iterable[Event]) -> None:
        for event in news:
            self._news.take(event)

    def _collect(self) -> None:
        """Take the reports of those who ended, and note those who died."""
        import ray
        from ray.exceptions import RayActorError, RayError

        working = {seat.work: seat for seat in self._seats if seat.work is not None}
        if not working:
            time.sleep(_POLL_S)
            return
        ended, _ = ray.wait(list(working), num_returns=1, timeout=_POLL_S)
        for ref in ended:
            seat = working[ref]
            try:
                self._note(seat, ray.get(ref))
            except RayActorError as exc:
                log.debug("%s: %s", seat.post.name, exc)
                self._has_lost_news = True
                words = f"its worker died, or its machine; another starts as soon as {seat.place} is there"
                self._news.remark(seat.post.name, words)
                seat.rest("", 0.0)
            except RayError as exc:
                self._leave(seat, NodeReport(left=first_line(exc)))

    def _note(self, seat: Seat, report: NodeReport) -> None:
        # What was asked for and has not come yet is older than what the report brings along.
        self._pass_on([*seat.hear(_LAST_NEWS_S), *report.news])
        seat.problems += report.problems
        seat.trouble = report.trouble
        if report.left:
            self._leave(seat, report)
        else:
            seat.rest("", time.monotonic() + self._back_after_s)

    def _leave(self, seat: Seat, report: NodeReport) -> None:
        if report.left != seat.left:
            self._news.take(Event("left", self._news.counts, seat.post.name, message=report.left))
        seat.is_refusal = report.is_refusal
        seat.rest(report.left, time.monotonic() + self._back_after_s)

    def _counts(self, *, is_replaced: bool) -> tuple[Counts, str]:
        """Count the jobs; where the folder is away, as was last heard, and say so: an empty folder counts none as done."""
        if is_replaced:
            return self._news.counts, f"{self._folder.out}: another run lies there now, and the one of before is gone"
        try:
            counts = read_status(self._folder).counts
            why = "it is not there" if is_gone(self._folder.state) else ""
        except StorageError as exc:
            counts, why = self._news.counts, str(exc)
        if not why:
            return counts, ""
        return self._news.counts, f"{self._folder.out}: {why}; how many are done is what was last heard of it"

    def _result(self) -> WorkerResult:
        is_replaced = holds_another_run(self._folder.state, self._folder.settings.run_seed)
        counts, is_away = self._counts(is_replaced=is_replaced)
        trouble = is_away or next((f"{seat.post.name}: {seat.trouble}" for seat in self._seats if seat.trouble), "")
        left = self._why_left() if counts.left and self._stop is None and not is_away else {}
        # The report of a worker that was killed never came: then all that was done meanwhile is counted, by others too.
        made = counts.done - self._before.done if self._has_lost_news else self._news.made
        return WorkerResult(
            counts=counts,
            made=made,
            images=made,
            left=left | {seat.post.name: seat.left for seat in self._seats if seat.left},
            trouble=(RunFolderError if is_replaced else StorageError)(trouble) if trouble else None,
            problems=tuple(text for seat in self._seats for text in seat.problems),
            is_refusal=all(seat.is_refusal or seat.has_ended for seat in self._seats)
            and any(seat.is_refusal for seat in self._seats),
            is_replaced=is_replaced,
        )

    def _why_left(self) -> dict[str, str]:
        """Say why jobs are left where no worker has said it: a run must not end as if it were done."""
        why = {seat.post.name: f"nobody does its jobs: {seat.missing}" for seat in self._seats if seat.is_wanting}
        if not why and not any(seat.left or seat.trouble for seat in self._seats):
            seen = look_at_folder(self._folder)
            left = {seat.post.name: seen.left(seat.post.kinds) for seat in self._seats if seat.has_ended}
            why = {name: f"it ended, and {number} jobs for it are left" for name, number in left.items() if number}
        for name, words in why.items():
            self._news.take(Event("left", self._news.counts, name, message=words))
        return why
