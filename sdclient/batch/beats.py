"""Signs of life: each worker rewrites its beat in place, and watches the others' by observation.

A beat is stale when its bytes did not change for the lease, measured on the *reader's* own
monotonic clock; file times and other machines' clocks are never looked at. A process that is
certainly gone on this very machine is stale at once.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdclient.batch.identity import ProcessIdentity, own_identity
from sdclient.batch.listing import names_in

log = logging.getLogger(__name__)

BEAT_BYTES = 512
"""A beat's fixed size: rewriting in place never makes the file shorter or longer."""
_LABEL_CHARS = 40


@dataclass(frozen=True, slots=True)
class Beat:
    """What one beat says.

    Attributes:
        counter: Grows with every beat.
        identity: The process that writes it.
        label: What the worker is called in lists (a short name, never a host name).
        kinds: The kinds of jobs it can still do.
    """

    counter: int
    identity: ProcessIdentity
    label: str = ""
    kinds: frozenset[str] = frozenset()

    def to_bytes(self) -> bytes:
        """Return the beat as a line of exactly ``BEAT_BYTES`` bytes."""
        text = self._text(sorted(self.kinds))
        if len(text) >= BEAT_BYTES:
            # Kinds with absurd names are left out rather than cut in two: a beat must stay readable.
            text = self._text([])
        return text.encode("ascii").ljust(BEAT_BYTES - 1)[: BEAT_BYTES - 1] + b"\n"

    def _text(self, kinds: list[str]) -> str:
        who = self.identity
        value: dict[str, object] = {
            "counter": self.counter,
            "boot": who.boot,
            "namespace": who.namespace,
            "pid": who.pid,
            "start": who.start,
            "label": self.label.encode("ascii", "replace").decode()[:_LABEL_CHARS],
            "kinds": kinds,
        }
        return json.dumps(value)


def parse_beat(data: bytes) -> Beat | None:
    """Read a beat; None where the bytes are torn or foreign."""
    try:
        value = json.loads(data)
        identity = ProcessIdentity(str(value["boot"]), str(value["namespace"]), int(value["pid"]), str(value["start"]))
        kinds = frozenset(str(kind) for kind in value.get("kinds", ()))
        return Beat(int(value["counter"]), identity, str(value.get("label", "")), kinds)
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None


class BeatWriter:
    """Rewrites this worker's beat every ``beat_s`` on a thread of its own.

    After half a lease without a successful beat the worker is *fenced*: it must claim nothing new,
    because others may rightly take over what it holds.

    Args:
        path: The beat.
        beat_s: Seconds between two beats.
        lease_s: The run's lease, in seconds.
        label: What the worker is called in lists.
        kinds: Tells the kinds of jobs the worker can still do.
        is_well: Tells whether the worker itself still moves; a worker that hangs must fall silent.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        path: Path,
        *,
        beat_s: float,
        lease_s: float,
        label: str = "",
        kinds: Callable[[], Iterable[str]] = frozenset,
        is_well: Callable[[], bool] = lambda: True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._path = path
        self._beat_s = beat_s
        self._fence_s = lease_s / 2
        self._label = label
        self._kinds = kinds
        self._is_well = is_well
        self._clock = clock
        self._counter = 0
        self._last_good: float | None = None
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_fenced(self) -> bool:
        """True when no beat got through for half a lease."""
        return self._last_good is None or self._clock() - self._last_good > self._fence_s

    def beat(self) -> bool:
        """Write one beat now; returns whether it got through."""
        self._counter += 1
        data = Beat(self._counter, own_identity(), self._label, frozenset(self._kinds())).to_bytes()
        began = self._clock()
        try:
            _rewrite(self._path, data)
        except OSError as exc:
            log.warning("%s: the sign of life was not written (%s)", self._path, exc.strerror or exc)
            return False
        # Counted from before the write: others may have read the old bytes until then.
        self._last_good = began
        return True

    def start(self) -> None:
        """Beat once and go on beating in the background."""
        self.beat()
        self._thread = threading.Thread(target=self._loop, name="sdclient-beat", daemon=True)
        self._thread.start()

    def stop(self, *, remove: bool) -> None:
        """Stop beating; ``remove`` says that nothing is held any more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(timeout=self._beat_s + 5)
        if remove:
            # Left behind it does no harm: the process is gone soon, and `clean` takes it away.
            with suppress(OSError):
                self._path.unlink(missing_ok=True)

    def _loop(self) -> None:
        while not self._stop.wait(self._beat_s):
            if self._is_well():
                self.beat()
            else:
                log.warning("%s: no sign of life, because the worker hangs", self._path)


def _rewrite(path: Path, data: bytes) -> None:
    # Never a rename onto it: readers on SMB may have it open, and a rename would then be refused.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o644)
    try:
        rest = data
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class Watcher:
    """Judges which workers are gone, from beats seen over time. Pure: the caller reads files and clocks.

    Args:
        lease_s: Seconds without a change after which a worker may be taken for dead.
        beat_s: Seconds between beats.
    """

    def __init__(self, *, lease_s: float, beat_s: float) -> None:
        self._lease_s = lease_s
        # Wider than a beat: one scan of a large folder on a slow share takes longer than that, and a
        # watcher that forgot everything at each scan would never take anything over.
        self._gap_s = max(beat_s, lease_s / 3)
        self._seen: dict[str, tuple[bytes | None, float]] = {}
        self._gone: set[str] = set()
        self._read_s: float | None = None
        self._first_seen_s = 0.0

    def observe(self, beats: Mapping[str, bytes], began_s: float, ended_s: float | None = None) -> None:
        """Take note of all beats as they read now.

        Args:
            beats: Contents of every file in ``beats/``, by token.
            began_s: This process's monotonic clock before they were read, in seconds.
            ended_s: The same clock after; None where reading took no time.
        """
        self._first_seen_s = began_s if ended_s is None else ended_s
        if self._read_s is not None and began_s - self._read_s > self._gap_s:
            # We ourselves slept (or the share was gone): what looks unchanged proves nothing.
            self._seen.clear()
        self._read_s = began_s
        for token in {**dict.fromkeys(self._seen), **beats}:
            data = beats.get(token)
            before = self._seen.get(token)
            if before is None or before[0] != data:
                # From after the reading, and judged from before it: both to the worker's advantage.
                self._seen[token] = (data, self._first_seen_s)
        # A token is never used again, so who is gone stays gone.
        self._gone = {token for token in beats if token in self._gone or _is_gone(beats[token])}

    def is_gone(self, token: str) -> bool:
        """Tell whether the process behind ``token`` has certainly ended."""
        return token in self._gone

    def is_stale(self, token: str) -> bool:
        """Tell whether the worker behind ``token`` may be taken for dead, as of the last look.

        A token that was never seen starts its time now.
        """
        if token in self._gone:
            return True
        if self._read_s is None:
            return False
        seen = self._seen.setdefault(token, (None, self._first_seen_s))
        return self._read_s - seen[1] >= self._lease_s


def _is_gone(data: bytes) -> bool:
    beat = parse_beat(data)
    return beat is not None and beat.identity.is_certainly_gone()


def read_beats(folder: Path) -> dict[str, bytes]:
    """Read every beat in ``folder``; a beat that vanishes meanwhile is left out."""
    beats: dict[str, bytes] = {}
    for name in names_in(folder):
        with suppress(OSError):
            beats[name] = (folder / name).read_bytes()
    return beats
