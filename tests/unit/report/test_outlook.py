"""What a live page says of the finish: robust, and honest about runs that stand still."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

from sdclient.batch.survey import Counts
from sdclient.report.live import AGAIN_S
from sdclient.report.outlook import SOON_S, outlook
from tests.unit.report.builder import BEGAN
from tests.unit.report.test_history import row

HALF = Counts(jobs=20, done=10, waiting=10)


def at(seconds: float) -> dt.datetime:
    return BEGAN + dt.timedelta(seconds=seconds)


def steady(jobs: int) -> list[Mapping[str, str]]:
    return [row(60 * number, 60) for number in range(jobs)]


def test_the_finish_of_a_steady_run_is_told() -> None:
    assert outlook(steady(10), HALF, at(600), is_at_work=True) == "done about 12:20 UTC"


def test_one_job_that_took_an_hour_does_not_move_it_by_much() -> None:
    rows = [*steady(9), row(540, 3600)]

    assert outlook(rows, HALF, at(4140), is_at_work=True) < "done about 13:25 UTC"


def test_a_run_in_which_nothing_has_ended_for_long_is_stalled() -> None:
    assert outlook(steady(10), HALF, at(600 + 1200), is_at_work=True) == "STALLED: nothing ended for 20 min"


def test_a_finish_that_could_pass_before_the_page_is_made_anew_has_no_time_of_day() -> None:
    nearly = Counts(jobs=11, done=10, waiting=1)

    assert outlook(steady(10), nearly, at(600), is_at_work=True) == "done in a minute or two"
    assert SOON_S >= AGAIN_S + 60


def test_a_failure_is_a_sign_of_life() -> None:
    rows = [*steady(10), row(1700, 60, status="failed")]

    assert "STALLED" not in outlook(rows, HALF, at(1800), is_at_work=True)


def test_before_two_jobs_and_without_workers_nothing_is_promised() -> None:
    counts = Counts(jobs=20, done=1, waiting=19)

    assert outlook([row(0, 60)], counts, at(70), is_at_work=True) == "finish unknown yet"
    assert outlook([], Counts(jobs=1, waiting=1), at(0), is_at_work=True) == "finish unknown yet"
    assert outlook([row(0, 60)], counts, at(70), is_at_work=False) == "nobody is at work on it"
    assert outlook(steady(2), Counts(jobs=20, done=2, waiting=18), at(130), is_at_work=True).startswith("done about ")


def test_a_run_that_is_over_has_no_outlook() -> None:
    assert outlook([row(0, 60)], Counts(jobs=1, done=1), at(70), is_at_work=False) == ""
