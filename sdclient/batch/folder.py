"""The run folder on disk: where everything lies, how it is made, and how it is read.

No decision is taken here: `claims` and `beats` judge, `commit` commits.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from pathlib import Path

from pydantic import JsonValue

from sdclient.batch.adding import check_new_jobs
from sdclient.batch.ahead import read_ahead
from sdclient.batch.claims import TORN, End, Epoch, claim_name, parse_claim, parse_claim_name, parse_end
from sdclient.batch.listing import names_in
from sdclient.batch.making import content, create_or_nothing
from sdclient.batch.plan import STATE_FOLDER, Job, Plan, Shard, Staged, decode_shard, encode_shard, latest_done, unite
from sdclient.batch.record import NEXT_STEP, Record, parse_record
from sdclient.batch.settings import BEAT_S, LEASE_S, RunSettings, begin_settings, read_settings
from sdclient.errors import RunFolderError
from sdclient.files import create_whole, is_storage_trouble, storage_error, storage_errors

__all__ = ["BEAT_S", "LEASE_S", "STATE_FOLDER", "RunFolder", "RunSettings"]

_SUBFOLDERS = ("plan", "beats", "claims", "parts", "done", "log", "replies", "replaced")
_PATIENCE_S, _PAUSE_S, _MOMENT_S = 2.0, 0.1, 0.05


class RunFolder:
    """An output folder with a run inside. Threads may share it.

    Args:
        out: The output folder.
        settings: What its ``run.json`` says.
        sleep: Waits the given number of seconds, for files that are just being written elsewhere.
    """

    def __init__(self, out: Path, settings: RunSettings, *, sleep: Callable[[float], None] = time.sleep) -> None:
        self.out = out
        self.state = out / STATE_FOLDER
        self.settings = settings
        self._sleep = sleep
        self._planning = threading.Lock()
        self._shards, self._plan = dict[str, Shard](), Plan()
        self._ends, self._owners = dict[tuple[str, int], End](), dict[tuple[str, int], str]()
        self._is_begun = True
        self.staged = Staged()

    @classmethod
    def prepare(
        cls, out: Path, *, run_seed: int | None = None, lease_s: float = LEASE_S, beat_s: float = BEAT_S
    ) -> RunFolder:
        """Open the run in ``out``, or think of a new one: nothing is written before `save`.

        The arguments and errors are those of `create`, as far as they can be known without writing.
        """
        with storage_errors("look at", out):
            if out.exists() and not out.is_dir():
                raise RunFolderError(f"{out}: is a file; name a folder for the run")
            if (out / STATE_FOLDER / "run.json").exists():
                return cls.open(out)
        seed = secrets.randbits(32) if run_seed is None else run_seed
        folder = cls(out, RunSettings(seed, lease_s, beat_s))
        folder._is_begun = False
        return folder

    @classmethod
    def create(
        cls, out: Path, *, run_seed: int | None = None, lease_s: float = LEASE_S, beat_s: float = BEAT_S
    ) -> RunFolder:
        """Open the run in ``out``, making folder and run where there is none.

        Args:
            out: The output folder.
            run_seed: Seed of a new run; None draws one. An existing run keeps its own.
            lease_s: Lease of a new run, in seconds.
            beat_s: Beat of a new run, in seconds.

        Raises:
            ConfigurationError: If lease and beat do not go together.
            RunFolderError: If something else is in the way, the folder cannot hold a run, or the format is newer.
            StorageError: If the folder cannot be written.
        """
        state = out / STATE_FOLDER
        with storage_errors("make the run folder", out):
            if out.exists() and not out.is_dir():
                raise RunFolderError(f"{out}: is a file; name a folder for the run")
            state.mkdir(parents=True, exist_ok=True)
            begin_settings(state, run_seed=run_seed, lease_s=lease_s, beat_s=beat_s)
        folder = cls.open(out)
        folder.make_folders()
        return folder

    @classmethod
    def open(cls, out: Path) -> RunFolder:
        """Open the run in ``out``; nothing is written.

        Raises:
            RunFolderError: If there is none, it is damaged, or its format is newer than this program.
        """
        return cls(out, read_settings(out / STATE_FOLDER))

    def make_folders(self) -> None:
        """Make the folders a run writes to, where they are missing.

        Raises:
            StorageError: If that fails.
        """
        with storage_errors("make the run folder", self.out):
            for name in _SUBFOLDERS:
                (self.state / name).mkdir(exist_ok=True)

    def require_begun(self) -> None:
        """Refuse to mend a run that is only thought of: a mistyped name must not look as if all were well.

        Raises:
            RunFolderError: If there is no run here.
        """
        if not self._is_begun:
            self.open(self.out)
        self.make_folders()

    # The plan

    def stage(
        self, jobs: Iterable[Job], specs: Mapping[str, Mapping[str, JsonValue]], *, withdrawn: Iterable[str] = ()
    ) -> list[Job]:
        """Add jobs to the plan in memory, until `save` writes them. Returns the new ones.

        Args:
            jobs: The jobs.
            specs: Their specs, by hash.
            withdrawn: Jobs that are not wanted any more, for a later revision is among ``jobs``.

        Raises:
            PlanError: If jobs contradict each other or the plan.
            StorageError: If the folder cannot be read.
        """
        with storage_errors("read the plan", self.state / "plan"):
            fresh = check_new_jobs(self.read_plan(), jobs, specs)
        self.staged.jobs.update((job.id, job) for job in fresh)
        self.staged.specs.update((job.spec, specs[job.spec]) for job in fresh)
        self.staged.withdrawn.update(withdrawn)
        return fresh

    def save(self) -> None:
        """Make the run where it is only thought of, and write what was staged; nothing happens where nothing was.

        Raises:
            PlanError: If another machine planned something else meanwhile.
            RunFolderError: If the folder cannot hold a run.
            StorageError: If it cannot be written.
        """
        if not self._is_begun:
            asked = self.settings
            made = self.create(self.out, run_seed=asked.run_seed, lease_s=asked.lease_s, beat_s=asked.beat_s)
            # Another machine may have begun the run in between: what it chose holds.
            self.settings = made.settings
            self._is_begun = True
        self.make_folders()
        staged, self.staged = self.staged, Staged()
        try:
            self.add(staged.jobs.values(), staged.specs, withdrawn=staged.withdrawn)
        except BaseException:
            self.staged = staged
            raise

    def read_plan(self) -> Plan:
        """Read shards that are new since the last call; return the whole plan, staged jobs last.

        Raises:
            RunFolderError: If a shard is damaged or newer than this program.
            OSError: If the folder cannot be read.
        """
        return self.staged.upon(self.read_written())

    def read_written(self) -> Plan:
        """Read as `read_plan` does, and leave out what is staged."""
        names = {name for name in names_in(self.state / "plan") if name.endswith(".jsonl")}
        with self._planning:
            fresh = names - self._shards.keys()
            if fresh:
                shards = {**self._shards, **{name: self._read_shard(name) for name in sorted(fresh)}}
                self._plan = unite(shards.values())
                self._shards = shards
            return self._plan

    def job(self, job: str) -> Job | None:
        """Return a job of the plan by its id; None where the plan has none such.

        Raises:
            StorageError: If the plan must be read again and cannot be.
        """
        known = self.staged.jobs.get(job) or self._plan.jobs.get(job)
        if known is None:
            with storage_errors("read the plan", self.state / "plan"):
                known = self.read_plan().jobs.get(job)
        return known

    def knows(self, job: str) -> bool:
        """Tell whether a job is in the plan as it was last read, or was withdrawn from it."""
        return job in self._plan.jobs or job in self._plan.withdrawn

    def _read_shard(self, name: str) -> Shard:
        path = self.state / "plan" / name
        waited_s = 0.0
        while True:
            try:
                return decode_shard(name, path.read_bytes())
            except RunFolderError:
                # Without hard links another machine's shard has its name before its content.
                if waited_s >= _PATIENCE_S:
                    raise
            self._sleep(_PAUSE_S)
            waited_s += _PAUSE_S

    def add(
        self, jobs: Iterable[Job], specs: Mapping[str, Mapping[str, JsonValue]], *, withdrawn: Iterable[str] = ()
    ) -> list[Job]:
        """Add jobs to the plan; known ones are left as they are. Returns the new ones. Arguments as for `stage`.

        Raises:
            PlanError: If jobs contradict each other or the plan.
            StorageError: If the shard cannot be written.
        """
        with storage_errors("read the plan", self.state / "plan"):
            plan = self.read_plan()
        fresh = check_new_jobs(plan, jobs, specs)
        if fresh:
            name, data = encode_shard(fresh, specs, follows=len(plan.jobs), withdrawn=withdrawn)
            with storage_errors("write the plan", self.state / "plan"):
                create_whole(self.state / "plan" / name, data)
                self.read_plan()
        return fresh

    # Claims

    def claim(self, job: str, epoch: int, token: str) -> bool:
        """Try to win a claim; True when it is ours.

        Raises:
            StorageError: If neither is certain.
        """
        with storage_errors("claim a job in", self.state / "claims"):
            return create_or_nothing(self.state / "claims" / claim_name(job, epoch), (token + "\n").encode())

    def end_claim(self, job: str, epoch: int, end: End) -> None:
        """Write how a try ended. Writing it twice keeps the first.

        Raises:
            StorageError: If it could not be written.
        """
        with storage_errors("note how a try ended in", self.state / "claims"):
            is_first = create_or_nothing(self.state / "claims" / (claim_name(job, epoch) + ".end"), end.to_bytes())
        if is_first:
            self._ends[job, epoch] = end

    def read_claims(self) -> dict[str, tuple[Epoch, ...]]:
        """Read all claims, by job; contents that cannot change any more are read once.

        Raises:
            OSError: If the folder cannot be read.
        """
        found: dict[tuple[str, int], bool] = {}
        for name in names_in(self.state / "claims"):
            parsed = parse_claim_name(name)
            if parsed is not None:
                job, number, is_end = parsed
                found[job, number] = found.get((job, number), False) or is_end
        self._forget_all_but(found.keys())
        self._read_ends([key for key, has_end in found.items() if has_end])
        claims: dict[str, list[Epoch]] = {}
        for key in sorted(found):
            end = self._ends.get(key, TORN) if found[key] else None
            claims.setdefault(key[0], []).append(Epoch(key[1], self._owner(key), end))
        return {job: tuple(epochs) for job, epochs in claims.items()}

    def _forget_all_but(self, kept: AbstractSet[tuple[str, int]]) -> None:
        # Claims of done jobs go; without this a long run would remember every one of them.
        for cache in (self._ends, self._owners):
            for key in [key for key in list(cache) if key not in kept]:
                cache.pop(key, None)

    def _read_ends(self, keys: Iterable[tuple[str, int]]) -> None:
        """Read ends that are not known yet; a torn one is not remembered, it may be on its way."""
        torn = [key for key in keys if key not in self._ends and not self._read_end(key)]
        if torn:
            # One that is just being written elsewhere is whole in a moment; what stays torn counts as failed.
            self._sleep(_MOMENT_S)
            for key in torn:
                self._read_end(key)

    def _read_end(self, key: tuple[str, int]) -> bool:
        end = parse_end(content(self.state / "claims" / (claim_name(*key) + ".end")))
        if end is TORN:
            return False
        self._ends[key] = end
        return True

    def _owner(self, key: tuple[str, int]) -> str:
        owner = self._owners.get(key)
        if owner is None:
            name = claim_name(*key)
            owner = parse_claim(content(self.state / "claims" / name))
            if owner is None:
                return name
            self._owners[key] = owner
        return owner

    def remove_claims(self, job: str, epochs: Iterable[int]) -> None:
        """Remove the claims of a done job.

        Raises:
            StorageError: If one of them stays.
        """
        with storage_errors("remove claims in", self.state / "claims"):
            for epoch in epochs:
                path = self.state / "claims" / claim_name(job, epoch)
                # The claim first: an end without its claim says nothing, a claim without its end looks open.
                path.unlink(missing_ok=True)
                path.with_name(path.name + ".end").unlink(missing_ok=True)

    # Done jobs

    def part_folder(self, job: str, epoch: int, token: str) -> Path:
        """Return where a try puts its outputs."""
        return self.state / "parts" / f"{claim_name(job, epoch)}.{token}"

    def done_folder(self, job: str) -> Path:
        """Return where a job lies once committed."""
        return self.state / "done" / job[:2] / job

    def read_done(self, groups: Iterable[str] | None = None) -> set[str]:
        """List the ids of all committed jobs, or of those that begin as named.

        Raises:
            OSError: If the folder cannot be read.
        """
        done: set[str] = set()
        for group in names_in(self.state / "done") if groups is None else groups:
            with suppress(NotADirectoryError):
                done.update(names_in(self.state / "done" / group))
        return done

    def is_done(self, job: str) -> bool:
        """Look for one job's record itself; opening it passes by caches of names."""
        try:
            with (self.done_folder(job) / "record.json").open("rb"):
                return True
        except OSError:
            return False

    def record(self, job: str) -> Record:
        """Read a committed job's record.

        Raises:
            RunFolderError: If there is none, or it is damaged.
            StorageError: If the disk is in trouble.
        """
        # Text, not a path: of ten thousand records, putting paths together would take longer than reading them.
        path = f"{self.state}/done/{job[:2]}/{job}/record.json"
        try:
            with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - see above
                record = parse_record(file.read(), path)
        except OSError as exc:
            if is_storage_trouble(exc):
                raise storage_error("read", path, exc) from exc
            raise RunFolderError(f"{path}: cannot be read ({exc.strerror}); {NEXT_STEP}") from exc
        if record.job != job:
            raise RunFolderError(f"{path}: is the record of job {record.job[:40]!r}; {NEXT_STEP}")
        return record

    def records(self, problems: list[str] | None = None, *, but: AbstractSet[str] = frozenset()) -> Iterator[Record]:
        """Read every committed job's record, in the order of the plan.

        Args:
            problems: Takes a sentence for each that cannot be read and is the latest of its place; None raises at the first.
            but: Jobs to pass over.
        """
        done, jobs, latest = self.read_done(), self.read_plan().jobs, dict[str, Job]()
        wanted = [job for job in jobs if job in done and job not in but]
        for job, record in zip(wanted, read_ahead(self._record_or_words, wanted), strict=True):
            if isinstance(record, Record):
                yield record
            elif job in (latest := latest or latest_done(jobs, done)):
                if problems is None:
                    raise record
                problems.append(str(record))

    def _record_or_words(self, job: str) -> Record | RunFolderError:
        try:
            return self.record(job)
        except RunFolderError as exc:
            return exc
