"""The right to try a job: what claims say, and the decision what may be done next.

A claim is a file made exclusively, ``<job>.e<NNNNNN>``; its number, the *epoch*, only grows. It is
never rewritten. ``….end`` beside it says how the try ended without a commit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

from sdclient.batch.identity import TOKEN_DIGITS

MAX_FAILED = 3
"""Failed tries of one job, over all machines, after which it is set aside."""

DEATHS = 2
"""Times a server must have ended during a job, whichever server it was, to set the job aside."""

HEALTHY_SERVERS = 2
"""Different healthy servers a job must fail on to be set aside before that."""

Ended: TypeAlias = Literal["released", "failed", "set_aside"]
State: TypeAlias = Literal["waiting", "failed", "claimed", "set_aside"]

_CLAIM = re.compile(r"([0-9a-f]{20})\.e(\d{6,})(\.end)?")
_TOKEN = re.compile(rf"[0-9a-f]{{{TOKEN_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class End:
    """How a try ended without a commit.

    Attributes:
        ended: ``released`` does not count as a try; ``failed`` does; ``set_aside`` is final until retry.
        error: Class name of the error; empty when released.
        message: The error's words, cut short.
        server: Name of the server (or segmenter) it ran on.
        healthy: True when that server had nothing against it before this failure.
        killed_server: True when that server ended while it drew the job.
        resets: Set by ``retry``: failures before this epoch do not count any more.
    """

    ended: Ended
    error: str = ""
    message: str = ""
    server: str = ""
    healthy: bool = False
    killed_server: bool = False
    resets: bool = False

    def to_bytes(self) -> bytes:
        """Return the file content."""
        value: dict[str, object] = {"ended": self.ended}
        if self.error:
            value |= {"error": self.error, "message": self.message[:2000]}
        if self.server:
            value["server"] = self.server
        if self.healthy:
            value["healthy"] = True
        if self.killed_server:
            value["killed_server"] = True
        if self.resets:
            value["tries"] = 0
        return (json.dumps(value, ensure_ascii=False) + "\n").encode()


TORN = End("failed", "TornRecord", "the record of how this try ended is torn")


def parse_end(data: bytes) -> End:
    """Read an ``.end`` file; a torn one counts as failed."""
    try:
        value = json.loads(data)
        ended = value["ended"]
        if ended not in ("released", "failed", "set_aside"):
            return TORN
        return End(
            ended,
            str(value.get("error", "")),
            str(value.get("message", "")),
            str(value.get("server", "")),
            healthy=value.get("healthy") is True,
            killed_server=value.get("killed_server") is True,
            resets=value.get("tries") == 0,
        )
    except (ValueError, KeyError, TypeError, RecursionError):
        return TORN


@dataclass(frozen=True, slots=True)
class Epoch:
    """One claim of one job.

    Attributes:
        number: 1 for the first try.
        owner: Token of the claiming worker; the claim's own file name where its content is torn, so that it can
            be watched like a worker that never beats.
        end: How it ended; None while it is open.
    """

    number: int
    owner: str
    end: End | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a job without a record stands.

    Attributes:
        state: One of the words of ``status``.
        next_epoch: The epoch to claim; None where the job must not be claimed now.
        failures: Failed tries that count.
        last: How the last finished try ended, if any did.
        because: Why it is set aside though its last try may have failed only; empty where the last try says all.
    """

    state: State
    next_epoch: int | None
    failures: int = 0
    last: End | None = None
    because: str = ""

    @property
    def words(self) -> str:
        """Say why it was set aside or failed; empty where it was not."""
        message = self.last.message if self.last else ""
        return f"{self.because}: {message}" if self.because else message


FRESH = Standing("waiting", 1)
"""Where a job stands that nobody has begun; shared, since most jobs of a large run are such."""
CLAIMED = Standing("claimed", None)
"""Where a job stands that is being tried, when nothing else is known of it."""


def standing(epochs: Sequence[Epoch], is_stale: Callable[[Epoch], bool]) -> Standing:
    """Decide what may be done with a job that is not done.

    Args:
        epochs: Its claims, in order of their numbers.
        is_stale: Whether the worker behind an open claim may be taken for dead.
    """
    if not epochs:
        return FRESH
    ends = [epoch.end for epoch in epochs if epoch.end is not None]
    last = ends[-1] if ends else None
    failures = count_failures(ends)
    latest = epochs[-1]
    if latest.end is None and not is_stale(latest):
        return Standing("claimed", None, failures, last)
    if last is not None and last.ended == "set_aside":
        return Standing("set_aside", None, failures, last)
    because = why_no_more(ends)
    if because:
        return Standing("set_aside", None, failures, last, because)
    return Standing("failed" if failures else "waiting", latest.number + 1, failures, last)


def try_number(epochs: Sequence[Epoch], number: int) -> int:
    """Return which try of its job a claim is, from 1: what `retry` claims is none.

    Args:
        epochs: The job's claims, as far as they are known.
        number: The claim's epoch.
    """
    return number - sum(one.number < number and one.end is not None and one.end.resets for one in epochs)


def count_failures(ends: Sequence[End]) -> int:
    """Count the failed tries since the last ``retry``."""
    return len(_counted(ends))


def _counted(ends: Sequence[End]) -> list[End]:
    counted: list[End] = []
    for end in ends:
        if end.resets:
            counted.clear()
        elif end.ended == "failed":
            counted.append(end)
    return counted


def why_no_more(ends: Sequence[End]) -> str:
    """Say why a job must not be tried any more; empty where it may.

    A job that fails on two different servers that had nothing against them before, or during which a server ended
    twice, is at fault itself, and must not go on to bring down every server in turn.
    """
    counted = _counted(ends)
    if sum(end.killed_server for end in counted) >= DEATHS:
        return f"{DEATHS} times a server ended while it drew this"
    healthy = dict.fromkeys(end.server for end in counted if end.healthy)
    if len(healthy) >= HEALTHY_SERVERS:
        return f"failed on {len(healthy)} servers that were well ({', '.join(healthy)})"
    return f"failed {len(counted)} times" if len(counted) >= MAX_FAILED else ""


def claim_name(job_id: str, epoch: int) -> str:
    """Return the file name of a claim."""
    return f"{job_id}.e{epoch:06d}"


def parse_claim_name(name: str) -> tuple[str, int, bool] | None:
    """Take a file name in ``claims/`` apart: job id, epoch, whether it is an ``.end``; None if foreign."""
    match = _CLAIM.fullmatch(name)
    return (match[1], int(match[2]), match[3] is not None) if match else None


def parse_claim(data: bytes) -> str | None:
    """Return the token a claim holds; None where it is torn."""
    text = data.decode("ascii", errors="replace").strip()
    return text if _TOKEN.fullmatch(text) else None


def is_token(owner: str) -> bool:
    """Tell whether a claim's owner is a worker, rather than the name of a torn claim."""
    return _TOKEN.fullmatch(owner) is not None
