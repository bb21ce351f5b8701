"""The plan of a run: jobs, their ids and seeds, and the immutable shards they are written in.

A shard is JSON lines: a head (format, and how many jobs were planned before), then every *spec* (what to
do, shared by many jobs), then one line a job. The same command on the same plan makes the same bytes,
hence the same file name, on every machine.
"""

from __future__ import annotations

import hashlib
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeAlias

from pydantic import JsonValue

from sdclient.errors import PlanError, RunFolderError

FORMAT = 1
"""Version of everything on disk. A reader refuses a newer one."""
STATE_FOLDER = ".sdclient"
"""Name of the folder inside the output folder that holds all state of a run."""
ID_DIGITS = 20
Specs: TypeAlias = Mapping[str, Mapping[str, JsonValue]]
_NO_CHANGES: Mapping[str, JsonValue] = MappingProxyType({})
_NO_COLUMNS: Mapping[str, str] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class FileInput:
    """A file that a job works on.

    Attributes:
        root: Folder it lies in, as a POSIX path relative to the run's output folder (``../GENERATIONS``).
        path: POSIX path below the root.
    """

    root: str
    path: str


@dataclass(frozen=True, slots=True)
class OutputInput:
    """An output of another job that a job works on.

    Attributes:
        job: Id of the job that makes it.
        index: Which of its files, from 0.
    """

    job: str
    index: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of work, with the place of its outputs.

    Attributes:
        id: Hash of kind, place and revision; the same on every machine.
        kind: Which step does it: ``txt2img``, ``img2img``, ``segment``.
        place: POSIX path of its outputs relative to the output folder, without index and extension.
        spec: Hash of the spec it shares with other jobs.
        input: What it works on, if anything.
        changes: What it changes of the spec: its prompt, its seed.
        columns: The user's own columns, carried to ``images.csv``.
        revision: Grows by one with every redo.
    """

    id: str
    kind: str
    place: str
    spec: str
    input: FileInput | OutputInput | None = None
    changes: Mapping[str, JsonValue] = field(default_factory=lambda: _NO_CHANGES)
    columns: Mapping[str, str] = field(default_factory=lambda: _NO_COLUMNS)
    revision: int = 0

    @property
    def needs(self) -> str | None:
        """Id of the job that must be done before this one."""
        return self.input.job if isinstance(self.input, OutputInput) else None


@dataclass(frozen=True, slots=True)
class Plan:
    """All jobs of a run, in order; a value that is never changed.

    Attributes:
        jobs: By id, in the order they were planned.
        specs: By hash.
        withdrawn: Ids of jobs that were planned and are not wanted any more; none of them is among ``jobs``.
    """

    jobs: Mapping[str, Job] = field(default_factory=dict[str, Job])
    specs: Mapping[str, Mapping[str, JsonValue]] = field(default_factory=dict[str, Mapping[str, JsonValue]])
    withdrawn: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of the plan.

    Attributes:
        name: Its file name.
        follows: How many jobs were planned before it.
        jobs: In order.
        specs: By hash.
        withdrawn: Ids of jobs planned before that are no longer wanted, because a later revision was planned
            before they were done.
    """

    name: str
    follows: int
    jobs: tuple[Job, ...]
    specs: Mapping[str, Mapping[str, JsonValue]]
    withdrawn: tuple[str, ...] = ()

    @property
    def order(self) -> tuple[int, str]:
        """What shards are sorted by: the same on every machine."""
        return self.follows, self.name


@dataclass(slots=True)
class Staged:
    """What is planned in memory and not written yet.

    Attributes:
        jobs: By id, in order.
        specs: By hash.
        withdrawn: Ids of jobs planned before that are no longer wanted.
    """

    jobs: dict[str, Job] = field(default_factory=dict[str, Job])
    specs: dict[str, Mapping[str, JsonValue]] = field(default_factory=dict[str, Mapping[str, JsonValue]])
    withdrawn: set[str] = field(default_factory=set[str])

    def copy(self) -> Staged:
        """Return the same, to go back to."""
        return Staged(dict(self.jobs), dict(self.specs), set(self.withdrawn))

    def upon(self, written: Plan) -> Plan:
        """Return a plan with this upon it, staged jobs last."""
        if not self.jobs:
            return written
        jobs = {**written.jobs, **self.jobs}
        for one in self.withdrawn:
            jobs.pop(one, None)
        return Plan(jobs, {**written.specs, **self.specs}, written.withdrawn | self.withdrawn)


def unite(shards: Iterable[Shard]) -> Plan:
    """Put shards together.

    Two machines may have planned one job at the same moment; the first shard in order wins, everywhere.
    """
    jobs: dict[str, Job] = {}
    specs: dict[str, Mapping[str, JsonValue]] = {}
    withdrawn: set[str] = set()
    for shard in sorted(shards, key=lambda one: one.order):
        specs.update(shard.specs)
        withdrawn.update(shard.withdrawn)
        for job in shard.jobs:
            jobs.setdefault(job.id, job)
    for job_id in withdrawn:
        jobs.pop(job_id, None)
    return Plan(jobs, specs, frozenset(withdrawn))


def job_id(kind: str, place: str, revision: int = 0) -> str:
    """Return a job's id: never of an absolute path, a time or content, so all machines agree."""
    text = f"{kind}\0{normal_place(place)}\0{revision}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:ID_DIGITS]


def job_seed(run_seed: int, kind: str, key: str) -> int:
    """Return the seed of a job, 0 to 4294967295: the same for every try on every machine.

    Args:
        run_seed: The run's own seed.
        kind: The job's kind.
        key: Its place, or whatever is shared by jobs that shall have equal seeds.
    """
    text = f"{run_seed}\0{kind}\0{normal_place(key)}"
    return int.from_bytes(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()[:4], "big")


def normal_place(place: str) -> str:
    """Return a place in the one spelling that is hashed (macOS writes names decomposed)."""
    return unicodedata.normalize("NFC", place)


def spec_id(spec: Mapping[str, JsonValue]) -> str:
    """Return the hash that jobs name a spec by."""
    return hashlib.sha256(_compact(spec).encode()).hexdigest()[:ID_DIGITS]


def make_job(
    kind: str,
    place: str,
    spec: Mapping[str, JsonValue] | str,
    *,
    input: FileInput | OutputInput | None = None,  # noqa: A002 - the design's word, and keyword-only
    changes: Mapping[str, JsonValue] | None = None,
    columns: Mapping[str, str] | None = None,
) -> Job:
    """Make a job; its id follows from kind and place.

    Args:
        kind: Which step does it.
        place: Where its outputs go, relative to the output folder.
        spec: What to do, or the hash of it.
        input: What it works on.
        changes: What it changes of the spec.
        columns: The user's own columns.

    Raises:
        PlanError: If the place leads out of the output folder, or is no text that a file can have as its name.
    """
    place = normal_place(place)
    if not is_plain_place(place):
        raise PlanError(f"{place[:120]!r}: no place inside the output folder; give a plain relative name")
    if isinstance(input, FileInput) and not (input.path.isascii() and input.root.isascii()):
        input = FileInput(normal_place(input.root), normal_place(input.path))  # noqa: A001 - as above
    name = spec if isinstance(spec, str) else spec_id(spec)
    return Job(job_id(kind, place), kind, place, name, input, changes or _NO_CHANGES, columns or _NO_COLUMNS)


def is_plain_place(place: str) -> bool:
    """Tell whether a place stays inside the output folder, outside the run's own state, and can be written down."""
    wrapped = f"/{place}/"
    if "//" in wrapped or "/./" in wrapped or "/../" in wrapped or "\\" in place or "\0" in place:
        return False
    if place.partition("/")[0].casefold() == STATE_FOLDER:
        return False
    # A lone surrogate cannot be written down.
    return place.isascii() or not any("\ud800" <= char <= "\udfff" for char in place)


def encode_shard(
    jobs: Iterable[Job], specs: Specs, *, follows: int = 0, withdrawn: Iterable[str] = ()
) -> tuple[str, bytes]:
    """Return a shard's file name and bytes.

    Args:
        jobs: The jobs, in order.
        specs: By hash; those of the jobs are written.
        follows: How many jobs were planned before.
        withdrawn: Jobs planned before that are no longer wanted.

    Raises:
        PlanError: If a text cannot be written as UTF-8.
    """
    listed = list(jobs)
    lines = [_compact({"format": FORMAT, "follows": follows})]
    used = {job.spec for job in listed}
    lines += [_compact({"spec": name, "value": dict(specs[name])}) for name in sorted(used)]
    lines += [_compact(_job_line(job)) for job in listed]
    gone = sorted(withdrawn)
    lines += [_compact({"withdrawn": list(gone)})] if gone else []
    try:
        data = ("\n".join(lines) + "\n").encode()
    except UnicodeEncodeError as exc:
        raise PlanError(
            f"the plan cannot be written: a prompt, column or name holds half a character ({exc.object[exc.start]!r}); "
            "write the text anew"
        ) from None
    return hashlib.sha256(data).hexdigest() + ".jsonl", data


def decode_shard(name: str, data: bytes) -> Shard:
    """Read a shard.

    Raises:
        RunFolderError: If the bytes do not match the name, or the format is newer than this program.
    """
    if hashlib.sha256(data).hexdigest() + ".jsonl" != name:
        raise RunFolderError(
            f"{STATE_FOLDER}/plan/{name}: the content does not match its name; the file is damaged or half copied. "
            "Copy it again, or move it away and give the command that planned these jobs once more: what is done stays done"
        )
    try:
        # Not splitlines(): it would also split at U+2028 and its like, which prompts may hold.
        head, *lines = data.decode().split("\n")
        header = json.loads(head)
        if header["format"] != FORMAT:
            raise RunFolderError(
                f"plan/{name}: written in format {header['format']!r}, this program reads {FORMAT}; update sdclient"
            )
        return _shard_of(name, int(header.get("follows", 0)), lines)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise RunFolderError(
            f"plan/{name}: not a plan ({type(exc).__name__}: {exc}); take the file out of the folder"
        ) from exc


def _shard_of(name: str, follows: int, lines: Iterable[str]) -> Shard:
    jobs: list[Job] = []
    specs: dict[str, Mapping[str, JsonValue]] = {}
    withdrawn: list[str] = []
    for line in filter(None, lines):
        value = json.loads(line)
        if "withdrawn" in value:
            withdrawn += map(str, value["withdrawn"])
        elif "value" in value:
            specs[value["spec"]] = value["value"]
        else:
            jobs.append(_job_of(value))
    for job in jobs:
        if job.spec not in specs:
            raise ValueError(f"job {job.id} names a spec that is not there")
    return Shard(name, follows, tuple(jobs), specs, tuple(withdrawn))


def latest_jobs(jobs: Mapping[str, Job]) -> dict[str, Job]:
    """Return the jobs that no later revision has taken the place of, in the order of the plan."""
    newest: dict[tuple[str, str], Job] = {}
    for job in jobs.values():
        known = newest.get((job.kind, job.place))
        if known is None or job.revision > known.revision:
            newest[job.kind, job.place] = job
    return {job.id: job for job in jobs.values() if newest[job.kind, job.place] is job}


def latest_done(jobs: Mapping[str, Job], done: AbstractSet[str]) -> dict[str, Job]:
    """Return the done jobs whose outputs stand at their places: of each, the latest revision that is done."""
    return latest_jobs({job_id: job for job_id, job in jobs.items() if job_id in done})


def _job_line(job: Job) -> dict[str, JsonValue]:
    line: dict[str, JsonValue] = {"job": job.id, "kind": job.kind, "place": job.place, "spec_id": job.spec}
    if isinstance(job.input, FileInput):
        line["input"] = {"root": job.input.root, "path": job.input.path}
    elif isinstance(job.input, OutputInput):
        line["input"] = {"job": job.input.job, "index": job.input.index}
    if job.changes:
        line["changes"] = dict(job.changes)
    if job.columns:
        line["columns"] = dict(job.columns)
    if job.revision:
        line["revision"] = job.revision
    return line


def _job_of(value: Mapping[str, JsonValue]) -> Job:
    changes = value.get("changes")
    columns = value.get("columns")
    job = Job(
        str(value["job"]),
        sys.intern(str(value["kind"])),
        str(value["place"]),
        sys.intern(str(value["spec_id"])),
        _input_of(value.get("input")),
        changes if isinstance(changes, dict) else _NO_CHANGES,
        {name: str(text) for name, text in columns.items()} if isinstance(columns, dict) else _NO_COLUMNS,
        int(str(value.get("revision", 0))),
    )
    # The id is part of paths, and the place decides where files go: neither is believed as it stands.
    if job.id != job_id(job.kind, job.place, job.revision) or not is_plain_place(job.place):
        raise ValueError(f"job {job.id[:40]!r} does not match its place {job.place[:80]!r}")
    return job


def _input_of(source: JsonValue) -> FileInput | OutputInput | None:
    if not isinstance(source, dict):
        return None
    if "job" in source:
        return OutputInput(str(source["job"]), int(str(source["index"])))
    return FileInput(sys.intern(normal_place(str(source["root"]))), normal_place(str(source["path"])))


def _compact(value: Mapping[str, JsonValue]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
