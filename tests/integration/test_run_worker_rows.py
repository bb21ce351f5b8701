"""What a worker writes into its log about tries that came to nothing, about energy, and when it gives a server up."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdclient.batch.again import retry
from sdclient.batch.claims import End, claim_name
from sdclient.batch.events import Event
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import new_token
from sdclient.batch.log import image_rows, read_attempts
from sdclient.batch.plan import job_seed
from sdclient.batch.worker import Worker
from sdclient.energy import EnergyMeter, Reading
from sdclient.errors import AuthenticationError, PlanError, RejectedError, ServerFaultError
from tests.practice_lane import PracticeLane, plan_jobs, quick, work

PLACES = [f"set/{number:02d}" for number in range(8)]
REFUSED = "POST http://mac:7860/sdapi/v1/txt2img: 422, refused: Unrecognized model"


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    return RunFolder.create(tmp_path / "out", run_seed=1, lease_s=0.4, beat_s=0.1)


def rows_of(folder: RunFolder) -> list[dict[str, str]]:
    return read_attempts(folder)[0]


class TestLostTries:
    def test_the_try_of_a_killed_worker_has_a_row_once_its_job_is_taken_over(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        dead = new_token()
        folder.claim(job.id, 1, dead)

        work(folder)

        lost, done = sorted(rows_of(folder), key=lambda row: row["attempt"])
        assert (lost["status"], lost["attempt"], lost["worker"]) == ("lost", "1", dead[:8])
        assert (lost["job"], lost["kind"], lost["place"]) == (job.id, job.kind, "a")
        assert "fell silent" in lost["message"]
        assert (lost["execute_s"], lost["server"], lost["seed"]) == ("", "", "")
        assert (done["status"], done["attempt"]) == ("done", "2")

    def test_of_two_lost_tries_each_has_one_row(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        folder.claim(job.id, 1, new_token())
        lane = PracticeLane(trouble={("execute", "a"): [ServerFaultError("crashed")]})

        work(folder, lane)

        assert sorted((row["attempt"], row["status"]) for row in rows_of(folder)) == [
            ("1", "lost"), ("2", "failed"), ("3", "done"),
        ]  # fmt: skip

    def test_a_torn_claim_is_lost_by_nobody_known(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        (folder.state / "claims" / claim_name(job.id, 1)).write_bytes(b"")

        work(folder)

        assert [row["worker"] for row in rows_of(folder) if row["status"] == "lost"] == [""]

    def test_a_try_that_told_its_end_at_the_last_moment_is_not_lost(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        slow = new_token()
        folder.claim(job.id, 1, slow)
        claim = folder.claim

        def and_it_wakes(job_id: str, epoch: int, token: str) -> bool:
            folder.end_claim(job_id, 1, End("released"))
            return claim(job_id, epoch, token)

        folder.claim = and_it_wakes  # type: ignore[method-assign]
        work(folder)

        assert [row["status"] for row in rows_of(folder)] == ["done"]

    def test_what_retry_claims_hides_no_lost_try_and_is_none(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        for number in (1, 2, 3):
            folder.claim(job.id, number, new_token())
            folder.end_claim(job.id, number, End("failed", "E", "m", "s"))
        assert [one.id for one in retry(folder, new_token())] == [job.id]

        work(folder)

        # The fourth try: what `retry` claimed in between was none.
        assert [(row["attempt"], row["status"]) for row in rows_of(folder)] == [("4", "done")]
        assert [row["attempt"] for row in image_rows(folder)[1]] == ["4"]

    def test_the_row_of_a_lost_try_does_not_count_what_retry_claimed(self, folder: RunFolder) -> None:
        (job,) = plan_jobs(folder, ["a"])
        folder.claim(job.id, 1, new_token())
        folder.end_claim(job.id, 1, End("set_aside", "E", "m", "s"))
        retry(folder, new_token())
        folder.claim(job.id, 3, new_token())

        work(folder)

        assert sorted((row["attempt"], row["status"]) for row in rows_of(folder)) == [("2", "lost"), ("3", "done")]


class TestSeeds:
    def test_a_try_that_failed_at_the_server_tells_its_seed(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a", "b"])
        lane = PracticeLane(
            trouble={("execute", "a"): [ServerFaultError("crashed")], ("finish", "b"): [RejectedError("no", 422)]}
        )

        work(folder, lane)

        seeds = {(row["place"], row["status"]): row["seed"] for row in rows_of(folder)}
        seed_a, seed_b = (str(job_seed(1, "txt2img", place)) for place in ("a", "b"))
        assert seeds == {("a", "failed"): seed_a, ("a", "done"): seed_a, ("b", "set_aside"): seed_b}

    def test_a_try_that_was_never_prepared_has_none(self, folder: RunFolder) -> None:
        plan_jobs(folder, ["a"])

        work(folder, PracticeLane(trouble={("prepare", "a"): [PlanError("no input")]}))

        assert [(row["status"], row["seed"]) for row in rows_of(folder)] == [("set_aside", "")]


class TestRefusals:
    @pytest.mark.parametrize("stage", ["execute", "finish"])
    def test_a_server_that_refuses_everything_is_left_and_the_rest_stays_waiting(
        self, folder: RunFolder, stage: str
    ) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={(stage, place): [RejectedError(REFUSED, 422)] for place in PLACES})
        events: list[Event] = []

        result = Worker(folder, [lane], quick(), events.append).run()

        assert (result.counts.set_aside, result.counts.waiting) == (3, 5)
        assert "Unrecognized model" in result.left["practice"]
        assert "sdclient retry" in result.left["practice"]
        assert [event.name for event in events].count("left") == 1

    def test_after_retry_and_a_mended_server_everything_is_done(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        work(folder, PracticeLane(trouble={("execute", place): [RejectedError(REFUSED, 422)] for place in PLACES}))
        retry(folder, new_token())

        assert work(folder).counts.done == 8

    def test_another_lane_goes_on(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lanes = [
            PracticeLane("wrong", trouble={("execute", place): [RejectedError(REFUSED, 422)] for place in PLACES}),
            PracticeLane("right", delay_s=0.02),
        ]

        result = Worker(folder, lanes, quick()).run()

        assert result.counts.done + result.counts.set_aside == 8
        assert result.counts.set_aside <= 3

    def test_refusals_in_different_words_are_the_fault_of_each_job(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        lane = PracticeLane(trouble={("execute", place): [RejectedError(f"refused {place}", 422)] for place in PLACES})

        result = work(folder, lane)

        assert (result.counts.set_aside, result.left) == (8, {})


class Draws:
    """A source that draws 3600 J between two looks."""

    name = "bench"

    def __init__(self) -> None:
        self._joules = 0.0

    def read(self) -> Reading:
        self._joules += 3600.0
        return Reading(self._joules)


class MeteredPractice(PracticeLane):
    """A lane that knows what measures it."""

    def __init__(self, *, meter: EnergyMeter | None = None, error: Exception | None = None) -> None:
        super().__init__()
        self.meter = meter
        self.error = error
        self.opened = 0

    def energy_meter(self) -> EnergyMeter | None:
        self.opened += 1
        if self.error is not None:
            raise self.error
        return self.meter


class TestEnergy:
    def test_rows_tell_what_was_drawn_and_what_measured_it(self, folder: RunFolder) -> None:
        plan_jobs(folder, PLACES)
        meter = EnergyMeter(Draws())
        meter.idle_w = 0.0
        lane = MeteredPractice(meter=meter)

        work(folder, lane)

        rows = rows_of(folder)
        assert len(rows) == 8
        assert all(float(row["energy_wh"]) > 0 and float(row["energy_above_idle_wh"]) > 0 for row in rows)
        assert {row["energy_source"] for row in rows} == {"bench"}
        assert lane.opened == 1

    @pytest.mark.parametrize("error", [None, AuthenticationError("401"), RuntimeError("a bug")])
    def test_where_nothing_measures_the_cells_are_empty_and_nothing_else_suffers(
        self, folder: RunFolder, error: Exception | None
    ) -> None:
        plan_jobs(folder, PLACES)

        result = work(folder, MeteredPractice(error=error))

        assert result.counts.done == 8
        assert {row["energy_wh"] + row["energy_above_idle_wh"] + row["energy_source"] for row in rows_of(folder)} == {
            ""
        }

    def test_no_meter_is_opened_where_there_is_nothing_to_do(self, folder: RunFolder) -> None:
        lane = MeteredPractice()

        work(folder, lane)

        assert lane.opened == 0
