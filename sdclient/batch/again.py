"""Doing jobs again: `retry` what was set aside, `redo` what is done."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from pathlib import PurePosixPath

from pydantic import JsonValue

from sdclient.batch.claims import End
from sdclient.batch.folder import RunFolder
from sdclient.batch.follow import Sources, to_plan_anew
from sdclient.batch.plan import Job, OutputInput, job_id, normal_place
from sdclient.batch.seeds import redo_seed
from sdclient.batch.survey import survey
from sdclient.errors import PlanError, RunFolderError
from sdclient.files import one_line, storage_errors

Wanted = Callable[[Job], bool]
MadeNumbers = Callable[[Job], AbstractSet[str] | None]
"""The numbers of the images that a job made, as in their names and without zeros in front; None: they may be any."""
_NUMBER = re.compile(r"\d+")
_NUMBER_SIGNS = r"(?:[\d?*]|\[!?[\d-]+\])+"
_NUMBER_GLOB = re.compile(_NUMBER_SIGNS)
_ENDS_WITH_NUMBER = re.compile(rf"(?P<place>.*\*)(?P<end>{_NUMBER_SIGNS})")


@dataclass(frozen=True, slots=True)
class Redone:
    """What a redo has planned.

    Attributes:
        jobs: The new jobs, those that depend on others among them.
        left_out: Sentences about jobs that were asked for and cannot be redone.
    """

    jobs: tuple[Job, ...]
    left_out: tuple[str, ...] = ()


class Wish:
    """A test for jobs: by place, by place and number of an output, or by its file name.

    ``*``, ``?`` and ``[23]`` stand for what they do in a shell, and ``*`` for slashes, too. Names may be many among many
    jobs: they are looked up, and only what has a wildcard is compared with every job.

    Args:
        patterns: Names and patterns.
        names: Names only; brackets and stars in them mean themselves.
        made: Asked where a name or pattern ends with another number than 1: the first image every job is taken to make.
    """

    def __init__(self, patterns: Sequence[str], names: Sequence[str], made: MadeNumbers = lambda _job: None) -> None:
        self._all = [*patterns, *names]
        self._made = made
        self._named: dict[str, set[str]] = {}
        self._numbered: dict[str, set[tuple[str, re.Pattern[str]]]] = {}
        self._globs: list[tuple[str, re.Pattern[str], str]] = []
        self._numbered_globs: list[tuple[str, re.Pattern[str], re.Pattern[str]]] = []
        for name in self._all:
            for form in (*_forms(name), _cutouts_of(name)):
                self._named.setdefault(form, set()).add(name)
            for place, number in _images_of(name):
                self._numbered.setdefault(place, set()).add((name, _glob(number)))
        for pattern in patterns:
            if any(sign in pattern for sign in "*?["):
                expression = "|".join(f"(?:{fnmatch.translate(form)})" for form in _forms(pattern))
                self._globs.append((pattern, re.compile(expression), _cutouts_of(pattern)))
                for place, number in _images_of_glob(pattern):
                    self._numbered_globs.append((pattern, _glob(place), _glob(number)))

    def __call__(self, job: Job) -> bool:
        """Tell whether a job fits one of them."""
        return any(True for _ in self._fitting(job))

    def unmet(self, jobs: Iterable[Job]) -> list[str]:
        """Return the patterns that none of these jobs fits, in their order."""
        met = {pattern for job in jobs for pattern in self._fitting(job)}
        return [pattern for pattern in self._all if pattern not in met]

    def _fitting(self, job: Job) -> Iterator[str]:
        names = _names_of(job)
        for name in names:
            yield from self._named.get(name, ())
        for pattern, glob, folder in self._globs:
            if any(glob.match(name) for name in names) or _is_folder(job, folder):
                yield pattern
        numbered = [one for name in names for one in self._numbered.get(name, ())]
        numbered += [(pattern, number) for pattern, glob, number in self._numbered_globs if any(map(glob.match, names))]
        for pattern, number in numbered:
            if self._has_made(job, number):
                yield pattern

    def _has_made(self, job: Job, number: re.Pattern[str]) -> bool:
        if number.match("1"):
            return True
        made = self._made(job)
        return made is None or any(map(number.match, made))


def wanted(patterns: Iterable[str], names: Iterable[str] = (), folder: RunFolder | None = None) -> Wish:
    """Return a test for jobs. Arguments as for `Wish`; the records of the folder tell how many images a job made.

    Raises:
        PlanError: If there is neither a pattern nor a name.
    """
    # Typed or listed on macOS they may be spelled decomposed; places never are.
    given, named = (
        list(dict.fromkeys(normal_place(one.strip()) for one in many if one.strip())) for many in (patterns, names)
    )
    if not (given or named):
        raise PlanError("which jobs? give a pattern such as 'generated/*' or a list of images")
    return Wish(given, named) if folder is None else Wish(given, named, _MadeImages(folder))


class _MadeImages:
    """Tells by the records of a run which numbers the images of a job have; each is read once.

    A job that is not done, or whose record cannot be read, may have made any.
    """

    def __init__(self, folder: RunFolder) -> None:
        self._folder = folder
        self._numbers: dict[str, frozenset[str] | None] = {}

    def __call__(self, job: Job) -> frozenset[str] | None:
        if job.id not in self._numbers:
            self._numbers[job.id] = self._read(job.id)
        return self._numbers[job.id]

    def _read(self, job: str) -> frozenset[str] | None:
        try:
            files = self._folder.record(job).files
        except RunFolderError:
            return None
        ends = {PurePosixPath(one.place).stem.rpartition("_")[2] for one in files}
        written = {end for end in ends if _NUMBER.fullmatch(end)}
        return frozenset(written | {number.lstrip("0") for number in written})


def _names_of(job: Job) -> tuple[str, ...]:
    """Return what a job is known by: its place, and its first image of any format, or the folder of its cut-outs."""
    end = "/" if job.kind == "segment" else "_1."
    return tuple(name for place in _spellings(job) for name in (place, f"{place}{end}"))


def _spellings(job: Job) -> Iterable[str]:
    """Return a job's place as it is, and as ``images.csv`` shows it where a name has line breaks."""
    return dict.fromkeys((job.place, one_line(job.place)))


def _forms(pattern: str) -> list[str]:
    """Return what a name or pattern may mean: a place, or its first image, `<place>_1.png`."""
    return [pattern, f"{_stem(pattern)}."] if PurePosixPath(pattern).suffix else [pattern]


def _images_of(name: str) -> list[tuple[str, str]]:
    """Return places and numbers of the images that a name may mean, `<place>_<k>.png`."""
    parted = [form.rpartition("_") for form in dict.fromkeys((_stem(name), name))]
    return [(place, str(int(number))) for place, _, number in parted if place and _NUMBER.fullmatch(number)]


def _images_of_glob(pattern: str) -> list[tuple[str, str]]:
    """Return patterns of the places and of the numbers of the images that a pattern may mean."""
    found: list[tuple[str, str]] = []
    for form in dict.fromkeys((_stem(pattern), pattern)):
        place, _, number = form.rpartition("_")
        if place and _NUMBER_GLOB.fullmatch(number):
            found.append((place, number))
        # In `*[23].png` the star stands for what parts place and number, too.
        if (ended := _ENDS_WITH_NUMBER.fullmatch(form)) is not None:
            found.append((ended["place"], f"*{ended['end']}"))
    return found


def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(pattern))


def _stem(pattern: str) -> str:
    path = PurePosixPath(pattern)
    return str(path.with_suffix("")) if path.suffix else pattern


def _cutouts_of(pattern: str) -> str:
    """Return the folder, with a slash, where a cut-out of such a name lies, `<place>/<name>_<nn>.png`; else nothing."""
    path = PurePosixPath(pattern)
    return f"{path.parent}/" if path.suffix else ""


def _is_folder(job: Job, folder: str) -> bool:
    # By parts: else `*/fox_1.png` would take every folder of cut-outs, however deep, for its `*`.
    if not folder or job.kind != "segment":
        return False
    return any(PurePosixPath(f"/{place}").match(f"/{folder}") for place in _spellings(job))


def retry(folder: RunFolder, token: str, is_wanted: Wanted = lambda _: True) -> list[Job]:
    """Let jobs that were set aside be tried again; counting starts anew.

    Args:
        folder: The run.
        token: Who asks.
        is_wanted: Which of them.

    Returns:
        The jobs that may be tried again now. Jobs that were set aside for the sake of their input follow it by themselves.

    Raises:
        StorageError: If the folder cannot be read or written.
    """
    with storage_errors("read the run in", folder.out):
        claims, done, jobs = folder.read_claims(), folder.read_done(), folder.read_plan().jobs
    standings = survey(jobs, done, claims, lambda _: False)
    freed: list[Job] = []
    for job_id_, one in standings.items():
        epochs = claims.get(job_id_, ())
        if one.state != "set_aside" or not epochs or not is_wanted(jobs[job_id_]):
            continue
        number = epochs[-1].number + 1
        if folder.claim(job_id_, number, token):
            folder.end_claim(job_id_, number, End("released", resets=True))
            freed.append(jobs[job_id_])
    return freed


def redo(folder: RunFolder, is_wanted: Wanted, *, new_seed: bool = False) -> Redone:
    """Plan done jobs once more, and every job that works on their outputs, done or not.

    The images there stay until the new ones are complete, and are kept in ``replaced/`` then. What waits to be made from
    an image that is replaced is withdrawn; should somebody be at it, what comes of that is replaced, too.

    Args:
        folder: The run.
        is_wanted: Which jobs.
        new_seed: Draw them from another seed.

    Raises:
        PlanError: If no job matches.
        StorageError: If the folder cannot be read or written.
    """
    with storage_errors("read the run in", folder.out):
        done, sources = folder.read_done(), Sources(folder.read_plan())
    asked = [job for job in sources.latest.values() if is_wanted(job)]
    if not asked:
        raise PlanError(f"{folder.out}: no job matches; patterns are held against names of images as in images.csv")
    ids = {job.id for job in asked}
    before = to_plan_anew(sources, ids, done)
    chosen = {job.id for job in before}
    left_out = [_not_done(job) for job in asked if job.id not in done | chosen]
    left_out += [f"{name}: no such image" for name in is_wanted.unmet(asked)] if isinstance(is_wanted, Wish) else []
    planned = _add_revisions(folder, sources, before, done, redrawn=ids if new_seed else frozenset())
    return Redone(tuple(_with_arrivals(folder, planned, ids, done)), tuple(left_out))


def _not_done(job: Job) -> str:
    return f"{job.place}: is not made yet; `sdclient join` makes it, after `sdclient retry` if it was set aside"


def _with_arrivals(folder: RunFolder, planned: list[Job], asked: AbstractSet[str], done: AbstractSet[str]) -> list[Job]:
    """Let follow, too, what somebody else has planned at the same moment upon the images of before."""
    with storage_errors("read the plan in", folder.out):
        sources = Sources(folder.read_plan())
    now = {newest.id for one in asked if (newest := sources.newest(one)) is not None}
    late = _add_revisions(folder, sources, to_plan_anew(sources, now, frozenset()), done, redrawn=frozenset())
    replaced = {(job.kind, job.place) for job in late}
    return [*(job for job in planned if (job.kind, job.place) not in replaced), *late]


def _add_revisions(
    folder: RunFolder, sources: Sources, before: Sequence[Job], done: AbstractSet[str], *, redrawn: AbstractSet[str]
) -> list[Job]:
    """Plan the next revision of each of some latest jobs, and withdraw those that are not done, in one act."""
    new_ids = {job.id: job_id(job.kind, job.place, job.revision + 1) for job in before}
    run_seed = folder.settings.run_seed
    jobs = [_next_revision(job, sources.of(job), new_ids, run_seed if job.id in redrawn else None) for job in before]
    return folder.add(jobs, sources.plan.specs, withdrawn=[job.id for job in before if job.id not in done])


def _next_revision(job: Job, newest: Job | None, new_ids: Mapping[str, str], run_seed: int | None) -> Job:
    source = job.input
    if isinstance(source, OutputInput) and newest is not None:
        source = OutputInput(new_ids.get(newest.id, newest.id), source.index)
    changes: Mapping[str, JsonValue] = job.changes
    if run_seed is not None and job.kind != "segment":
        changes = {**changes, "seed": redo_seed(run_seed, job.kind, job.place, job.revision + 1)}
    return replace(job, id=new_ids[job.id], revision=job.revision + 1, input=source, changes=changes)
