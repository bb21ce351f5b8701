"""What lives on a node of a cluster: one worker, and a keeper that other machines may talk to."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from typing import Protocol

from sdclient._version import __version__
from sdclient.batch.events import Event, Listener
from sdclient.batch.pipeline import Stop
from sdclient.batch.worker import WorkerResult
from sdclient.errors import SDClientError, ServerError, TransportError

_KEPT_EVENTS = 2000


class WorkInHand(Protocol):
    """A worker that was started on a node."""

    def wait(self) -> WorkerResult:
        """Wait for its end."""
        ...

    def stop(self, how: Stop) -> None:
        """Ask it to stop."""
        ...


class NodeWork(Protocol):
    """What is done on a node; sent there as it is, so it must pickle and hold no secret."""

    def refusal(self) -> str:
        """Say on the node why it cannot take part; empty where it can."""
        ...

    def look(self) -> str:
        """Say on the node what people should know before work begins there; empty where there is nothing to say."""
        ...

    def start(self, listener: Listener) -> WorkInHand:
        """Start working, on the node."""
        ...


@dataclass(frozen=True, slots=True)
class Post:
    """A worker to be kept alive somewhere in the cluster.

    Attributes:
        name: Name of its server, or of its segmenter.
        work: What it does.
        resource: The resource of the nodes it may live on; empty for any node.
        cpus: CPUs it takes, by Ray's count; 0 for one that only waits for a server.
        gpus: Share of a GPU it takes.
        kinds: The kinds of jobs it does.
        dialect: The dialect its server speaks, as far as it is known before it is opened.
        title: What it is, for people.
    """

    name: str
    work: NodeWork
    resource: str = ""
    cpus: float = 0.0
    gpus: float = 0.0
    kinds: frozenset[str] = frozenset()
    dialect: str | None = None
    title: str = ""


@dataclass(frozen=True, slots=True)
class NodeReport:
    """What came of a worker, in values that travel.

    Attributes:
        left: Why it left before the end; empty where it did not.
        trouble: What stopped it; empty where nothing did.
        problems: What could not be written or read at the end.
        said: What people should know before it works.
        is_refusal: It left because it cannot do what is asked, not because its server is away.
        news: What happened and was not asked for yet.
    """

    left: str = ""
    trouble: str = ""
    problems: tuple[str, ...] = ()
    said: str = ""
    is_refusal: bool = False
    news: tuple[Event, ...] = ()


class NodeKeeper:
    """Lives on a node as a Ray actor and runs one worker there.

    Args:
        work: What to do.
    """

    def __init__(self, work: NodeWork) -> None:
        self._work = work
        self._news: deque[Event] = deque(maxlen=_KEPT_EVENTS)
        self._hand: WorkInHand | None = None
        self._stop: Stop | None = None
        self._lock = threading.Lock()

    def refusal(self, version: str) -> str:
        """Say why this node cannot take part; empty where it can."""
        if version != __version__:
            return f"it has sdclient {__version__}, and the run is led by {version}; install the same everywhere"
        return self._work.refusal()

    def look(self) -> NodeReport:
        """Look what there is to work with, and say what people should know before it is used."""
        try:
            return NodeReport(said=self._work.look())
        except SDClientError as exc:
            return _left(exc)

    def run(self) -> NodeReport:
        """Work until nothing is left to do here."""
        try:
            with self._lock:
                self._hand = hand = self._work.start(self._news.append)
                if self._stop is not None:
                    hand.stop(self._stop)
            result = hand.wait()
        except SDClientError as exc:
            return _left(exc)
        left = "; ".join(result.left.values())
        trouble = "" if result.trouble is None else str(result.trouble)
        return NodeReport(left, trouble, result.problems, news=tuple(self.news()))

    def news(self) -> list[Event]:
        """Return what happened since the last call."""
        return [self._news.popleft() for _ in range(len(self._news))]

    def stop(self, how: Stop) -> None:
        """Ask the worker to stop."""
        with self._lock:
            self._stop = how
            if self._hand is not None:
                self._hand.stop(how)


def _left(exc: SDClientError) -> NodeReport:
    """Report a server that is away, or cannot do what is asked: its words travel, our error classes need not."""
    return NodeReport(left=str(exc), is_refusal=not isinstance(exc, TransportError | ServerError))
