"""A program and an address of the user's that are told when a run is in trouble, is stuck, or has ended.

Neither can harm the run: they are told from a thread of their own, one thing at a time, seldom, and for a bounded
time. The program is an argument list without a shell and reads JSON on its standard input; the address gets the same
as a POST, without names of machines or folders above the run's own.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from sdclient.batch.events import Event, Listener
from sdclient.batch.survey import Counts
from sdclient.errors import ConfigurationError, SDClientError
from sdclient.transport import CallLimits, RequestsTransport, origin_of, safe_url

log = logging.getLogger(__name__)

HookEvent: TypeAlias = Literal["server", "set_aside", "stuck", "ended"]
_TROUBLE: dict[str, HookEvent] = {"asleep": "server", "left": "server", "set_aside": "set_aside", "stuck": "stuck"}
_KEPT = 100
_SHORT_S = 60.0
"""A server that asks for a shorter pause is only busy, unless it finishes nothing for as long."""
_LONGEST_WORDS = 1000
_POST = CallLimits(connect_timeout_s=5.0, silence_timeout_s=10.0, deadline_s=10.0, max_reply_bytes=1024 * 1024)


@dataclass(frozen=True, slots=True)
class HookSettings:
    """Who is told.

    Attributes:
        on_trouble: Program and arguments, run for every trouble; empty for none.
        notify: Address that gets a POST at the end and when the run is stuck; empty for none.
        every_s: Seconds between two calls about the same thing.
        patience_s: Seconds the program has; then it is killed.
        end_s: Seconds that the end of a run waits for what is still being told.
    """

    on_trouble: tuple[str, ...] = ()
    notify: str = ""
    every_s: float = 60.0
    patience_s: float = 30.0
    end_s: float = 15.0

    @property
    def is_any(self) -> bool:
        """True where somebody is told."""
        return bool(self.on_trouble or self.notify)

    def check(self) -> None:
        """Refuse what could never be told.

        Raises:
            ConfigurationError: If the program is not there, or the address is none, or holds a password.
        """
        if self.on_trouble and shutil.which(self.on_trouble[0]) is None:
            raise ConfigurationError(
                f"--on-trouble {self.on_trouble[0][:80]!r}: no such program; give its path, and its arguments after it"
            )
        if self.notify:
            try:
                origin_of(self.notify)
            except ConfigurationError as exc:
                raise ConfigurationError(
                    f"--notify {safe_url(self.notify)}: no address, or one with a user name; "
                    "give one such as https://host/path"
                ) from exc


@dataclass(frozen=True, slots=True)
class _Told:
    event: HookEvent
    words: str
    counts: Counts
    server: str = ""
    place: str = ""

    def to_json(self, run: str, left_out: int) -> bytes:
        value: dict[str, object] = {"event": self.event, "run": run, "words": self.words[:_LONGEST_WORDS]}
        value |= {"server": self.server} if self.server else {}
        value |= {"place": self.place} if self.place else {}
        value |= {"left_out": left_out} if left_out else {}
        return (json.dumps({**value, **self.counts.to_json()}, ensure_ascii=False) + "\n").encode()


class Hooks:
    """Tells of one run, from a thread of its own.

    Args:
        out: The output folder.
        lanes: Names of the servers and segmenters.
        settings: Who is told.
        complain: Told a sentence where telling fails, each once; called from a thread of its own.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: If somebody could never be told.
    """

    def __init__(
        self,
        out: Path,
        lanes: Iterable[str],
        settings: HookSettings,
        *,
        complain: Callable[[str], None] = log.warning,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        settings.check()
        self._complain_to = complain
        self._complaints: set[str] = set()
        self._out = out.absolute()
        self._settings = settings
        self._clock = clock
        self._lanes = frozenset(lanes)
        self._down: set[str] = set()
        self._busy_since_s: dict[str, float] = {}
        self._is_stuck = False
        self._last_s: dict[tuple[HookEvent, str], float] = {}
        self._left_out: dict[tuple[HookEvent, str], int] = {}
        self._waiting: queue.Queue[_Told | None] = queue.Queue(_KEPT)
        self._process: subprocess.Popen[bytes] | None = None
        self._is_over = False
        # Started with the first thing to tell: a run that never begins leaves no thread behind.
        self._thread = threading.Thread(target=self._work, name="sdclient-hooks", daemon=True)

    def listen(self, event: Event) -> None:
        """Take an event in; returns at once."""
        kind = _TROUBLE.get(event.name)
        if event.name in ("begun", "done"):
            self._down.discard(event.lane)
            # One that only ever says that it is busy begins, too, again and again: that is told once.
            self._is_stuck = self._is_stuck and event.name == "begun" and event.lane in self._busy_since_s
        elif kind is not None:
            self._try_put(_Told(kind, event.message, event.counts, event.lane, event.place))
        if event.name in ("done", "late", "failed", "set_aside"):
            self._busy_since_s.pop(event.lane, None)
        if event.name == "left" or (event.name == "asleep" and not self._is_only_busy(event)):
            self._down.add(event.lane)
        if not self._is_stuck and self._lanes and self._lanes <= self._down:
            self._is_stuck = True
            self._try_put(_Told("stuck", f"no server draws; the last words: {event.message}", event.counts))

    def _is_only_busy(self, event: Event) -> bool:
        """Tell whether a server asked for a short pause, and finished something not long before."""
        if event.pause_s is None:
            return False
        now = self._clock()
        is_fresh = now - self._busy_since_s.setdefault(event.lane, now) < _SHORT_S
        return is_fresh and event.pause_s < _SHORT_S

    def end(self, counts: Counts, trouble: BaseException | None = None) -> None:
        """Tell of the end, and wait for a bounded time until all is told.

        Args:
            counts: Where all jobs stand.
            trouble: What stopped the run, if anything did.
        """
        words = f"{counts.done} of {counts.jobs} jobs done, {counts.set_aside} set aside, {counts.left} left"
        told = _Told("ended", words if trouble is None else f"{words}; stopped by: {trouble}", counts)
        ends_s = time.monotonic() + self._settings.end_s
        try:
            for one in (told, None):
                self._put(one, timeout_s=max(0.0, ends_s - time.monotonic()))
        except queue.Full:
            self._complain("the program of --on-trouble is too slow; what is left is not told")
        self._thread.join(max(0.0, ends_s - time.monotonic()))
        self._is_over = True
        process = self._process
        if process is not None:
            _kill(process)

    def _try_put(self, told: _Told) -> None:
        try:
            self._put(told)
        except queue.Full:
            log.debug("not told: %s", told)

    def _put(self, told: _Told | None, *, timeout_s: float = 0.0) -> None:
        self._waiting.put(told, timeout=timeout_s)
        if self._thread.ident is None:
            self._thread.start()

    def _work(self) -> None:
        while (told := self._waiting.get()) is not None and not self._is_over:
            self._try(told)

    def _try(self, told: _Told) -> None:
        try:
            self._tell(told)
        except Exception as exc:  # noqa: BLE001 - foreign programs and addresses; nothing of theirs may harm the run
            self._complain(f"telling of {told.event} failed: {exc!r}")

    def _complain(self, text: str) -> None:
        """Say that somebody cannot be told, each sentence once: a slip in an address would go unseen for a night."""
        if text not in self._complaints:
            self._complaints.add(text)
            self._complain_to(text)

    def _tell(self, told: _Told) -> None:
        key = (told.event, told.server)
        now = self._clock()
        last_s = self._last_s.get(key)
        if told.event != "ended" and last_s is not None and now - last_s < self._settings.every_s:
            self._left_out[key] = self._left_out.get(key, 0) + 1
            return
        self._last_s[key] = now
        left_out = self._left_out.pop(key, 0)
        if self._settings.on_trouble and told.event != "ended":
            self._run(self._settings.on_trouble, told.to_json(str(self._out), left_out))
        if self._settings.notify and told.event in ("ended", "stuck"):
            self._post(told.to_json(self._out.name, left_out))

    def _run(self, argv: Sequence[str], data: bytes) -> None:
        try:
            process = subprocess.Popen(
                argv,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # Ctrl-C in the terminal is for the run; and all that the program starts ends with it.
                start_new_session=True,
            )
        except OSError as exc:
            self._complain(f"--on-trouble {argv[0]}: {exc.strerror or exc}")
            return
        self._process = process
        try:
            process.communicate(data, timeout=self._settings.patience_s)
        except subprocess.TimeoutExpired:
            self._complain(f"--on-trouble {argv[0]}: not done in {self._settings.patience_s:g} s, and ended")
            _kill(process)
            process.communicate()
        finally:
            self._process = None
        if process.returncode > 0:
            self._complain(f"--on-trouble {argv[0]}: ended with code {process.returncode}")

    def _post(self, data: bytes) -> None:
        try:
            reply = RequestsTransport().send(
                "POST", self._settings.notify, body=data, headers={"Content-Type": "application/json"}, limits=_POST
            )
        except SDClientError as exc:
            self._complain(f"--notify: {exc}")
            return
        if reply.status >= 300:  # noqa: PLR2004 - where success ends
            self._complain(f"--notify {safe_url(self._settings.notify)}: answered {reply.status}")


@contextmanager
def told_by(
    hooks: HookSettings, out: Path, listener: Listener, counts: Callable[[], Counts]
) -> Generator[Listener, None, None]:
    """Give a listener that tells a program and an address, too, of a run that another engine works on.

    Args:
        hooks: Who is told.
        out: The output folder.
        listener: Who listens already.
        counts: Tells where all jobs stand at the end.
    """
    if not hooks.is_any:
        yield listener
        return
    lock = threading.Lock()

    def complain(text: str) -> None:
        with lock:
            listener(Event("remark", _counted(counts), message=text))

    telling = Hooks(out, (), hooks, complain=complain)

    def listen(event: Event) -> None:
        telling.listen(event)
        with lock:
            listener(event)

    trouble: BaseException | None = None
    try:
        yield listen
    except BaseException as exc:
        trouble = exc
        raise
    finally:
        telling.end(_counted(counts), trouble)


def _counted(counts: Callable[[], Counts]) -> Counts:
    """Count what there is; a folder that cannot be read is told of by what stopped the run."""
    try:
        return counts()
    except SDClientError as exc:
        log.debug("the jobs cannot be counted at the end", exc_info=exc)
        return Counts()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End a program and what it started."""
    try:
        if os.name == "posix":
            os.killpg(process.pid, signal.SIGKILL)
        else:
            process.kill()
    except OSError:
        log.debug("the program has ended by itself")
