"""How a generation is doing: steps told over a second connection, a stall noticed, a lost answer looked after.

Servers of the A1111 family name a job by the id that its request carries, and tell of that job alone. Only
so is it known that what runs there is ours; nothing is ever interrupted on less. Draw Things tells nothing.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

from pydantic import JsonValue

from sdclient.client.connection import Connection
from sdclient.dialects.base import Route, names_tasks
from sdclient.errors import MissingRouteError, SDClientError
from sdclient.schemas.server import Progress
from sdclient.transport import CallLimits, CancelToken

log = logging.getLogger(__name__)

_TASK_ROUTE = Route("POST", "/internal/progress")
_LOOK = CallLimits(connect_timeout_s=3.0, deadline_s=5.0, max_reply_bytes=16 * 1024 * 1024)
_LOADING_FACTOR = 3.0
# Those that take an id with a request and answer for it; SD.Next has an interrupt, and no such id.
_NAMES_JOBS = frozenset({"a1111", "forge"})
_MAX_UNKNOWN_LOOKS = 4
# Nobody interrupts by hand what is shorter, and a look behind it would cost more than a hundredth of its time.
_LOOK_BACK_FROM_S = 1.0
# What the GPU may have to wait for.
_BRIEF = CallLimits(connect_timeout_s=1.0, deadline_s=1.0, max_reply_bytes=1024 * 1024)


@dataclass(frozen=True, slots=True)
class TaskState:
    """What a server says of one job by its id; all false where it does not know the id.

    Attributes:
        active: It is being drawn now.
        queued: It waits for its turn.
        completed: It is over.
    """

    active: bool
    queued: bool
    completed: bool

    @property
    def known(self) -> bool:
        """Whether the server knows the job."""
        return self.active or self.queued or self.completed


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far one generation is.

    Attributes:
        fraction: How much of the whole request is done, 0 to 1; None where that is not told.
        step: The step being drawn; None where that is not told.
        steps: Steps of this image or pass.
        part: Which image or pass is drawn, from 1.
        parts: How many there are.
        eta_s: Seconds left, as the server guesses.
        is_queued: Whether the request waits behind somebody else's.
    """

    fraction: float | None = None
    step: int | None = None
    steps: int | None = None
    part: int | None = None
    parts: int | None = None
    eta_s: float | None = None
    is_queued: bool = False


OnProgress = Callable[[StepProgress], None]


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """How a running generation is watched.

    Attributes:
        on_progress: Told whenever something changes; called on a thread of its own, and short.
        stall_s: Seconds without any change after which the server is taken for stuck, three times as many before
            the first step (a model may be loading); None waits as long as the connection lives.
        interval_s: Seconds between two looks.
    """

    on_progress: OnProgress | None = None
    stall_s: float | None = None
    interval_s: float = 0.5


class Watcher:
    """Watches one call from another thread, and ends it through its token where it stands still.

    Args:
        connection: The server.
        task_id: The id that the call carries.
        policy: What to look for.
        token: Ends the call.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        connection: Connection,
        task_id: str,
        policy: WatchPolicy,
        token: CancelToken,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._connection = connection
        self._task_id = task_id
        self._policy = policy
        self._token = token
        self._clock = clock
        self._over = threading.Event()
        self._look_token = CancelToken()
        self._thread = threading.Thread(target=self._loop, name="sdclient-progress", daemon=True)
        self._last: StepProgress | None = None
        self._changed_s = clock()
        self._tells_of_tasks = True
        self._unknown_looks = 0
        self._theirs: str | None = None
        self.is_stalled = False
        self.was_interrupted = False

    def look_before(self) -> None:
        """Remember whose job runs before ours is sent; only for a server that gives jobs names of its own.

        While that one runs, ours waits. Of several that wait there, ours is taken for the next one, for nothing tells.
        """
        if self._connection.dialect.name in _NAMES_JOBS:
            return
        try:
            seen = _progress(self._connection, limits=_BRIEF, cancel=self._look_token)
        except SDClientError as exc:
            log.debug("progress before a drawing: %s", exc)
            return
        self._theirs = None if seen.is_idle else seen.job_id or None

    def start(self) -> None:
        """Begin; to be called when the request has been sent."""
        self._changed_s = self._clock()
        self._thread.start()

    def stop(self) -> None:
        """End, and wait until nobody is told anything any more: at once, whatever a look is waiting for."""
        self._over.set()
        self._look_token.cancel()
        if self._thread.ident is not None:
            self._thread.join(timeout=2 * (_LOOK.deadline_s or 0.0))

    def _loop(self) -> None:
        while not self._over.wait(self._policy.interval_s):
            try:
                self._look()
            except MissingRouteError:
                # It tells nothing at all, so standing still cannot be told from working.
                return
            except SDClientError as exc:
                # The look was lost, not the image; standing still is noticed by the clock.
                log.debug("progress: %s", exc)
            if self._stands_still():
                self.is_stalled = True
                self._token.cancel()
                return

    def _look(self) -> None:
        state = self._state()
        if state is not None and state.queued:
            self._tell(StepProgress(is_queued=True))
        elif state is not None and state.completed:
            # Drawn; the reply is being encoded or on its way.
            self._tell(StepProgress(fraction=1.0))
        elif state is None or state.active:
            self._tell_steps(is_ours=state is not None)

    def _tell_steps(self, *, is_ours: bool) -> None:
        seen = _progress(self._connection, limits=_LOOK, cancel=self._look_token)
        if not is_ours and self._theirs is not None and seen.job_id == self._theirs:
            self._tell(StepProgress(is_queued=True))
            return
        if is_ours and (seen.interrupted or seen.skipped):
            # Ours may have ended between the two looks, and then it is somebody else's that was interrupted.
            state = self._state()
            self.was_interrupted = self.was_interrupted or (state is not None and state.active)
        part = None if seen.job_no is None else seen.job_no + 1
        parts = seen.job_count if seen.job_count and seen.job_count > 0 else None
        self._tell(StepProgress(seen.fraction, seen.step, seen.steps, part, parts, seen.eta_s))

    def _state(self) -> TaskState | None:
        """Return what is known of our job; None where this server does not tell of jobs by id."""
        if not self._tells_of_tasks:
            return None
        state = task_state(self._connection, self._task_id, cancel=self._look_token)
        if state is not None and not state.known:
            # Versions that do not take an id from a request know nothing of it, ever.
            self._unknown_looks += 1
            state = None if self._unknown_looks >= _MAX_UNKNOWN_LOOKS else state
        self._tells_of_tasks = state is not None
        return state

    def _tell(self, progress: StepProgress) -> None:
        # The guess of the time left changes even while everything stands still.
        known = replace(progress, eta_s=None)
        if known == self._last or self._over.is_set():
            return
        self._last = known
        self._changed_s = self._clock()
        if self._policy.on_progress is None:
            return
        try:
            self._policy.on_progress(progress)
        except Exception:
            # Foreign code; a bar that fails is no reason to lose an image.
            log.exception("on_progress failed; it is not called again for this image")
            self._policy = WatchPolicy(None, self._policy.stall_s, self._policy.interval_s)

    def _stands_still(self) -> bool:
        if self._policy.stall_s is None or (self._last is not None and self._last.is_queued):
            return False
        # Unverified [forge-steps]: Forge may tell step 0 all along; then the longer limit holds.
        has_begun = self._last is not None and bool(self._last.step)
        limit_s = self._policy.stall_s * (1.0 if has_begun else _LOADING_FACTOR)
        return self._clock() - self._changed_s > limit_s


def why_not_stopped(connection: Connection) -> str:
    """Say why a drawing that is under way cannot be stopped on this kind of server; empty where it can."""
    if connection.dialect.route("interrupt") is None:
        return "cannot be interrupted"
    if connection.dialect.name not in _NAMES_JOBS:
        return "does not tell whose image it draws, and is not interrupted for somebody else's sake"
    return ""


def was_cut_short(connection: Connection, elapsed_s: float, *, cancel: CancelToken | None = None) -> bool:
    """Tell whether somebody interrupted or skipped the drawing whose reply is just here.

    A1111 and Forge say so until the next job begins. What cannot be seen: a drawing behind which somebody else's job
    began at once, an image that was skipped and was not the last of its request, and what took less than a second.

    Args:
        connection: The server; one that does not tell whose job it draws is not asked.
        elapsed_s: Seconds the drawing took.
        cancel: Ends the question from another thread.
    """
    if elapsed_s < _LOOK_BACK_FROM_S or connection.dialect.name not in _NAMES_JOBS:
        return False
    try:
        seen = _progress(connection, limits=_BRIEF, cancel=cancel)
    except SDClientError as exc:
        log.debug("progress behind a drawing: %s", exc)
        return False
    return seen.is_idle and bool(seen.interrupted or seen.skipped)


def _progress(connection: Connection, *, limits: CallLimits, cancel: CancelToken | None) -> Progress:
    route = connection.route("progress")
    # Without this the server would make and send a preview each time.
    quiet = Route(route.method, f"{route.path}?skip_current_image=true")
    return Progress.read(connection.ask_route(quiet, limits=limits, cancel=cancel).body)


def tells_progress(connection: Connection) -> bool:
    """Tell whether this kind of server can be asked how a generation is doing."""
    return names_tasks(connection.dialect)


def task_state(connection: Connection, task_id: str, *, cancel: CancelToken | None = None) -> TaskState | None:
    """Ask for one job by its id.

    Args:
        connection: The server.
        task_id: The id that the job's request carried.
        cancel: Ends the question from another thread.

    Returns:
        What the server says; None where it does not tell of jobs by id, or cannot be asked now.
    """
    body: dict[str, JsonValue] = {"id_task": task_id, "id_live_preview": -1, "live_preview": False}
    try:
        answer = connection.ask_route(_TASK_ROUTE, body, limits=_LOOK, cancel=cancel).body
    except SDClientError as exc:
        log.debug("progress of %s: %s", task_id, exc)
        return None
    if not isinstance(answer, dict):
        return None
    said = cast("dict[str, object]", answer)
    return TaskState(said.get("active") is True, said.get("queued") is True, said.get("completed") is True)


def look_after(connection: Connection, task_id: str) -> str:
    """Find out what became of a job whose answer will not be read, and stop it where it still runs and is ours.

    Such servers go on drawing when their client has gone, and nobody would ever get the image.

    Returns:
        One sentence for a message; empty where nothing is known.
    """
    if not tells_progress(connection):
        return ""
    state = task_state(connection, task_id)
    if state is None:
        return ""
    if state.active:
        try:
            connection.ask("interrupt", {}, limits=_LOOK)
        except SDClientError as exc:
            log.debug("interrupt of %s: %s", task_id, exc)
            return "the server is still drawing it"
        return "the server was still drawing it and was told to stop"
    if state.queued:
        return "the server still has it in its queue"
    return "the server had finished it" if state.completed else "the server knows nothing of it"
