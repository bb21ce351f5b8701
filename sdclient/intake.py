"""What a run's plan takes in while it is made: at a variant's places, changed jobs asked about, in memory until saved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sdclient.batch.changed import Choice, Naming, OnChange, redo_changed, resolve
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import Job, Staged
from sdclient.errors import PlanError
from sdclient.files import storage_errors
from sdclient.planning import JobList


class Intake:
    """Holds jobs that are asked for against the plan, and adds what is new.

    Attributes:
        added: Ids of the jobs that were asked for here, as first revisions, also of those that were planned before.

    Args:
        folder: The run's folder.
        variant: Name of a variant: everything is planned at places of its own, ``<place>_<variant>``.
        on_change: Asked where jobs are planned otherwise; None refuses.
    """

    def __init__(self, folder: RunFolder, *, variant: str = "", on_change: OnChange | None = None) -> None:
        self.added: set[str] = set()
        self._folder = folder
        self._naming = Naming(variant, folder.settings.run_seed)
        self._on_change = on_change

    @property
    def variant(self) -> str:
        """The name of the variant that is planned, given or chosen when asked; empty where none is."""
        return self._naming.name

    def named(self, listed: JobList, *, only_beside: bool) -> JobList:
        """Return jobs at the places of the variant, where there is one (`Naming.named` says which of them)."""
        plan = self._folder.read_plan()
        return replace(listed, jobs=self._naming.named(plan, listed.jobs, listed.specs, only_beside=only_beside))

    def add(self, ask: Callable[[], JobList]) -> None:
        """Plan jobs in memory; `RunFolder.save` writes them.

        Args:
            ask: Returns what is asked for, at its places; called again where a variant is chosen.

        Raises:
            PlanError: If jobs contradict each other, the plan, or files that are there.
            ChangedPlanError: If some are planned otherwise, and nobody says what shall become of them.
            StorageError: If the plan cannot be read.
        """
        with storage_errors("read the plan in", self._folder.out):
            listed = ask()
            plan = self._folder.read_plan()
        found = resolve(plan, listed.jobs)
        added = {job.id for job in listed.jobs}
        if not found.changed:
            self.added |= added
            self._folder.stage(found.jobs, listed.specs)
            return
        with storage_errors("read the run in", self._folder.out):
            done = self._folder.read_done()
        change = found.change(self._folder.out, plan, listed.specs, asked=len(listed.jobs), done=done)
        choice = self._on_change(change) if self._on_change is not None else Choice()
        if choice.variant:
            self._naming, self._on_change = Naming(choice.variant, self._folder.settings.run_seed), None
            self.add(ask)
            return
        if not choice.redo:
            raise change.refusal()
        # Asked once: what is planned next, such as cut-outs of these images, goes the same way.
        self._on_change = redo_changed
        self.added |= added
        withdrawn = [before.id for before, _ in found.changed if before.id not in done]
        self._folder.stage(found.jobs, {**plan.specs, **listed.specs}, withdrawn=withdrawn)

    def overtaken(self) -> bool:
        """Hold what is in memory against what somebody else wrote since, as one who asks a moment later.

        Returns:
            Whether it can be written now; else it contradicts what is there in another way.

        Raises:
            ChangedPlanError: If jobs are planned otherwise, and nobody has said beforehand that they be done anew.
            PlanError: If the same, asked for once more, will do.
            StorageError: If the folder cannot be read.
        """
        staged, run_seed = self._folder.staged, self._folder.settings.run_seed
        with storage_errors("read the run in", self._folder.out):
            plan, done = self._folder.read_written(), self._folder.read_done()
        found = resolve(plan, staged.jobs.values())
        if not found.changed:
            return False
        change = found.change(self._folder.out, plan, staged.specs, asked=len(staged.jobs), done=done)
        if found.is_luck and self._naming.run_seed != run_seed:
            raise PlanError(
                f"{change.out}: somebody else began it at the same moment; the same once more takes part in it"
            )
        change = replace(change, is_overtaken=True)
        choice = self._on_change(change) if self._on_change is not None else Choice()
        if not choice.redo:
            raise change.refusal()
        withdrawn = {before.id for before, _ in found.changed if before.id not in done} | staged.withdrawn
        self._folder.staged = Staged()
        self._folder.stage(found.jobs, {**plan.specs, **staged.specs}, withdrawn=withdrawn)
        return True

    def write(self, listed: JobList) -> list[Job]:
        """Plan jobs and write the plan at once; return those that are new.

        Raises:
            PlanError: If jobs contradict each other or the plan.
            StorageError: If the plan cannot be written.
        """
        self.added.update(job.id for job in listed.jobs)
        return self._folder.add(resolve(self._folder.read_plan(), listed.jobs).jobs, listed.specs)
