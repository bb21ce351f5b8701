"""What an error during a try means: for the job, and for the server it ran on. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from sdclient.batch.claims import End, Ended
from sdclient.errors import (
    AuthenticationError,
    CancelledError,
    DeadlineError,
    MissingExtraError,
    MissingRouteError,
    NotSentError,
    SDClientError,
    ServerBusyError,
    ServerChangedError,
    ServerError,
    StorageError,
    WrongServerError,
)
from sdclient.files import is_storage_trouble, is_too_long

Effect = Literal["none", "fault", "rest", "leave", "stop"]
"""For the lane: go on, count a fault, leave a busy server alone, leave the run, or stop the whole worker."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What follows from an error.

    Attributes:
        end: How the try ended.
        effect: What it does to the lane.
        at_once: The server is left alone for this alone: it stands still, or is not the one it was.
        wait_s: Seconds the server asked to wait, where it did.
        reply: The start of the server's answer, worth keeping; empty where there is none.
    """

    end: End
    effect: Effect = "none"
    at_once: bool = False
    wait_s: float | None = None
    reply: str = ""


@dataclass(frozen=True, slots=True)
class ServerState:
    """What is known of the server when a try on it failed.

    Attributes:
        is_healthy: There was nothing against it before.
        has_died: It ended while it drew the job.
    """

    is_healthy: bool = False
    has_died: bool = False


def judge(error: BaseException, server: str) -> Verdict:
    """Judge an error.

    Args:
        error: What the try ended with.
        server: Name of the server or segmenter it ran on.
    """
    name, message = type(error).__name__, str(error) or type(error).__name__
    reply = error.body if isinstance(error, ServerError) else ""
    wait_s = error.retry_after_s if isinstance(error, ServerBusyError) else None
    ended, effect = _consequences(error)
    at_once = isinstance(error, DeadlineError | ServerChangedError)
    return Verdict(End(ended, name, message, server), effect, at_once, wait_s, reply)


def _consequences(error: BaseException) -> tuple[Ended, Effect]:
    if isinstance(error, StorageError) and is_too_long(error.__cause__):
        # The job's own fault, and the disk is well: all others go on.
        return "set_aside", "none"
    for kinds, consequence in _RELEASED:
        if isinstance(error, kinds):
            return "released", consequence
    if isinstance(error, OSError) and is_storage_trouble(error):
        return "released", "stop"
    if not isinstance(error, SDClientError):
        return "failed", "none"
    if error.retryable:
        return "failed", "fault" if error.blames_server else "none"
    # The request or its input is at fault: trying again would end the same way.
    return "set_aside", "none"


_RELEASED: tuple[tuple[tuple[type[BaseException], ...], Effect], ...] = (
    ((CancelledError,), "none"),
    # The only failures known not to have run: no attempt, and the server is not there, or busy.
    ((ServerBusyError,), "rest"),
    ((NotSentError,), "fault"),
    ((AuthenticationError, MissingRouteError, WrongServerError, MissingExtraError), "leave"),
    ((StorageError,), "stop"),
)
