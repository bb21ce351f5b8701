"""What a report says of a run, as plain values: read once from the folder, shown by the page and the live server alike."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from sdclient.batch.survey import Counts

FileState = Literal["there", "gone", "changed"]
_ADDRESS = re.compile(r"^[A-Z]+ https?://\S+: ")
_REASON_CHARS = 100


@dataclass(frozen=True, slots=True)
class Change:
    """A setting that a server says it applied otherwise than asked, and how often.

    Attributes:
        field: The setting.
        asked: What the request said.
        applied: What the reply said.
        server: Which server said so.
        jobs: How many jobs.
    """

    field: str
    asked: str
    applied: str
    server: str
    jobs: int


@dataclass(frozen=True, slots=True)
class LossCount:
    """A thing that a server did not do as asked, and how often.

    Attributes:
        field: The request field.
        kind: What became of it: dropped, approximated, replaced, inherited.
        message: The dialect's sentence about it.
        server: Which server.
        jobs: How many jobs.
    """

    field: str
    kind: str
    message: str
    server: str
    jobs: int


@dataclass(frozen=True, slots=True)
class Cutout:
    """One object cut out of an image.

    Attributes:
        place: POSIX path relative to the output folder.
        name: Its file name.
    """

    place: str
    name: str


@dataclass(frozen=True, slots=True)
class Before:
    """The image that another one was drawn over.

    Attributes:
        path: Where it is, as a POSIX path relative to the output folder (it may start with ``..``).
        is_there: False where this machine does not see it.
    """

    path: str
    is_there: bool


@dataclass(frozen=True, slots=True)
class ImageCard:
    """One image of the gallery.

    Attributes:
        key: Stays the same from one report to the next: job and index.
        place: POSIX path of the file now, relative to the output folder.
        folder: Its folder; empty for the output folder itself.
        name: Its file name.
        kind: Kind of the job that made it.
        state: Whether the file is there, gone, or another one than was committed.
        width_px: Width; None where unknown.
        height_px: Height; None where unknown.
        size_bytes: Length of the file as committed.
        sha256: Of the file as committed.
        facts: What people read of it, by name: seed, server, started; only what is known.
        prompt: The prompt, cut to a length a page can bear.
        negative_prompt: Likewise.
        columns: The user's own columns.
        changed: Sentences about settings applied otherwise than asked.
        losses: How many losses its request had.
        before: What it was drawn over, if anything.
        cutouts: The objects cut out of it.
        replayable: False where no request belongs to it.
    """

    key: str
    place: str
    folder: str
    name: str
    kind: str
    state: FileState
    width_px: int | None
    height_px: int | None
    size_bytes: int
    sha256: str
    facts: Mapping[str, str]
    prompt: str
    negative_prompt: str
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    changed: tuple[str, ...] = ()
    losses: int = 0
    before: Before | None = None
    cutouts: tuple[Cutout, ...] = ()
    replayable: bool = True


@dataclass(frozen=True, slots=True)
class RequestSummary:
    """One request that many jobs share.

    Attributes:
        kind: Kind of the jobs.
        jobs: How many jobs of the plan use it.
        settings: Its settings by name, prompts and overlays left out.
        overlays: Names of the dialects it has an overlay for.
        text: All of it as indented JSON, long values cut.
    """

    kind: str
    jobs: int
    settings: Mapping[str, str]
    overlays: tuple[str, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Failure:
    """Failed tries that have the same reason.

    Attributes:
        error: Class name of the error.
        message: The newest message of this kind.
        tries: How many tries ended so.
        jobs: How many jobs were hit.
        set_aside: How many of those jobs are set aside now, for this reason.
        servers: On which servers.
        places: Places of some of these jobs.
        reply: Start of a saved reply; empty where none was kept.
        reply_path: Where the whole reply lies, relative to the output folder.
    """

    error: str
    message: str
    tries: int
    jobs: int
    set_aside: int
    servers: tuple[str, ...]
    places: tuple[str, ...]
    reply: str = ""
    reply_path: str = ""

    @property
    def reason(self) -> str:
        """The beginning of the message, without the address that was asked: what tells this failure from others."""
        words = _ADDRESS.sub("", self.message, count=1)
        return words if len(words) <= _REASON_CHARS else words[: _REASON_CHARS - 1].rstrip() + "…"


@dataclass(frozen=True, slots=True)
class ServerSummary:
    """What one server did in this run.

    Attributes:
        name: Its name.
        dialect: Which program.
        done: Jobs made done on it.
        failed: Tries that failed on it.
        images: Files it made.
        median_s: Median seconds a job held it; None where nothing was measured.
        images_per_hour: While a worker was there, long pauses left out; None where unknown.
        busy_percent: Share of that time, from each worker's first job on it to its last, that it was held by a job.
        rss_mb: Largest memory of the server process in MiB; None where it is not on the sending machine.
    """

    name: str
    dialect: str
    done: int
    failed: int
    images: int
    median_s: float | None
    images_per_hour: float | None
    busy_percent: float | None
    rss_mb: float | None


@dataclass(frozen=True, slots=True)
class EnergySummary:
    """The energy of a run, as far as it was measured.

    Attributes:
        wh: Wh over the measured attempts, whole; None where nothing measured.
        above_idle_wh: The same without what the machine draws when idle; None where the idle draw is unknown.
        measured: Attempts with a figure.
        unmeasured: Attempts without one.
        sources: What measured, by name.
        wh_per_image: Whole energy of the measured jobs for each image they made; None where unknown.
    """

    wh: float | None
    above_idle_wh: float | None
    measured: int
    unmeasured: int
    sources: tuple[str, ...]
    wh_per_image: float | None


@dataclass(frozen=True, slots=True)
class RunReport:
    """Everything a report says.

    Attributes:
        name: Name of the output folder.
        run_key: Tells this run from others in a browser's storage.
        made_at: When this was read, ISO 8601 in UTC.
        counts: Where all jobs stand.
        workers: Sentences about who takes part now.
        images: The gallery, in the order of the plan.
        attempts: Every attempt, oldest first, as in ``attempts.csv``.
        requests: What was asked.
        servers: Who did it.
        losses: What was not done as asked.
        changes: What servers say they did otherwise.
        failures: Why tries failed, most frequent first.
        energy: What it took.
        notes: What is wrong with the folder, in sentences.
        simulated: Names of the servers that were our simulator, not a real one.
    """

    name: str
    run_key: str
    made_at: str
    counts: Counts
    workers: tuple[str, ...]
    images: tuple[ImageCard, ...]
    attempts: tuple[Mapping[str, str], ...]
    requests: tuple[RequestSummary, ...]
    servers: tuple[ServerSummary, ...]
    losses: tuple[LossCount, ...]
    changes: tuple[Change, ...]
    failures: tuple[Failure, ...]
    energy: EnergySummary
    notes: tuple[str, ...]
    simulated: tuple[str, ...] = ()
