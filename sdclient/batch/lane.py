"""What a worker runs jobs on: the seam between the batch and the steps.

A *lane* is one thing that executes one job at a time: a server, or a segmenter on a device. A job
passes three stages, so that the lane never waits for our own work: prepare, execute, finish.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from pydantic import JsonValue

from sdclient.batch.plan import Job
from sdclient.batch.record import Outcome
from sdclient.energy import EnergyMeter

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Task:
    """One try at one job.

    Attributes:
        job: The job.
        spec: What the job's spec says.
        epoch: Number of its claim, from 1.
        seed: The seed that run and place give it; used unless the job or spec has its own.
        input_path: The file it works on, if any.
        out: The output folder, to look for files of the user's.
    """

    job: Job
    spec: Mapping[str, JsonValue]
    epoch: int
    seed: int
    input_path: Path | None
    out: Path

    @property
    def attempt_id(self) -> str:
        """A name for this try that a server may be told."""
        return f"{self.job.id}-e{self.epoch}"


class Executed(Protocol):
    """A job that came back from its lane and needs only our CPU and disk."""

    def finish(self, part: Path) -> Outcome:
        """Check everything and write the outputs into ``part``, each flushed."""
        ...


class Prepared(Protocol):
    """A job ready to run."""

    def execute(self) -> Executed:
        """Run it; the only stage that holds the lane."""
        ...

    def cancel(self) -> None:
        """End a running ``execute`` with CancelledError; callable from any thread."""
        ...


@runtime_checkable
class SeededJob(Protocol):
    """A prepared job that knows its seed; one without leaves the log's cell empty where it fails."""

    @property
    def seed(self) -> int | None:
        """The seed it will be drawn with."""
        ...


@runtime_checkable
class SendingJob(Protocol):
    """A prepared job that tells when its request is out, so that our own work can keep still until then."""

    def on_sent(self, call: Callable[[], None]) -> None:
        """Have ``call`` called once ``execute`` has sent the request's last byte."""
        ...


class Lane(Protocol):
    """One thing that executes jobs, one at a time."""

    name: str
    """What it is called in logs."""
    dialect: str
    """The server's dialect, or the segmenter's name."""
    kinds: frozenset[str]
    """The kinds of jobs it can do."""

    def prepare(self, task: Task) -> Prepared:
        """Read and encode what the job needs; runs while the job before executes."""
        ...

    def server_rss_mb(self) -> float | None:
        """Return the memory of the server process in MiB where it is local."""
        ...


@runtime_checkable
class LookedAtLane(Protocol):
    """A lane that can be asked something cheap; one that is none of these is always taken for well."""

    def look(self) -> None:
        """Ask whether the server is well, and still the one it was when the lane was opened.

        Raises:
            TransportError: If it does not answer.
            ServerChangedError: If it is another by now.
        """
        ...

    def was_restarted(self) -> bool:
        """Tell whether the server's process is certainly another than at the last look.

        Raises:
            NotListeningError: If there is none.
            SDClientError: If it does not answer.
        """
        ...


@runtime_checkable
class QueuedLane(Protocol):
    """A lane whose server may have a queue of others' work; one that is none of these has itself for itself."""

    def has_waited(self) -> bool:
        """Tell whether the last job waited there behind somebody else's."""
        ...


@runtime_checkable
class MeteredLane(Protocol):
    """A lane that may know what measures its energy; one that is none of these goes unmeasured."""

    def energy_meter(self) -> EnergyMeter | None:
        """Open the meter; None where nothing measures. Called once, before the first job; may take seconds."""
        ...


def open_lane_meter(lane: Lane) -> EnergyMeter | None:
    """Open a lane's meter. Trouble in doing so is logged: no job may suffer for it."""
    if not isinstance(lane, MeteredLane):
        return None
    try:
        return lane.energy_meter()
    except Exception as exc:
        log.debug("%s: its energy cannot be measured", lane.name, exc_info=exc)
        return None
