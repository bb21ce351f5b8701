"""What the leader of a cluster tells of the news that its nodes send."""

from __future__ import annotations

from sdclient.batch.events import Event
from sdclient.batch.survey import Counts
from sdclient.engines.news import News


def test_news_are_passed_on_with_the_most_that_is_known_to_be_done() -> None:
    seen: list[Event] = []
    told = News(Counts(jobs=3, waiting=3), seen.append)

    told.take(Event("done", Counts(jobs=3, done=1, waiting=2), "one", "a", execute_s=2.0, images=1))
    told.take(Event("done", Counts(jobs=3, done=1, waiting=2), "two", "b"))

    assert [(one.lane, one.place, one.counts.done) for one in seen] == [("one", "a", 1), ("two", "b", 2)]
    assert (seen[0].execute_s, seen[0].images) == (2.0, 1)


def test_what_another_node_saw_done_and_its_own_node_tells_later_counts_once() -> None:
    seen: list[Event] = []
    told = News(Counts(jobs=4, waiting=4), seen.append)

    told.take(Event("begun", Counts(jobs=4, done=2, claimed=2), "two", "c"))
    told.take(Event("done", Counts(jobs=4, done=1, claimed=3), "one", "a"))
    told.take(Event("done", Counts(jobs=4, done=2, claimed=2), "one", "b"))

    assert [one.counts.done for one in seen] == [2, 2, 2]
    assert told.made == 2


def test_a_listener_that_fails_does_not_end_the_run() -> None:
    def fail(_: Event) -> None:
        raise BrokenPipeError

    told = News(Counts(jobs=1, waiting=1), fail)

    told.take(Event("done", Counts(jobs=1, done=1)))
    told.remark("one", "words")

    assert told.counts.done == 1


def test_what_a_server_would_not_do_is_told_once_however_often_its_worker_starts() -> None:
    seen: list[Event] = []
    told = News(Counts(jobs=1, waiting=1), seen.append)

    for lane in ("one", "one", "two"):
        told.remark_once(lane, "shift is dropped")
    told.remark_once("two", "")

    assert [(one.name, one.lane, one.message) for one in seen] == [
        ("remark", "one", "shift is dropped"),
        ("remark", "two", "shift is dropped"),
    ]
