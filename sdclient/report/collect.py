"""Reads a run folder into a `RunReport`. What is torn, gone or strange becomes a note, never a failure."""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.log import ATTEMPT_COLUMNS, done_cells, log_paths
from sdclient.batch.plan import Plan, latest_done
from sdclient.batch.record import Record
from sdclient.batch.status import read_status
from sdclient.batch.survey import Counts
from sdclient.errors import RunFolderError, StorageError
from sdclient.files import read_rows
from sdclient.report.gallery import make_cards
from sdclient.report.history import started_s
from sdclient.report.model import RunReport
from sdclient.report.summary import (
    count_changes,
    count_losses,
    summarise_energy,
    summarise_failures,
    summarise_requests,
    summarise_servers,
)

_NEEDED_COLUMNS = frozenset({"job", "status"})
_MAX_NOTES = 50


@dataclass(frozen=True, slots=True)
class RunContent:
    """What was read of a run folder, before anything is made of it.

    Attributes:
        folder: The folder.
        plan: All jobs.
        records: Of every committed job that can be read, by id, in the order of the plan.
        attempts: Every attempt, oldest first.
        set_aside: Places of jobs that are set aside, with the reason.
        counts: Where all jobs stand.
        workers: Sentences about who takes part.
        notes: What could not be read.
        is_at_work: Some worker gives signs of life.
    """

    folder: RunFolder
    plan: Plan
    records: Mapping[str, Record]
    attempts: tuple[Mapping[str, str], ...]
    set_aside: Mapping[str, str]
    counts: Counts
    workers: tuple[str, ...]
    notes: tuple[str, ...]
    is_at_work: bool = False

    @property
    def needs(self) -> dict[str, str]:
        """For each job that works on another job's output: that job's id."""
        return {job.id: job.needs for job in self.plan.jobs.values() if job.needs}


def read_run(folder: RunFolder) -> RunContent:
    """Read everything once.

    Raises:
        RunFolderError: If the plan itself is damaged.
    """
    plan = folder.read_plan()
    notes: list[str] = []
    done = folder.read_done()
    records = _read_records(folder, plan, done, notes)
    status = read_status(folder)
    attempts = _read_attempts(folder, plan, records, notes)
    notes += _cut_logs(folder, [one.worker for one in status.workers if not one.is_gone])
    workers = tuple(
        f"worker {one.worker}{f' ({one.label})' if one.label else ''}{': gone' if one.is_gone else ''}"
        for one in status.workers
    )
    return RunContent(
        folder,
        plan,
        records,
        attempts,
        status.set_aside,
        status.counts,
        workers,
        tuple(notes),
        is_at_work=any(not one.is_gone for one in status.workers),
    )


def make_report(content: RunContent, *, now: dt.datetime | None = None) -> RunReport:
    """Make the report of what was read.

    Args:
        content: What was read.
        now: When this is; None asks the clock.
    """
    cards, notes = make_cards(content.folder, content.plan, content.records)
    current = latest_done(content.plan.jobs, content.records.keys())
    records = [content.records[job] for job in current]
    settings = content.folder.settings
    moment = now or dt.datetime.now(dt.timezone.utc)
    name = content.folder.out.resolve().name or "run"
    return RunReport(
        name=name,
        run_key=hashlib.sha256(f"{settings.run_seed}\0{name}".encode("utf-8", "replace")).hexdigest()[:16],
        made_at=moment.isoformat(timespec="seconds"),
        counts=content.counts,
        workers=content.workers,
        images=cards,
        attempts=content.attempts,
        requests=summarise_requests(content.plan),
        servers=summarise_servers(content.attempts),
        losses=count_losses(records),
        changes=count_changes(records),
        failures=summarise_failures(content.folder, content.attempts, content.set_aside),
        energy=summarise_energy(content.attempts),
        notes=_shortened([*content.notes, *notes]),
        simulated=tuple(
            sorted({str(one.facts.get("server", "")) for one in records if one.facts.get("simulated") is True})
        ),
    )


def _shortened(notes: list[str]) -> tuple[str, ...]:
    more = len(notes) - _MAX_NOTES
    return tuple(notes[:_MAX_NOTES]) + ((f"… and {more} more of these",) if more > 0 else ())


def _read_records(folder: RunFolder, plan: Plan, done: set[str], notes: list[str]) -> dict[str, Record]:
    records: dict[str, Record] = {}
    for job in plan.jobs:
        if job not in done:
            continue
        try:
            records[job] = folder.record(job)
        except RunFolderError as exc:
            notes.append(str(exc))
    return records


def _cut_logs(folder: RunFolder, at_work: Sequence[str]) -> list[str]:
    """Return a sentence for every log that ends inside a row, unless its worker may still be writing it.

    Args:
        folder: The run.
        at_work: First digits of the tokens of workers that are not known to be gone.
    """
    return [
        f"log/{path.name}: cut inside its last row, which is left out"
        for path in log_paths(folder, [])
        if not path.name.startswith(tuple(at_work)) and _is_cut(path)
    ]


def _is_cut(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            if file.seek(0, 2) == 0:
                return False
            file.seek(-1, 2)
            return file.read() != b"\n"
    except OSError:
        # Reading its rows has said so.
        return False


def _read_attempts(
    folder: RunFolder, plan: Plan, records: Mapping[str, Record], notes: list[str]
) -> tuple[Mapping[str, str], ...]:
    rows: list[Mapping[str, str]] = []
    logged: set[tuple[str, str]] = set()
    for path in log_paths(folder, notes):
        try:
            found, problems = read_rows(path)
        except StorageError as exc:
            notes.append(str(exc))
            continue
        notes += problems
        if found and not found[0].keys() >= _NEEDED_COLUMNS:
            notes.append(f"log/{path.name}: of another format, without the columns job and status; left out")
            continue
        rows += found
        logged.update((row["job"], row.get("attempt", "")) for row in found if row["status"] == "done")
    for job, record in records.items():
        if (job, str(record.attempt)) not in logged:
            # Its worker was killed between the commit and the row; the record knows most of it.
            rows.append(dict.fromkeys(ATTEMPT_COLUMNS, "") | done_cells(plan.jobs[job], record))
    rows.sort(key=lambda row: started_s(row) or 0.0)
    return tuple(rows)
