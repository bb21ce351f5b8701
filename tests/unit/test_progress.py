"""The progress line: robust, narrow, honest about stalls."""

from __future__ import annotations

import datetime as dt
import io
import json
import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdclient.batch.events import Event, EventName
from sdclient.batch.survey import Counts
from sdclient.cli.talk import Progress, Screen, byte_size, duration, server_steps, table
from sdclient.errors import MissingRouteError, ServerBusyError
from sdclient.progress import (
    Pace,
    Step,
    cell_width,
    cut_to_width,
    finish_text,
    progress_line,
    short_time,
)

NOON = dt.datetime(2026, 5, 1, 12, 0, tzinfo=dt.timezone.utc)


def counts(done: int, jobs: int = 100, **states: int) -> Counts:
    taken = done + sum(states.values())
    return Counts(jobs, done, **states, waiting=jobs - taken)


def event(name: EventName, done: int, *, lane: str = "mini", place: str = "a/fox", **rest: object) -> Event:
    made = Event(name, counts(done), lane, place)
    return replace(made, **rest)  # type: ignore[arg-type]  # fields by name


def steady(jobs: int, every_s: float = 10.0) -> Pace:
    """A run whose jobs end at equal distances."""
    pace = Pace(counts(0), 0.0)
    for number in range(1, jobs + 1):
        pace.see(event("begun", number - 1), (number - 1) * every_s)
        pace.see(event("done", number, execute_s=every_s), number * every_s)
    return pace


def test_the_rate_of_a_steady_run_is_what_it_is() -> None:
    pace = steady(10)

    assert pace.per_second() == pytest.approx(0.1)
    assert pace.left_s() == pytest.approx(900)
    assert pace.lanes["mini"].per_hour == pytest.approx(360)


def test_one_job_that_took_an_hour_does_not_move_the_finish_time_by_much() -> None:
    pace = steady(20)
    pace.see(event("done", 21, execute_s=3600), 200 + 3600)
    for number in range(22, 30):
        pace.see(event("done", number, execute_s=10), 3800 + 10 * (number - 21))

    left = pace.left_s()

    assert left is not None
    assert left < 71 * 10 * 3


def test_before_two_jobs_the_finish_is_unknown() -> None:
    one, two = steady(1), steady(2)

    assert one.left_s() is None
    assert "finish unknown yet" in progress_line(one, 20, NOON, 80)
    assert two.left_s() == pytest.approx(980)


def test_before_two_jobs_the_finish_is_what_was_measured_before_and_called_an_estimate() -> None:
    pace = Pace(counts(10), 0.0, expected_s=1800)
    pace.see(event("begun", 10, place="fox"), 0)

    at_once = progress_line(pace, 1, NOON, 40)
    pace.see(event("done", 11, execute_s=10), 10)
    pace.see(event("done", 12, execute_s=10), 20)

    assert at_once == "10/100  done about 12:30 (estimate)"
    assert progress_line(pace, 20, NOON, 40).startswith("12/100  done about 12:14  360/h")


def test_what_was_left_at_first_may_be_nothing() -> None:
    assert Pace(counts(100), 0.0, expected_s=0).expected_left_s() is None


def test_how_long_a_first_job_takes_is_unknown_until_its_server_has_done_some_steps() -> None:
    pace = Pace(counts(0), 0.0)
    pace.see(event("begun", 0), 0.0)

    early = pace.busy_left_s(20.0, {"mini": Step(0.01, 0, 30)})
    later = pace.busy_left_s(20.0, {"mini": Step(0.4, 12, 30)})

    assert early == {"mini": None}
    assert later == {"mini": pytest.approx(30)}


def test_jobs_done_by_other_machines_count_for_the_finish() -> None:
    pace = Pace(counts(0), 0.0)
    for number in range(1, 6):
        # Between two of ours, others finish three.
        pace.see(event("done", 4 * number, execute_s=10), 10.0 * number)

    assert pace.per_second() == pytest.approx(0.4)


def test_nothing_for_much_longer_than_usual_is_a_stall() -> None:
    pace = steady(10, every_s=20)

    assert not pace.is_stalled(200 + 99)
    assert pace.is_stalled(200 + 101)
    assert "STALLED: nothing ended for 5 min" in progress_line(pace, 200 + 300, NOON, 80)


def test_a_model_that_loads_for_minutes_is_no_stall() -> None:
    pace = Pace(counts(0), 0.0)

    assert not pace.is_stalled(500)
    assert pace.is_stalled(700)


def test_a_finished_run_is_never_stalled() -> None:
    pace = Pace(counts(100), 0.0)

    assert not pace.is_stalled(1e6)


def test_a_failure_is_a_sign_of_life() -> None:
    pace = steady(10)
    pace.see(event("failed", 10), 200)

    assert pace.quiet_s(230) == 30


def test_the_line_says_what_is_being_painted_and_how_far_it_is() -> None:
    pace = steady(10)
    pace.see(event("begun", 10, place="generated/red_fox"), 100)

    line = progress_line(pace, 101, NOON, 100, steps={"mini": Step(0.4, 12, 30)})

    assert line == "10/100  [#.........]  done about 12:15  360/h  red_fox step 12/30"


def test_a_job_that_is_being_finished_does_not_hide_the_one_that_runs() -> None:
    pace = Pace(counts(0), 0.0)
    pace.see(event("begun", 0, place="one"), 0)
    pace.see(event("begun", 0, place="two"), 10)
    pace.see(event("done", 1, place="one", execute_s=10), 11)

    assert pace.lanes["mini"].place == "two"


def test_two_servers_have_their_own_rates_where_there_is_room() -> None:
    pace = steady(6)
    for number in range(3):
        pace.see(event("done", 7 + number, lane="gpu", execute_s=5), 100 + 5.0 * number)

    assert "mini 360/h, gpu 720/h" in progress_line(pace, 120, NOON, 120)
    assert "  360+720/h" in progress_line(pace, 120, NOON, 60)
    for number in range(3):
        pace.see(event("done", 10 + number, lane="third", execute_s=5), 115 + 0.01 * number)
    assert "  361080/h" in progress_line(pace, 120, NOON, 40)


def test_the_rate_counts_images_where_a_job_draws_several() -> None:
    pace = Pace(counts(0), 0.0)
    for number in range(1, 4):
        pace.see(event("done", number, execute_s=10, images=4), number * 10.0)

    assert "  1440/h" in progress_line(pace, 31, NOON, 80)


def test_a_server_that_left_draws_nothing_an_hour() -> None:
    pace = steady(6)
    for number in range(3):
        pace.see(event("done", 7 + number, lane="gpu", execute_s=5), 100 + 5.0 * number)
    pace.see(event("left", 9, lane="gpu", message="gone"), 111)

    assert "  360/h" in progress_line(pace, 112, NOON, 60)


def test_a_server_that_is_waited_for_is_said() -> None:
    pace = steady(3)
    pace.see(event("asleep", 3, message="refused"), 35)

    assert progress_line(pace, 36, NOON, 90).endswith("mini waits for its server")


def test_failures_are_in_the_line() -> None:
    pace = Pace(Counts(10, 2, failed=1, set_aside=3, waiting=4), 0.0)

    assert "1 failed  3 set aside" in progress_line(pace, 1, NOON, 80)


@given(
    st.integers(20, 120),
    st.text(max_size=60),
    st.integers(0, 100),
    st.one_of(st.none(), st.builds(Step, st.floats(0, 1), st.integers(0, 150), st.integers(0, 150))),
)
def test_the_line_never_is_wider_than_there_is_room(width: int, place: str, done: int, step: Step | None) -> None:
    pace = steady(5)
    pace.see(event("begun", done, place=place or "x"), 60)

    line = progress_line(pace, 61, NOON, width, steps={"mini": step} if step else {})

    assert cell_width(line) <= width
    assert "\n" not in line
    assert line.startswith(f"{done}/100")


@given(st.text(), st.integers(0, 40))
def test_a_text_cut_to_a_width_fits_it(text: str, width: int) -> None:
    assert cell_width(cut_to_width(text, width)) <= width


def test_wide_letters_take_two_columns() -> None:
    assert cell_width("狐a") == 3
    assert cut_to_width("狐狐狐", 5) == "狐狐…"


def test_the_finish_is_a_time_of_day_people_understand() -> None:
    assert finish_text(3600, NOON) == "done about 13:00"
    assert finish_text(13 * 3600, NOON) == "done about tomorrow 01:00"
    assert finish_text(3 * 86400, NOON) == "done about Mon 04 May 12:00"
    assert finish_text(1e9, NOON) == "done in over a month"


def test_times_are_short() -> None:
    assert [short_time(seconds) for seconds in (40, 720, 12_600)] == ["40 s", "12 min", "3.5 h"]


class Stage:
    """A screen that keeps what was written, and a clock to turn."""

    def __init__(self, *, is_watched: bool, width: int = 60) -> None:
        self.now_s = 0.0
        self.stream = io.StringIO()
        self.screen = Screen(self.stream, is_watched, lambda: width, lambda: self.now_s, lambda: NOON, repaint_s=0)

    @property
    def text(self) -> str:
        return self.stream.getvalue()


def test_a_terminal_of_sixty_columns_sees_one_line_that_is_drawn_over() -> None:
    stage = Stage(is_watched=True)
    progress = Progress(100, 0, as_json=False, screen=stage.screen)

    for number in range(1, 6):
        stage.now_s = 10.0 * number
        progress(event("done", number, execute_s=10, place="a/" + "very_long_name_" * 5))
    progress.close()

    lines = stage.text.split("\r")
    assert "\n" not in stage.text[:-1]
    assert stage.text.endswith("\n")
    assert all(cell_width(line.rstrip()) <= 60 for line in lines)
    assert lines[-1].startswith("5/100")


def test_a_message_stands_on_its_own_line_above_the_moving_one() -> None:
    stage = Stage(is_watched=True)
    progress = Progress(100, 0, as_json=False, screen=stage.screen)
    progress(event("begun", 0))

    progress(event("failed", 0, message="out of memory"))

    assert "\ra/fox: failed, will be tried again: out of memory\n" in stage.text


def test_a_log_file_gets_a_line_a_minute_and_none_in_between() -> None:
    stage = Stage(is_watched=False)
    progress = Progress(100, 0, as_json=False, screen=stage.screen)

    for number in range(1, 31):
        stage.now_s = 10.0 * number
        progress(event("done", number, execute_s=10))
    progress.close()

    lines = stage.text.splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("6/100  [")
    assert "\r" not in stage.text


def test_a_stall_is_written_to_a_log_file_once() -> None:
    stage = Stage(is_watched=False)
    progress = Progress(100, 0, as_json=False, screen=stage.screen)
    for stage.now_s in (590.0, 601.0, 610.0):
        progress.tick()

    assert stage.text.count("STALLED") <= 2
    assert "STALLED: nothing ended for 10 min" in stage.text


def test_programs_get_every_event_and_a_stall_as_json_lines(capsys: pytest.CaptureFixture[str]) -> None:
    stage = Stage(is_watched=True)
    progress = Progress(100, 0, as_json=True, screen=stage.screen)

    progress(event("done", 1, execute_s=10))
    stage.now_s = 1000
    progress.tick()
    progress.tick()
    progress.close()

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["event"] for line in lines] == ["done", "stalled"]
    assert lines[1]["quiet_s"] == 1000
    assert lines[1]["done"] == 1
    assert stage.text == ""


def test_servers_that_tell_steps_are_asked_and_those_that_do_not_are_left_alone() -> None:
    asked = threading.Event()
    refused = threading.Event()

    def tell() -> Step | None:
        asked.set()
        return Step(0.5, 15, 30)

    def refuse() -> Step | None:
        refused.set()
        raise MissingRouteError("no such route")

    stage = Stage(is_watched=True, width=100)
    screen = replace(stage.screen, repaint_s=0.01)
    progress = Progress(100, 0, as_json=False, steps={"mini": tell, "gpu": refuse}, screen=screen, steps_every_s=0.01)
    progress(event("begun", 0))
    progress(event("begun", 0, lane="gpu", place="a/cat"))

    assert asked.wait(5)
    assert refused.wait(5)
    progress.close()


def test_a_server_that_once_did_not_answer_for_its_steps_is_asked_again() -> None:
    answers = iter([ServerBusyError("timed out")])
    told = threading.Event()

    def tell() -> Step | None:
        for error in answers:
            raise error
        told.set()
        return Step(0.5, 15, 30)

    screen = replace(Stage(is_watched=True, width=100).screen, repaint_s=0.01)
    progress = Progress(
        100, 0, as_json=False, steps={"mini": tell}, screen=screen, steps_every_s=0.01, steps_again_s=0.0
    )
    progress(event("begun", 0))

    assert told.wait(5)
    progress.close()


def test_a_step_shows_until_the_next_job_begins() -> None:
    stage = Stage(is_watched=True, width=100)
    progress = Progress(100, 0, as_json=False, screen=stage.screen)
    progress(event("begun", 0))
    progress.note_step("mini", Step(None, 3, 30))
    progress.tick()
    shown = stage.text
    progress.note_step("mini", None)
    progress.note_step("mini", Step(0.25))
    progress.tick()

    assert "step 3/30" in shown
    assert stage.text.rstrip().endswith("25 %")
    progress(event("begun", 0, place="a/cat"))
    assert stage.text.rstrip().endswith("cat")


def test_only_servers_are_asked_for_steps() -> None:
    assert server_steps([]) == {}


def test_sizes_and_times_are_said_as_people_say_them() -> None:
    assert [byte_size(size) for size in (5, 1500, 2.5e6, 3e9, 4e12)] == ["5 bytes", "1.5 kB", "2.5 MB", "3 GB", "4 TB"]
    assert [byte_size(size) for size in (999, 999_400, 999_900, 999_999_999)] == ["999 bytes", "999 kB", "1 MB", "1 GB"]
    assert [duration(seconds) for seconds in (30, 600, 7200)] == ["30 s", "10 min", "2.0 h"]
    assert table([]) == ""
    assert table([("狐", "a"), ("fox", "b")], indent="") == "狐   a\nfox  b"
