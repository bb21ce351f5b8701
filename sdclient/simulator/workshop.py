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
    """

    def __init__(self, task_id: str, kind: str) -> None:
        self.task_id = task_id
        self.kind = kind
        self.started_s = time.monotonic()
        self.started_at = time.time()
        self.job_count = -1
        self.job_no = 0
        self.sampling_step = 0
        self.sampling_steps = 0
        self.interrupted = False
        self.skipped = False
        self.preview: str | None = None
        self._hurry = threading.Event()

    @property
    def progress(self) -> float:
        """How much of the request is done, 0 to 1."""
        if self.job_count <= 0:
            return 0.0
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
        ticks = min(steps, _MOST_TICKS)
        self.sampling_steps, self.sampling_step = steps, 0
        for tick in range(1, ticks + 1):
            if self._hurry.wait(delay_s / ticks) if delay_s > 0 else self._hurry.is_set():
                break
            self.sampling_step = steps * tick // ticks
        if self.skipped and not self.interrupted:
            self.skipped = False
            self._hurry.clear()
        return self.sampling_step / steps

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
    """

    def __init__(self, delay_s: float = 0.0) -> None:
        self.delay_s = delay_s
        self._changed = threading.Condition()
        self._waiting: deque[Job] = deque()
        self._finished: deque[str] = deque(maxlen=_REMEMBERED_TASKS)
        self._current: Job | None = None
        self._closed = False

    @property
    def current(self) -> Job | None:
        """The job being worked on, or None."""
        return self._current

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
    def turn(self, task_id: str, kind: str) -> Generator[Job, None, None]:
        """Wait in line, then hold the GPU for the length of the block.

        Raises:
            WorkshopClosedError: If the simulator is stopped meanwhile.
        """
        job = Job(task_id, kind)
        with self._changed:
            self._waiting.append(job)
            self._changed.wait_for(lambda: self._closed or self._is_next(job))
            self._waiting.remove(job)
            if self._closed:
                raise WorkshopClosedError(task_id)
            self._current = job
        job.started_s = time.monotonic()
        try:
            yield job
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
        done = job.expose(steps, self.delay_s * images)
        if self._closed:
            raise WorkshopClosedError(job.task_id)
        return done

    def open(self) -> None:
        """Take work (again)."""
        with self._changed:
            self._closed = False

    def close(self) -> None:
        """Send everybody home: waiting jobs end now, the running one at its next step."""
        with self._changed:
            self._closed = True
            if self._current is not None:
                self._current.interrupt()
            self._changed.notify_all()

    def _is_next(self, job: Job) -> bool:
        return self._current is None and self._waiting[0] is job
