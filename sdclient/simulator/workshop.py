"""One generation at a time, in the order of arrival, with progress and interruption."""

from __future__ import annotations

import base64
import io
import threading
import time
from collections import deque
from collections.abc import Generator
from contextlib import contextmanager

from PIL import Image

__all__ = ["Job", "Workshop", "WorkshopClosedError"]

# Real servers tick once per sampling step; a request for a million steps must not make a million ticks.
_MOST_TICKS = 200
_REMEMBERED_TASKS = 16
_PREVIEW_PX = 256


class WorkshopClosedError(Exception):
    """The simulator was stopped while a request waited or was being painted."""


class Job:
    """The running of one request, as `progress` shows it and `interrupt` ends it.

    Args:
        task_id: Name under which the progress of this one request can be asked for.
        kind: What is being done, for example `scripts_txt2img`.

    Attributes:
        preview: The last thing worth showing as base64, or None.
        era: How often the workshop had been closed when this job came.
    """

    def __init__(self, task_id: str, kind: str) -> None:
        self.task_id = task_id
        self.kind = kind
        self.started_s = time.monotonic()
        self.started_at = time.time()
        self.job_count = -1
        self.job_no = 0
        self.sampling_steps = 0
        self.interrupted = False
        self.skipped = False
        self.preview: str | None = None
        self.era = 0
        self._hurry = threading.Event()
        self._is_skip_over = False
        self._step = 0
        self._booked_from_s = 0.0
        self._booked_s = 0.0

    @property
    def sampling_step(self) -> int:
        """Steps done of the current image."""
        return round(self._booked_share() * self.sampling_steps) if self._booked_s else self._step

    @property
    def progress(self) -> float:
        """How much of the request is done, 0 to 1."""
        if self.job_count <= 0:
            return 0.0
        if self._booked_s:
            return self._booked_share()
        step = self.sampling_step / self.sampling_steps if self.sampling_steps else 0.0
        return min(1.0, (self.job_no + step) / self.job_count)

    @property
    def remaining_s(self) -> float:
        """Seconds this will still take, guessed from what was done so far; 0 as long as nothing was."""
        elapsed_s = time.monotonic() - self.started_s
        return elapsed_s / self.progress - elapsed_s if self.progress > 0 else 0.0

    def show(self, image: Image.Image) -> None:
        """Keep a small copy of `image` as the preview."""
        small = image.convert("RGB")
        small.thumbnail((_PREVIEW_PX, _PREVIEW_PX))
        buffer = io.BytesIO()
        small.save(buffer, "PNG")
        self.preview = base64.b64encode(buffer.getvalue()).decode("ascii")

    def expose(self, steps: int, delay_s: float) -> float:
        """Pass through the sampling steps of one image.

        Args:
            steps: Steps the request asks for, at least 1.
            delay_s: Seconds all of them take together.

        Returns:
            The part of the steps that was done before an interruption, 0 to 1.
        """
        if self._is_skip_over:
            # Told until the next image begins.
            self.skipped = self._is_skip_over = False
        ticks = min(steps, _MOST_TICKS)
        self.sampling_steps, self._step = steps, 0
        begun_s = time.monotonic()
        for tick in range(1, ticks + 1):
            # Each tick has its own moment, so that waits which last a little longer do not add up.
            left_s = begun_s + delay_s * tick / ticks - time.monotonic()
            if self._hurry.wait(left_s) if left_s > 0 else self._hurry.is_set():
                break
            self._step = steps * tick // ticks
        if self.skipped and not self.interrupted:
            self._is_skip_over = True
            self._hurry.clear()
        return self._step / steps

    def book(self, steps: int, delay_s: float) -> None:
        """Put `delay_s` on the bill of this job, to be waited for by `settle_up` at its end."""
        self.sampling_steps = steps
        self._booked_s += delay_s

    def start_booking(self, from_s: float) -> None:
        """Count what is booked from this moment on the monotonic clock."""
        self._booked_from_s = from_s

    def settle_up(self) -> float:
        """Wait for what was booked, unless the job is interrupted or skipped.

        Returns:
            The moment at which the job ended on its bill: its due time, or now if that was cut short.
        """
        due_s = self._booked_from_s + self._booked_s
        left_s = due_s - time.monotonic()
        if left_s > 0:
            self._hurry.wait(left_s)
        return min(due_s, time.monotonic())

    def _booked_share(self) -> float:
        return min(1.0, max(0.0, (time.monotonic() - self._booked_from_s) / self._booked_s))

    def interrupt(self) -> None:
        """End the whole job soon, with what there is."""
        self.interrupted = True
        self._hurry.set()

    def skip(self) -> None:
        """End the current image soon and go on with the next."""
        self.skipped = True
        self._hurry.set()


class Workshop:
    """The one GPU of a server: a FIFO lock that knows who works and who waits.

    Args:
        delay_s: Extra seconds spent on every generated image.
        punctual: Let the server's own work count as part of the delay, so that a reply is ready exactly `delay_s` per
            image after its request had arrived, or after the job before it had ended.

    Attributes:
        opened_s: Since when it takes work, on the monotonic clock.
    """

    def __init__(self, delay_s: float = 0.0, *, punctual: bool = False) -> None:
        self.delay_s = delay_s
        self._punctual = punctual
        self._free_since_s = 0.0
        self.opened_s = time.monotonic()
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._finished: deque[str] = deque(maxlen=_REMEMBERED_TASKS)
        self._current: Job | None = None
        self._last: Job | None = None
        self._closed = False
        self._era = 0

    @property
    def current(self) -> Job | None:
        """The job being worked on, or None."""
        return self._current

    @property
    def last(self) -> Job | None:
        """The job being worked on, or the one before; None where there was none yet."""
        return self._last

    @property
    def pending(self) -> list[str]:
        """Task ids of the requests that wait, first come first."""
        with self._changed:
            return [job.task_id for job in self._waiting]

    @property
    def finished(self) -> list[str]:
        """Task ids of the last requests that ended."""
        with self._changed:
            return list(self._finished)

    @contextmanager
    def turn(self, task_id: str, kind: str, arrived_s: float | None = None) -> Generator[Job, None, None]:
        """Wait in line, then hold the GPU for the length of the block, and for what is left of the delay if punctual.

        Args:
            task_id: Name under which the progress of this one request can be asked for.
            kind: What is being done.
            arrived_s: When the request was there, on the monotonic clock; None for now.

        Raises:
            WorkshopClosedError: If the simulator is stopped meanwhile.
        """
        job = Job(task_id, kind)
        with self._changed:
            job.era = self._era
            self._waiting.append(job)
            self._changed.wait_for(lambda: self._is_stale(job) or self._is_next(job))
            self._waiting.remove(job)
            self._check_open(job)
            self._current = self._last = job
        job.started_s = time.monotonic()
        job.start_booking(max(self._free_since_s, job.started_s if arrived_s is None else arrived_s))
        try:
            yield job
            self._free_since_s = job.settle_up()
            self._check_open(job)
        finally:
            with self._changed:
                self._current = None
                self._finished.append(task_id)
                self._changed.notify_all()

    def expose(self, job: Job, steps: int, images: float = 1) -> float:
        """Spend this server's delay on `images` images made side by side; see `Job.expose`.

        Raises:
            WorkshopClosedError: If the simulator is stopped meanwhile.
        """
        if self._punctual:
            job.book(steps, self.delay_s * images)
            done = 1.0
        else:
            done = job.expose(steps, self.delay_s * images)
        self._check_open(job)
        return done

    def open(self) -> None:
        """Take work (again); nothing is remembered of what was finished before."""
        with self._changed:
            self._closed = False
            self._finished.clear()
            self.opened_s = time.monotonic()

    @property
    def waiting(self) -> int:
        """How many requests wait, beside the one being worked on."""
        with self._changed:
            return len(self._waiting)

    def close(self) -> None:
        """Send everybody home: waiting jobs end now, the running one at its next step."""
        with self._changed:
            self._closed = True
            self._era += 1
            if self._current is not None:
                self._current.interrupt()
            self._changed.notify_all()

    def _is_stale(self, job: Job) -> bool:
        """Tell whether the server was closed since this job came, even if it is open again."""
        return self._closed or job.era != self._era

    def _check_open(self, job: Job) -> None:
        if self._is_stale(job):
            raise WorkshopClosedError(job.task_id)

    def _is_next(self, job: Job) -> bool:
        return self._current is None and self._waiting[0] is job
