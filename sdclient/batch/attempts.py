"""One worker's tries: claim a job, and bring it to its end, committed or not.

Every way a try can end goes through `Attempts`: the claim's ``.end``, the log row, the board, the event.
"""

from __future__ import annotations

import datetime as dt
import errno
import logging
import os
import shutil
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydantic import JsonValue

from sdclient.batch.board import Board, Candidate
from sdclient.batch.claims import End, Epoch, claim_name, is_token, parse_claim, try_number
from sdclient.batch.commit import commit, make_record
from sdclient.batch.events import EventName, Teller
from sdclient.batch.folder import RunFolder
from sdclient.batch.inputs import Inputs
from sdclient.batch.lane import Executed, Lane, Prepared, Task
from sdclient.batch.log import AttemptLog, done_cells, save_reply
from sdclient.batch.making import content
from sdclient.batch.metrics import Window
from sdclient.batch.patience import is_gone
from sdclient.batch.plan import OutputInput, job_seed
from sdclient.batch.publish import publish_job
from sdclient.batch.record import Outcome, Record
from sdclient.batch.room import require_room
from sdclient.batch.verdict import ServerState, Verdict, judge
from sdclient.errors import CancelledError, RunFolderError, SDClientError, StorageError
from sdclient.files import storage_error, storage_errors

log = logging.getLogger(__name__)

_LOOKS = 3
"""How often an input is looked for that is just being moved to its final place."""


@dataclass(slots=True)
class Try:
    """A claimed job on its way, with the times of its stages (seconds)."""

    task: Task
    lane: Lane
    number: int
    started: str
    began_s: float
    prepare_s: float | None = None
    execute_s: float | None = None
    seed: int | None = None
    ticket: int = 0
    window: Window = field(default_factory=Window)


class Attempts:
    """The tries of one worker; safe to use from all its threads.

    Args:
        folder: The run.
        board: This worker's view of it.
        token: This worker.
        inputs: Finds the inputs.
        teller: Passes events on.
    """

    def __init__(self, folder: RunFolder, board: Board, token: str, *, inputs: Inputs, teller: Teller) -> None:
        self._folder = folder
        self._board = board
        self._token = token
        self._inputs = inputs
        self._teller = teller
        self._log = AttemptLog(folder, token)
        self._lock = threading.Lock()
        self._held: set[tuple[str, int]] = set()
        # Claims of which an error left open whether they were made.
        self._unsure: set[tuple[str, int]] = set()
        self._is_disowned = False
        self.made = 0
        self.images = 0

    @property
    def holds_claims(self) -> bool:
        """True while a claim of ours is open: its end could not be written, or its job is under way."""
        return bool(self._held)

    def disown(self) -> None:
        """Neither commit nor end claims any more: another run lies in the folder now, with claims of its own."""
        self._is_disowned = True

    def close(self) -> None:
        """Close the log."""
        self._log.close()

    # The stages

    def claim(self, candidate: Candidate, lane: Lane) -> Try | None:
        """Claim a job; None when another was faster or it is done by now.

        Raises:
            StorageError: If there is no room, or the claim could neither be made nor refused; the job is given back.
        """
        job = candidate.job
        try:
            require_room(self._folder.out)
            is_ours = self._win(job.id, candidate.epoch)
        except StorageError:
            self._board.lose(job.id)
            raise
        if not is_ours:
            self._board.lose(job.id)
            return None
        # Before anything is spent: opening the record passes by caches that may still say "absent".
        if self._folder.is_done(job.id):
            self._board.mark_done(job.id)
            with suppress(StorageError):
                self._folder.remove_claims(job.id, [candidate.epoch])
            return None
        with self._lock:
            self._held.add((job.id, candidate.epoch))
        self._note_lost(candidate)
        seed = job_seed(self._folder.settings.run_seed, job.kind, job.place)
        task = Task(job, self._board.plan.specs[job.spec], candidate.epoch, seed, None, self._folder.out)
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="milliseconds")
        number = try_number(self._board.epochs(job.id), candidate.epoch)
        return Try(task, lane, number, now, time.monotonic())

    def _win(self, job: str, number: int) -> bool:
        """Make a claim, or find that it was made by us when an error hid it: nobody else would ever end that one."""
        key = (job, number)
        try:
            if self._folder.claim(job, number, self._token):
                return True
            with self._lock:
                may_be_ours = key in self._unsure and key not in self._held
            return may_be_ours and self._is_claimed_by_us(job, number)
        except StorageError:
            with self._lock:
                self._unsure.add(key)
            raise

    def _is_claimed_by_us(self, job: str, number: int) -> bool:
        with storage_errors("read the claims in", self._folder.state):
            claims = self._folder.read_claims()
        return any(one.number == number and one.owner == self._token for one in claims.get(job, ()))

    def _note_lost(self, candidate: Candidate) -> None:
        """Write the row that a worker could not write any more whose job is taken over here.

        Only who wins the claim after a lost one comes here, so each lost try gets one row.
        """
        job = candidate.job
        earlier = [one for one in self._board.epochs(job.id) if one.number < candidate.epoch]
        # What `retry` claims is no try.
        tries = [one for one in earlier if one.end is None or not one.end.resets]
        if not tries or tries[-1].end is not None:
            return
        lost = tries[-1]
        if os.path.exists(self._folder.state / "claims" / f"{claim_name(job.id, lost.number)}.end"):  # noqa: PTH110 - never raises
            # It was only slow, and has told since the last scan how its try ended.
            return
        self._log.write(
            {
                "job": job.id,
                "kind": job.kind,
                "place": job.place,
                "status": "lost",
                "attempt": str(try_number(earlier, lost.number)),
                "worker": lost.owner[:8] if is_token(lost.owner) else "",
                "message": "its worker ended or fell silent in the middle of it; another worker tries it again",
            }
        )

    def prepare(self, one: Try) -> Prepared:
        """Find the input and have the lane prepare the job.

        Raises:
            SDClientError: Whatever the lane says, or what is wrong with the input.
        """
        began = time.monotonic()
        try:
            for look in range(_LOOKS):
                one.task = replace(one.task, input_path=self._inputs.path(one.task.job))
                try:
                    return one.lane.prepare(one.task)
                except (OSError, SDClientError):
                    if look == _LOOKS - 1 or not _has_moved(one.task):
                        raise
            raise RunFolderError(f"{one.task.job.place}: its input does not keep still")
        except (OSError, SDClientError) as exc:
            if is_gone(self._folder.state):
                # Whatever it looks like: inputs are found from here, too. Not the job's fault, and it passes.
                cause = OSError(errno.ENOTCONN, "the folder is not there")
                raise storage_error("read the run in", self._folder.out, cause) from cause
            if not isinstance(exc, StorageError):
                self._inputs.refuse_gone(one.task.job)
            raise
        finally:
            one.prepare_s = time.monotonic() - began

    def finish(self, one: Try, executed: Executed) -> bool:
        """Write, check, commit and publish a job that came back; True when this try made it done.

        May be called again after it raised: nothing of the first call is left then.

        Raises:
            SDClientError: Whatever is wrong with the reply.
            CancelledError: If another run lies in the folder now.
            StorageError: If the disk failed and the job is not done.
        """
        began = time.monotonic()
        task = one.task
        if self._is_disowned:
            raise CancelledError(f"{task.job.place}: was drawn for a run that is not there any more")
        part = self._folder.part_folder(task.job.id, task.epoch, self._token)
        with storage_errors("make the folder", part):
            if part.exists():
                # Of a call before, that could not take it away because the share was gone.
                shutil.rmtree(part)
            part.mkdir()
        try:
            outcome = executed.finish(part)
            record = make_record(task.job.id, task.epoch, self._token, outcome, _facts(one))
            won = commit(self._folder, part, record)
        except BaseException as exc:
            if isinstance(exc, StorageError) and not is_gone(self._folder.state) and not part.exists():
                raise CancelledError(f"{task.job.place}: what was made was swept away while this worker slept") from exc
            shutil.rmtree(part, ignore_errors=True)
            raise
        remarks = self._settle(one, record if won else None)
        self._note_end(one, outcome if won else None, record, time.monotonic() - began)
        for text in (*(outcome.remarks if won else ()), *remarks):
            self._teller.tell("remark", place=task.job.place, message=text)
        return won

    def _settle(self, one: Try, record: Record | None) -> list[str]:
        """Publish what was committed, by us or by a winner who may have died before it did.

        The job is done whatever happens here: what fails is left to the next scan, which sees the claims.
        """
        job = one.task.job.id
        try:
            remarks = publish_job(self._folder, record or self._folder.record(job))
            self._folder.remove_claims(job, range(1, one.task.epoch + 1))
        except (StorageError, RunFolderError) as exc:
            remarks = [f"done, and its files could not be put in their places yet: {exc}"]
        with self._lock:
            self._held.discard((job, one.task.epoch))
        self._board.mark_done(job)
        return remarks

    def _note_end(self, one: Try, outcome: Outcome | None, record: Record, finish_s: float) -> None:
        name: EventName = "late" if outcome is None else "done"
        if outcome is None:
            cells = {"message": "another worker was first"}
        else:
            cells = done_cells(one.task.job, record) | dict(outcome.row)
            with self._lock:
                self.made += 1
                self.images += len(outcome.files)
        self._write(one, name, cells, finish_s=finish_s)
        job = one.task.job
        images = None if outcome is None or job.kind == "segment" else len(outcome.files)
        self._teller.tell(name, lane=one.lane.name, place=job.place, execute_s=one.execute_s, images=images)

    # Ends without a commit

    def fail(self, one: Try, error: BaseException, server: ServerState) -> Verdict:
        """End a try that did not get through.

        Args:
            one: The try.
            error: What it ended with.
            server: What is known of its server.

        Raises:
            StorageError: If its end cannot be written.
        """
        task = one.task
        verdict = judge(error, one.lane.name)
        is_failure = verdict.end.ended == "failed"
        end = replace(
            verdict.end, healthy=server.is_healthy and is_failure, killed_server=server.has_died and is_failure
        )
        if self._is_disowned or (end.ended != "released" and self._is_withdrawn(task.job.id)):
            # Nobody wants it any more. What looked wrong may be its successor's image, in its place.
            return replace(verdict, end=self._give_back(one))
        if end.ended != "released" and self._folder.is_done(task.job.id):
            # Another was first, and what looked wrong may be its output that stands there now.
            self._settle(one, None)
            self._write(one, "late", {"message": "another worker was first", "error": end.error})
            self._teller.tell("late", lane=one.lane.name, place=task.job.place)
            return verdict
        log.debug("job %s (%s)", task.job.id, task.job.place, exc_info=error)
        if verdict.reply and end.ended != "released":
            save_reply(self._folder, task.job.id, one.number, verdict.reply)
        self._end(one, end)
        return verdict

    def release(self, one: Try) -> None:
        """Give a claimed job back untried.

        Raises:
            StorageError: If its end cannot be written.
        """
        if self._is_disowned:
            self._give_back(one)
        else:
            self._end(one, End("released", server=one.lane.name))

    def _is_withdrawn(self, job: str) -> bool:
        with storage_errors("read the plan in", self._folder.state):
            return job in self._folder.read_plan().withdrawn

    def _give_back(self, one: Try) -> End:
        """End a try of which nothing is to be noted; its job is not offered again before the next look."""
        job, epoch, end = one.task.job, one.task.epoch, End("released", server=one.lane.name)
        # Where another run lies, what lies there is ours if made before that was noticed.
        if not self._is_disowned or self._still_owns(job.id, epoch):
            self._folder.end_claim(job.id, epoch, end)
        with self._lock:
            self._held.discard((job.id, epoch))
        self._board.lose(job.id)
        self._teller.tell("released", lane=one.lane.name, place=job.place)
        return end

    def _still_owns(self, job: str, number: int) -> bool:
        with storage_errors("read the claims in", self._folder.state):
            return parse_claim(content(self._folder.state / "claims" / claim_name(job, number))) == self._token

    def _end(self, one: Try, end: End) -> None:
        job, epoch = one.task.job, one.task.epoch
        self._folder.end_claim(job.id, epoch, end)
        with self._lock:
            self._held.discard((job.id, epoch))
        after = self._board.end(job.id, Epoch(epoch, self._token, end))
        is_final = after.state == "set_aside"
        if end.error:
            cells = {"error": end.error, "message": after.words if is_final else end.message}
            self._write(one, "set_aside" if is_final else end.ended, cells)
        name: EventName = "set_aside" if is_final else "failed" if end.ended == "failed" else "released"
        self._teller.tell(name, lane=one.lane.name, place=job.place, message=after.words if is_final else end.message)

    def _write(self, one: Try, status: str, cells: dict[str, str], *, finish_s: float | None = None) -> None:
        job = one.task.job
        self._log.write(
            {
                "job": job.id,
                "kind": job.kind,
                "place": job.place,
                "status": status,
                "attempt": str(one.number),
                "seed": "" if one.seed is None else str(one.seed),
                "server": one.lane.name,
                "dialect": one.lane.dialect,
                "worker": self._token[:8],
                "started": one.started,
                "wall_s": _seconds(time.monotonic() - one.began_s),
                "prepare_s": _seconds(one.prepare_s),
                "finish_s": _seconds(finish_s),
                **one.window.cells(),
                **cells,
                "execute_s": _seconds(one.execute_s),
            }
        )


def _has_moved(task: Task) -> bool:
    """Tell whether the input went away meanwhile: its own worker moved it from its record to its final place."""
    path: Path | None = task.input_path
    return isinstance(task.job.input, OutputInput) and path is not None and not path.exists()


def _facts(one: Try) -> dict[str, JsonValue]:
    return {
        "kind": one.task.job.kind,
        "place": one.task.job.place,
        "server": one.lane.name,
        "dialect": one.lane.dialect,
        "attempt": one.number,
        "started": one.started,
        "execute_s": round(one.execute_s or 0.0, 3),
    }


def _seconds(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
