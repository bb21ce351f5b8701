"""What a run is asked to do: prompts, folders and other jobs' outputs become jobs."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from pydantic import JsonValue

from sdclient.batch.changed import OnChange
from sdclient.batch.folder import RunFolder
from sdclient.batch.plan import FileInput
from sdclient.batch.told import note_told, read_told
from sdclient.client.sizes import Fit, parse_size
from sdclient.cutting import CUTOUTS, Prompts, plan_cutouts, plan_cutouts_of_outputs
from sdclient.errors import ConfigurationError, PlanError
from sdclient.intake import Intake
from sdclient.oldlogs import ImportedLog, import_old_log
from sdclient.planning import (
    Arrivals,
    FoundImages,
    ImageWords,
    JobList,
    LeftOut,
    Order,
    Planned,
    PlannedFolder,
    PromptRow,
    Source,
    Spec,
    Variations,
    Watch,
    Wording,
    composed,
    find_images,
    make_variations,
    plan_folder,
    plan_prompts,
    prompt_row,
    refuse_none,
    relative_root,
    summarise,
)
from sdclient.prompts import SIDECAR, ImagePrompts, has_text, image_rows
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import GenerateSpec
from sdclient.steps.segment import SegmentSpec

if TYPE_CHECKING:
    from typing_extensions import Self

StrPath: TypeAlias = str | os.PathLike[str]
Vary: TypeAlias = "Variations | Mapping[str, Sequence[object]] | None"
"""Lists of values, by field; None varies nothing."""


class Planner:
    """The planning half of a `Run`.

    Attributes:
        folder: The run's folder.
        skipped: Sentences about files that were left out.
        remarks: Sentences about what was planned otherwise than people may think.
        sources: Folders that are watched while the run works.
        shares_drawings: Whether a variant draws only what is not planned just so already.

    Args:
        folder: The run's folder.
        variant: Name of a variant: everything is planned at places of its own, ``<place>_<variant>``.
        on_change: Asked where jobs are planned otherwise; None refuses.
    """

    def __init__(self, folder: RunFolder, *, variant: str = "", on_change: OnChange | None = None) -> None:
        self.folder = folder
        self.shares_drawings = False
        self._intake = Intake(folder, variant=variant, on_change=on_change)
        self.skipped: list[str] = []
        self.remarks: list[str] = []
        self.sources: list[Source] = []
        self._cutting: SegmentSettings | None = None
        self._followers: list[Callable[[], JobList]] = []
        self._told: set[str] = set()

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder.out

    @property
    def variant(self) -> str:
        """The name of the variant that is planned, given or chosen when asked; empty where none is."""
        return self._intake.variant

    def add(
        self,
        prompts: Iterable[str | Mapping[str, JsonValue] | PromptRow],
        request: Txt2Img,
        *,
        into: str = "",
        templates: Mapping[str, str] | None = None,
        vary: Vary = None,
    ) -> Self:
        """Plan one txt2img job for every prompt, or one for each combination of what varies.

        Args:
            prompts: Prompts, or mappings of request fields, or rows with columns of your own.
            request: What all have in common.
            into: Folder for the images, relative to the output folder.
            templates: Texts for ``prompt`` or ``negative_prompt`` with names of columns in braces.
            vary: Lists of values, by field; or `Variations`.

        Raises:
            ConfigurationError: If a template names what is not there, or there would be absurdly many jobs.
        """
        wording = self._wording(request, templates, vary)
        listed = plan_prompts(GenerateSpec(request), map(prompt_row, prompts), into=into, wording=wording)
        self._say_versions(wording, listed)
        return self.add_jobs(listed)

    def _say_versions(self, wording: Wording, listed: JobList) -> None:
        count = wording.variations.count
        if count > 1:
            self.remarks.append(f"{len(listed.jobs) // count:,} x {count:,} versions are {len(listed.jobs):,} jobs")

    def _wording(self, request: Txt2Img | Img2Img, templates: Mapping[str, str] | None, vary: Vary) -> Wording:
        variations = vary if isinstance(vary, Variations) else make_variations(vary or {})
        return Wording(request, templates or {}, variations, self.folder.settings.run_seed)

    def add_folder(  # noqa: PLR0913 - all but two are keyword-only, each one choice of its own
        self,
        folder: StrPath,
        request: Img2Img,
        *,
        size: str | None = None,
        fit: Fit = "pad",
        into: str = "",
        order: Order = "name",
        prompts: ImagePrompts = None,
        templates: Mapping[str, str] | None = None,
        vary: Vary = None,
        watch: Watch | None = None,
    ) -> Self:
        """Plan one img2img job for every image below a folder, or one for each combination of what varies.

        Args:
            folder: Where the images are.
            request: What to draw over them.
            size: ``source``, ``WxH``, ``long-side=N`` or ``scale=F``; None: the request's size, else the source's.
            fit: ``pad`` or ``crop`` to a size the server takes; padding is taken off again.
            into: Folder for the images, relative to the output folder.
            order: ``name`` (2 before 10), ``newest`` first, or ``random`` by the run's seed.
            prompts: A prompt for each image: ``sidecar``, ``metadata``, a table's path (`prompts.image_rows` says
                how), or a mapping by the image's path below the folder; None gives all the request's.
            templates: Texts for ``prompt`` or ``negative_prompt`` with names of columns, ``stem`` or ``folder`` in
                braces.
            vary: Lists of values, by field; or `Variations`.
            watch: Go on taking in images that appear while the run works, each once it is complete; None takes what
                is there. A table of prompts is read anew for those that come.

        Raises:
            ConfigurationError: If a prompt cannot be read, a template names what is not there, or there would be
                absurdly many jobs.
        """
        if not isinstance(request, Img2Img):  # pyright: ignore[reportUnnecessaryIsInstance] - notebooks are not checked
            raise ConfigurationError(f"a folder is drawn over with an Img2Img, not {type(request).__name__}")
        spec = GenerateSpec(request, None if size is None else parse_size(size), fit)
        folder, wording = Path(folder), self._wording(request, templates, vary)

        def plan(found: FoundImages) -> PlannedFolder:
            words = ImageWords(wording, self._rows(folder, found, prompts, request))
            planned = (job.place for job in self.folder.read_plan().jobs.values() if job.kind == request.kind)
            listed, skipped = plan_folder(spec, folder, self.out, into=into, found=found, planned=planned, words=words)
            if prompts == SIDECAR:
                skipped = tuple(one for one in skipped if not one.path.endswith(".txt"))
            return listed, skipped

        self._say_versions(wording, self._take_in(folder, spec, plan, order, watch, needs_text=prompts == SIDECAR))
        return self

    def _rows(
        self, folder: Path, found: FoundImages, prompts: ImagePrompts, request: Img2Img
    ) -> Mapping[str, PromptRow]:
        if prompts is None or not found.paths:
            return {}
        # Of images that come one by one any may lack a row; of a whole folder not all can be meant to.
        rows = image_rows(folder, found.paths, prompts, needs_one=not self.sources)
        self.remarks += rows.remarks
        if rows.missing and not request.prompt:
            self.remarks.append("what all have in common has no prompt: those images are drawn over without words")
        return rows.rows

    def _take_in(
        self,
        folder: Path,
        spec: Spec,
        plan: Callable[[FoundImages], PlannedFolder],
        order: Order,
        watch: Watch | None,
        *,
        needs_text: bool = False,
    ) -> JobList:
        """Plan what a folder holds, and have it watched where that is asked for."""
        if watch is None:
            found = self._find(folder, order)
            listed, skipped = plan(found)
        else:
            arrivals = Arrivals(folder, self.out, order, self.folder.settings.run_seed)
            arrivals.trusted = self._inputs_below(folder)
            arrivals.has_companion = has_text if needs_text else arrivals.has_companion
            found = arrivals.first_look(watch.interval_s)
            listed, skipped = plan(found)
            arrivals.accept(found.paths)
            self.sources.append(Source(folder, spec, plan, arrivals, watch))
        self._leave_out(folder, skipped)
        self.add_jobs(listed)
        return listed

    def _inputs_below(self, folder: Path) -> frozenset[str]:
        root = relative_root(folder, self.out)
        inputs = (job.input for job in self.folder.read_plan().jobs.values())
        return frozenset(one.path for one in inputs if isinstance(one, FileInput) and one.root == root)

    def plan_arrivals(self, source: Source, found: FoundImages) -> Planned:
        """Plan images that appeared in a watched folder, and what follows them, and write the plan at once.

        Raises:
            PlanError: If one of them contradicts the plan.
            StorageError: If the plan cannot be written.
        """
        skipped, remarks = len(self.skipped), len(self.remarks)
        listed, left_out = source.plan(found)
        self._leave_out(source.folder, left_out)
        fresh = self._intake.write(self._intake.named(listed, only_beside=self.shares_drawings))
        for follow in self._followers if fresh else ():
            fresh += self._intake.write(follow())
        texts = [*(f"left out: {text}" for text in self.skipped[skipped:]), *self.remarks[remarks:]]
        if len(self.skipped) > skipped:
            self.note_told()
        return Planned(len(fresh), tuple(texts))

    def _find(self, folder: Path, order: Order) -> FoundImages:
        seed, planned = self.folder.settings.run_seed, self._inputs_below(folder)
        found = find_images(folder, out=self.out, order=order, seed=seed, planned=planned)
        refuse_none(folder, found)
        if folder.resolve() == self.out.resolve():
            self.remarks.append(
                f"{folder}: results will lie among the inputs; this command does not take its own in again, "
                "others do. Name another OUT to keep them apart"
            )
        return found

    def _leave_out(self, folder: StrPath, left_out: Sequence[LeftOut]) -> None:
        """Say what was left out, unless this run has said it before."""
        told = self._told or read_told(self.folder.state)
        root = relative_root(Path(folder), self.out)
        fresh = {f"{root}/{composed(one.path)}: {one.reason}": one for one in left_out}
        self.skipped += summarise(one for key, one in fresh.items() if key not in told)
        self._told = told | fresh.keys()

    def add_cutouts(
        self,
        folder: StrPath,
        settings: SegmentSettings,
        *,
        prompts: Prompts | None = None,
        into: str = "",
        order: Order = "name",
        watch: Watch | None = None,
    ) -> Self:
        """Plan one segment job for every image below a folder (`cutting.plan_cutouts` says how).

        Args:
            folder: Where the images are.
            settings: Which segmenter, and how.
            prompts: What to cut out, by image; None cuts out everything.
            into: Folder for the cut-outs, relative to the output folder.
            order: ``name`` (2 before 10), ``newest`` first, or ``random`` by the run's seed.
            watch: As for `add_folder`.
        """
        folder = Path(folder)
        self._cutting = settings

        def plan(found: FoundImages) -> PlannedFolder:
            asked = prompts
            if prompts is not None and watch is not None:
                # What is asked of images that have not come yet is no mistake.
                here = {composed(path) for path in found.paths}
                asked = {path: what for path, what in prompts.items() if composed(path) in here}
            return plan_cutouts(folder, self.out, settings, prompts=asked, into=into, found=found)

        self._take_in(folder, SegmentSpec(settings), plan, order, watch)
        return self

    def add_cutouts_of_outputs(
        self, settings: SegmentSettings, *, into: str = CUTOUTS, only_added: bool = False
    ) -> Self:
        """Plan one segment job for every image this run draws and does not draw over again.

        The images of a variant have cut-outs of their own; of others, those that are planned otherwise lie beside.

        Args:
            settings: Which segmenter, and how.
            into: Folder for the cut-outs, relative to the output folder.
            only_added: Only of images that were added to this object, not of all that the folder's plan draws.
        """
        self._cutting = settings
        only = self._intake.added if only_added else None

        def follow() -> JobList:
            listed = plan_cutouts_of_outputs(self.folder.read_plan(), settings, into=into, only=only)
            return self._intake.named(listed, only_beside=True)

        self._followers.append(follow)
        self._intake.add(follow)
        return self

    @contextmanager
    def on_trial(self) -> Generator[Callable[[], None], None, None]:
        """Compare what is added meanwhile with the plan, and take it back on leaving, unless what this gives is called."""
        staged, cutting, is_kept = self.folder.staged.copy(), self._cutting, False

        def keep() -> None:
            nonlocal is_kept
            is_kept = True

        try:
            yield keep
        finally:
            if not is_kept:
                self.folder.staged, self._cutting = staged, cutting

    def import_log(self, path: StrPath, *, is_dry: bool = False) -> ImportedLog:
        """Count as done what another program's plain list of image names says, and what is there and sound.

        Its folder must have been added before. What is listed and no good is made again by `start`.

        Args:
            path: The list, one name or path of an input a line, such as EMIF's ``logfile_upscales.txt``.
            is_dry: Only look, and write nothing.

        Raises:
            ConfigurationError: If the list cannot be read, or names no image of the run.
            StorageError: If the folder cannot be read or written.
        """
        return import_old_log((self if is_dry else self.save()).folder, Path(path), is_dry=is_dry)

    def add_jobs(self, listed: JobList) -> Self:
        """Plan jobs made elsewhere, by a recipe. Jobs that are known already are left as they are.

        Raises:
            PlanError: If jobs contradict each other, the plan, or files that are there.
            ChangedPlanError: If some are planned otherwise, and nobody says what shall become of them.
        """
        self._intake.add(lambda: self._intake.named(listed, only_beside=self.shares_drawings))
        return self

    def save(self) -> Self:
        """Write the plan now, for other machines to join; `start` does so by itself.

        Raises:
            PlanError: If another machine planned something else meanwhile, `ChangedPlanError` if the same otherwise.
            RunFolderError: If the folder cannot hold a run.
            StorageError: If it cannot be written.
        """
        try:
            self.folder.save()
        except PlanError:
            if not self._intake.overtaken():
                raise
            self.folder.save()
        self.note_told()
        return self

    def note_told(self) -> None:
        """Remember what was said of files that were left out, so that no later start says it again.

        Raises:
            StorageError: If it cannot be written.
        """
        if self._told and self.folder.state.is_dir():
            note_told(self.folder.state, self._told)
