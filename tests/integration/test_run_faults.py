"""Runs against servers at which everything goes wrong now and then: nothing is lost, nothing is wrong, little is lost time."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from sdclient.batch.log import read_attempts
from sdclient.batch.worker import WorkerResult
from sdclient.client import Client
from sdclient.run import Run
from sdclient.schemas import Txt2Img
from sdclient.simulator import FAULTS, Simulator
from tests.impatient import IMPATIENT, ImpatientLane, spread

REQUEST = Txt2Img(width=64, height=64, steps=2)
JOBS = 200
# A word about the request itself: the same request would end so again, here or on another server.
FINAL = {"late-422", "out-of-memory"}


def draw(out: Path, faults: list[str], *, jobs: int = JOBS, servers: int = 3) -> tuple[Run, WorkerResult, list[str]]:
    """Draw a plan on servers with these faults; return the faults of every request that asked for an image, too."""
    with ExitStack() as stack:
        started = [
            stack.enter_context(Simulator(faults=faults, seed=number, delay_s=0.01)) for number in range(servers)
        ]
        run = Run(out, run_seed=1).add([f"fox {number}" for number in range(jobs)], REQUEST)
        run.begin([ImpatientLane(Client(server.url)) for server in started], settings=IMPATIENT)
        result = run.wait()
        hit = [one.fault for server in started for one in server.log if one.path.endswith("/txt2img")]
    return run, result, hit


def pixels(run: Run) -> dict[str, object]:
    """Return the hash of every image's pixels, by its place; every file is compared with its record first."""
    assert run.verify() == []
    return {one.place: one.facts["pixels_sha256"] for record in run.folder.records() for one in record.files}


@pytest.mark.slow
def test_two_hundred_jobs_get_through_five_percent_of_faults_of_every_kind(tmp_path: Path) -> None:
    good, _, undisturbed = draw(tmp_path / "good", [])

    run, result, asked = draw(tmp_path / "bad", spread(sorted(FAULTS), 0.05))

    faults = Counter(filter(None, asked))
    reasons = run.status().set_aside
    right = pixels(good)
    assert len(undisturbed) == JOBS
    assert sum(faults.values()) >= 5
    assert result.counts.done + result.counts.set_aside == JOBS
    # Chance puts two faults on the two servers of one job now and then, which sets it aside as well; never for less.
    unlucky = [job for job, reason in reasons.items() if "servers that were well" in reason]
    assert result.counts.set_aside == sum(faults[kind] for kind in FINAL) + len(unlucky)
    rows, _ = read_attempts(run.folder)
    told = {job: [(row["status"], row["server"]) for row in rows if row["place"] == job] for job in unlucky}
    assert all([status for status, _ in tries] == ["failed", "set_aside"] for tries in told.values())
    assert all(len({server for _, server in tries}) == len(tries) for tries in told.values())
    assert 2 * len(unlucky) <= sum(faults.values())
    assert len(reasons) == result.counts.set_aside
    assert all(reasons.values())
    # The same seeds at the same places: what got through is what an undisturbed run draws.
    assert pixels(run).items() <= right.items()
    # One more request for a fault, and no more than that.
    assert len(asked) <= JOBS + sum(faults.values())


@pytest.mark.slow
@pytest.mark.parametrize("kind", FAULTS)
def test_each_kind_of_fault_costs_a_request_and_no_job(tmp_path: Path, kind: str) -> None:
    _, result, asked = draw(tmp_path / "out", [f"{spread([kind], 1.0)[0]},n=2"], jobs=4, servers=1)

    lost = 1 if kind in FINAL else 0
    assert result.left == {}
    assert (result.counts.done, result.counts.set_aside) == (4 - lost, lost)
    assert asked.count(kind) == 1
    assert len(asked) <= 5


def test_a_server_whose_password_was_changed_for_good_leaves_the_run(tmp_path: Path) -> None:
    with Simulator() as server:
        run = Run(tmp_path / "out", run_seed=1).add([f"fox {number}" for number in range(4)], REQUEST)
        server.next_faults(None, *["unauthorized"] * 10)
        run.begin([ImpatientLane(Client(server.url))], settings=IMPATIENT)
        result = run.wait()
        asked = [one for one in server.log if one.path.endswith("/txt2img")]

    assert (result.counts.done, result.counts.waiting) == (1, 3)
    assert "401" in next(iter(result.left.values()))
    # The refused one, and the one that tells that it was no accident: what was ready was not sent.
    assert len(asked) == 3
