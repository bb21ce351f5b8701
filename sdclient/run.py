"""``Run``: the public face of a run folder. Add jobs, start or join, look at what became of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from sdclient.batch import again
from sdclient.batch.board import awaited_kinds
from sdclient.batch.changed import OnChange, redo_changed
from sdclient.batch.company import ServerKind, begun_on
from sdclient.batch.events import Listener
from sdclient.batch.folder import BEAT_S, LEASE_S, RunFolder
from sdclient.batch.follow import Sources
from sdclient.batch.identity import new_token
from sdclient.batch.inputs import Inputs
from sdclient.batch.lane import Lane
from sdclient.batch.pipeline import Stop
from sdclient.batch.plan import FileInput, Job
from sdclient.batch.sweep import Swept, clean
from sdclient.batch.verify import Finding, make_room, verify
from sdclient.batch.worker import WorkerResult, WorkerSettings
from sdclient.client import Client
from sdclient.engines.hooks import HookSettings
from sdclient.engines.threads import ThreadsEngine
from sdclient.errors import ConfigurationError
from sdclient.files import storage_errors
from sdclient.images import decode_image
from sdclient.lanes import LaneLosses, check_losses, refuse_mixed, server_kinds, server_lanes, settle_kind
from sdclient.looking import RunView
from sdclient.notebook import line_in_notebooks
from sdclient.planner import Planner, StrPath
from sdclient.planning import JobList
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import ServerLane
from sdclient.steps.objects import write_object_views
from sdclient.steps.segment import SegmenterLane, SegmentSpec
from sdclient.watching import FolderWatch

_WATCH_END_S = 10.0


class Run(Planner, RunView):
    """A run: an output folder, the jobs planned in it, and the machines that share it.

    What is added is planned in memory; folder and plan are written when work begins, or by `save`. Until then
    a wrong payload, an unreachable server or a changed mind leaves nothing behind.

    Args:
        out: The output folder; made where it is missing, once there is something to write.
        run_seed: Seed of a new run, from which each job's seed follows; None draws one.
        lease_s: Seconds of silence after which a worker of a new run is taken for dead.
        beat_s: Seconds between signs of life in a new run.
        variant: Plan everything beside what is there, at ``<place>_<variant>``, drawn from the same seeds.
        on_change: Where jobs are planned otherwise already: ``refuse``, ``redo`` them, or a function that is asked.

    Raises:
        RunFolderError: If the folder holds something else, or a newer format.
        ConfigurationError: If ``on_change`` is none of these.
    """

    hooks = HookSettings()
    _engine: ThreadsEngine | None = None
    _allows_mixed = False

    def __init__(
        self,
        out: StrPath,
        *,
        run_seed: int | None = None,
        lease_s: float = LEASE_S,
        beat_s: float = BEAT_S,
        variant: str = "",
        on_change: OnChange | Literal["refuse", "redo"] = "refuse",
    ) -> None:
        folder = RunFolder.prepare(Path(out), run_seed=run_seed, lease_s=lease_s, beat_s=beat_s)
        if on_change not in ("refuse", "redo") and not callable(on_change):
            raise ConfigurationError(f"on_change={on_change!r}: give 'refuse', 'redo', or a function that is asked")
        ask = on_change if callable(on_change) else redo_changed if on_change == "redo" else None
        super().__init__(folder, variant=variant, on_change=ask)
        self._watch: FolderWatch | None = None

    @classmethod
    def open(cls, out: StrPath) -> Run:
        """Open a run that exists.

        Raises:
            RunFolderError: If there is none.
        """
        run = cls.__new__(cls)
        Planner.__init__(run, RunFolder.open(Path(out)))
        run._watch = None  # noqa: SLF001 - the same
        return run

    # Working

    def start(
        self,
        servers: Sequence[str | Client] | str | Client = (),
        *,
        segmenter: SegmentSettings | SegmenterLane | None = None,
        settings: WorkerSettings | None = None,
        listener: Listener | None = None,
        allow_mixed: bool = False,
    ) -> WorkerResult:
        """Work on the run until nothing is left for these servers; again means resume, elsewhere means share.

        Args:
            servers: Clients, addresses or names from ``sdclient.toml``.
            segmenter: The segmenter to cut with, open or to be opened; None opens the one the plan names, if it does.
            settings: How to take part.
            listener: Told of everything that happens. None shows a bar in a notebook, and nothing elsewhere.
            allow_mixed: Take servers of different dialects or models, or unlike those the run was begun on.

        Raises:
            ConfigurationError: If the servers are not alike, or none was given where one is needed.
            NotSentError: If no server can be reached.
            LossError: If a server cannot do what the plan asks.
        """
        if not (self.jobs() or self.sources):
            self.folder.require_begun()
        lanes = self.lanes(servers, segmenter=segmenter, allow_mixed=allow_mixed)
        self.losses(lanes)
        with line_in_notebooks(self.status().counts, listener) as told:
            self.begin(lanes, settings=settings, listener=told)
            try:
                return self.wait()
            except KeyboardInterrupt:
                # In a notebook the work would go on unseen. What runs is finished; a second interrupt ends it.
                self._wind_up()
                raise

    join = start

    def tell(self, on_trouble: Sequence[str] = (), notify: str = "") -> Run:
        """Have a program told of trouble, by JSON on its standard input, and an address of the end, by a POST.

        Args:
            on_trouble: The program and its arguments; there is no shell.
            notify: The address; it is told, too, when the run is stuck.
        """
        self.hooks = HookSettings(tuple(on_trouble), notify)
        self.hooks.check()
        return self

    def begin(
        self,
        lanes: Sequence[Lane],
        *,
        settings: WorkerSettings | None = None,
        listener: Listener | None = None,
        allow_mixed: bool | None = None,
    ) -> None:
        """Start working in the background.

        Args:
            lanes: Servers and segmenters.
            settings: How to take part.
            listener: Told of everything that happens.
            allow_mixed: Whether servers may draw differently; None: as `lanes` was told.

        Raises:
            ConfigurationError: If this run is at work already, or a folder with inputs is not on this machine.
            RunFolderError: If another machine works on a run that only one may work on.
            StorageError: If the folder cannot be read or written.
        """
        if self._engine is not None and self._engine.is_alive:
            raise ConfigurationError(f"{self.out}: is at work in this program already; wait() for it, or stop() it")
        self.save()
        self._allows_mixed = self._allows_mixed if allow_mixed is None else allow_mixed
        settle_kind(self.folder, self._kinds(lanes), allow_mixed=self._allows_mixed)
        settings = settings or WorkerSettings()
        if not settings.label:
            settings = replace(settings, label=", ".join(dict.fromkeys(lane.name for lane in lanes)))
        self._watch = FolderWatch(self.sources, self.plan_arrivals, self._kinds_to_come()) if self.sources else None
        if self._watch is not None:
            settings = replace(settings, expected=self._watch.expected)
        self._engine = ThreadsEngine(self.folder, lanes, settings, listener=listener, hooks=self.hooks)
        self._engine.start()
        if self._watch is not None:
            self._watch.start(self._engine)

    def wait(self) -> WorkerResult:
        """Wait for the end of the work."""
        if self._engine is None:
            raise ConfigurationError("this run is not at work; call start() first")
        result = None
        while result is None:
            # In small pieces, so that Ctrl-C gets through on every system.
            result = self._engine.wait(0.2)
        if self._watch is not None:
            self._watch.join(_WATCH_END_S)
        return replace(result, problems=(*result.problems, *write_object_views(self.folder)))

    def _wind_up(self) -> None:
        self.stop(Stop.FINISH)
        try:
            self.wait()
        except KeyboardInterrupt:
            self.stop(Stop.INTERRUPT)
            self.wait()

    def stop(self, how: Stop = Stop.FINISH) -> None:
        """Ask the work in this process to stop."""
        if self._engine is not None:
            self._engine.stop(how)

    def lanes(
        self,
        servers: Sequence[str | Client] | str | Client = (),
        *,
        segmenter: SegmentSettings | SegmenterLane | None = None,
        allow_mixed: bool = False,
        on_missing: Callable[[str, Exception], None] | None = None,
    ) -> list[Lane]:
        """Open the servers and the segmenter that the open jobs of this run need.

        Args:
            servers: As for `start`.
            segmenter: As for `start`.
            allow_mixed: As for `start`.
            on_missing: Told of every server that cannot be reached, while another can.
        """
        needed = self.open_kinds()
        lanes: list[Lane] = []
        if needed & ServerLane.kinds:
            lanes += server_lanes(servers, on_missing)
            self._allows_mixed = allow_mixed
            if not allow_mixed:
                refuse_mixed(self._kinds(lanes), begun_on(self.folder))
        if needed & SegmenterLane.kinds:
            found = segmenter or self.segment_settings()
            if found is not None:
                lanes.append(found if isinstance(found, SegmenterLane) else SegmenterLane(found))
        return lanes

    def _kinds(self, lanes: Sequence[Lane]) -> dict[str, ServerKind]:
        return server_kinds(lanes, self._open_jobs(), self.folder.read_plan().specs)

    def losses(self, lanes: Sequence[Lane], *, strict: bool = False) -> list[LaneLosses]:
        """Return what each server would not do as the open jobs ask, and refuse what it cannot do at all.

        Args:
            lanes: Where the run will be worked on.
            strict: Refuse for any loss.

        Raises:
            LossError: If a server cannot do it, or under ``strict`` not as asked.
            ConfigurationError: If two servers take the name of a model for different ones, without consent.
        """
        specs = dict(self.folder.read_plan().specs)
        coming = JobList(specs=specs)
        for source in self.sources:
            # Images that have not come yet ask for what those that are there ask for.
            coming.add(source.spec, "to-come")
        jobs = [*self._open_jobs(), *coming.jobs]
        return check_losses(jobs, specs, lanes, strict=strict, allow_mixed=self._allows_mixed)

    def segment_settings(self) -> SegmentSettings | None:
        """Return the settings of the plan's first open segment job, to be done here; None where there is none."""
        cuts = (job for job in self._open_jobs() if job.kind in SegmenterLane.kinds)
        first = next(cuts, None)
        if first is not None:
            planned = SegmentSpec.from_json(self.folder.read_plan().specs[first.spec]).settings
            # What a plan leaves to each machine is known where the cut-outs were asked for.
            here = self._cutting or planned
            model = here.model if here.to_json()["model"] == planned.model else planned.model
            return replace(planned, model=model, device=here.device, points_per_batch=here.points_per_batch)
        watched = (one.spec.settings for one in self.sources if isinstance(one.spec, SegmentSpec))
        return next(watched, self._cutting if self.sources else None)

    def input_roots(self) -> tuple[str, ...]:
        """Return the input folders the plan names, relative to the output folder."""
        inputs = (job.input for job in self.folder.read_plan().jobs.values())
        return tuple(dict.fromkeys(one.root for one in inputs if isinstance(one, FileInput)))

    def open_kinds(self) -> frozenset[str]:
        """Return the kinds of jobs that are not done, or may still come from a folder that somebody watches."""
        return frozenset(job.kind for job in self._open_jobs()) | self.awaited_kinds()

    def awaited_kinds(self) -> frozenset[str]:
        """Return the kinds of jobs that may still come from folders watched here or by other workers of the run."""
        return self._kinds_to_come() | awaited_kinds(self.folder)

    def _kinds_to_come(self) -> frozenset[str]:
        drawn = frozenset[str]().union(*(source.kinds for source in self.sources))
        # Images that come are cut out like those that are there, where that was asked for.
        return drawn | SegmenterLane.kinds if drawn and self._cutting is not None else drawn

    def _open_jobs(self) -> list[Job]:
        with storage_errors("read the run in", self.out):
            done = self.folder.read_done()
        return [job for job in self.jobs() if job.id not in done]

    # Mending

    def retry(self, *patterns: str) -> list[Job]:
        """Let jobs that were set aside be tried again; `start` tries them.

        Args:
            patterns: Places or names of images, with ``*`` and ``?``; none means all.

        Raises:
            StorageError: If the folder cannot be read or written.
        """
        self.folder.require_begun()
        return again.retry(self.folder, new_token(), again.wanted(patterns) if patterns else lambda _: True)

    def redo(self, *patterns: str, names: Iterable[str] = (), new_seed: bool = False) -> again.Redone:
        """Plan done jobs once more, with every job that works on their outputs, done or not; `start` does them.

        The images there stay until the new ones are complete, and are kept in ``.sdclient/replaced`` then.

        Args:
            patterns: Places or names of images, with ``*``, ``?`` and ``[23]``; ``*`` stands for slashes, too.
            names: The same, in which these signs mean themselves.
            new_seed: Draw them from another seed.

        Raises:
            PlanError: If no job matches.
            StorageError: If the folder cannot be read or written.
        """
        self.folder.require_begun()
        return again.redo(self.folder, again.wanted(patterns, names, self.folder), new_seed=new_seed)

    def verify(self, *, inputs: Mapping[str, Path] | None = None, decode: bool = True) -> list[Finding]:
        """Look whether every image is there and what it was, and every input what it was made from.

        Args:
            inputs: Where input roots lie on this machine, if not where the plan says.
            decode: Decode every image in full, too.

        Raises:
            StorageError: If the disk is in trouble.
        """
        self.folder.require_begun()
        return list(verify(self.folder, inputs=Inputs(self.folder, inputs), decode=decode_image if decode else None))

    def repair(self, findings: Iterable[Finding]) -> again.Redone:
        """Plan the jobs of damaged or missing files once more; what stands at their places is moved to ``replaced``.

        Raises:
            StorageError: If a file cannot be moved.
        """
        broken = [one for one in findings if one.is_repairable]
        for one in broken:
            make_room(self.folder, one)
        sources = Sources(self.folder.read_plan())
        latest = {one.job: sources.newest(one.job) for one in broken}
        # What is planned once more upon an outdated image would come out outdated again.
        open_ids = {one.job for one in broken if one.job in sources.latest or one.flaw == "outdated"}
        ids = {job.id for old, job in latest.items() if job is not None and old in open_ids}
        redone = again.redo(self.folder, lambda job: job.id in ids) if ids else again.Redone(())
        planned = [one.place for one in broken if one.job not in open_ids]
        again_text = tuple(f"{place}: is planned once more already; `sdclient join` makes it" for place in planned)
        return replace(redone, left_out=redone.left_out + again_text)

    def clean(self, *, is_patient: bool = False) -> Swept:
        """Finish what dead workers began to publish, and take away what they left behind.

        Args:
            is_patient: Watch silent workers of other machines for a whole lease, so that what they left goes too.

        Raises:
            StorageError: If the folder cannot be read or written.
        """
        self.folder.require_begun()
        return clean(self.folder, is_patient=is_patient)
