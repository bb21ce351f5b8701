"""What a run is asked to do: prompts, folders and other jobs' outputs, planned in memory until there is work to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.told import note_told, read_told
from sdclient.cutting import CUTOUTS, Prompts, plan_cutouts, plan_cutouts_of_outputs
from sdclient.errors import ConfigurationError
from sdclient.planning import (
    FoundImages,
    JobList,
    LeftOut,
    Order,
    PromptRow,
    composed,
    find_images,
    plan_folder,
    plan_prompts,
    prompt_row,
    refuse_none,
    relative_root,
    summarise,
)
from sdclient.schemas import Img2Img, Txt2Img
from sdclient.segment import SegmentSettings
from sdclient.steps.generate import GenerateSpec
from sdclient.steps.sizes import Fit, parse_size

if TYPE_CHECKING:
    from typing_extensions import Self

StrPath = str | os.PathLike[str]


class Planner:
    """The planning half of a `Run`.

    Attributes:
        folder: The run's folder.
        skipped: Sentences about files that were left out.
    """

    def __init__(self, folder: RunFolder) -> None:
        self.folder = folder
        self.skipped: list[str] = []
        self._told: set[str] = set()

    @property
    def out(self) -> Path:
        """The output folder."""
        return self.folder.out

    def add(
        self, prompts: Iterable[str | Mapping[str, JsonValue] | PromptRow], request: Txt2Img, *, into: str = ""
    ) -> Self:
        """Plan one txt2img job for every prompt.

        Args:
            prompts: Prompts, or mappings of request fields, or rows with columns of your own.
            request: What all have in common.
            into: Folder for the images, relative to the output folder.
        """
        return self.add_jobs(plan_prompts(GenerateSpec(request), map(prompt_row, prompts), into=into))

    def add_folder(
        self,
        folder: StrPath,
        request: Img2Img,
        *,
        size: str | None = None,
        fit: Fit = "pad",
        into: str = "",
        order: Order = "name",
    ) -> Self:
        """Plan one img2img job for every image below a folder.

        Args:
            folder: Where the images are.
            request: What to draw over them.
            size: ``source``, ``WxH``, ``long-side=N`` or ``scale=F``; None: the request's size, else the source's.
            fit: ``pad`` or ``crop`` to a size the server takes; padding is taken off again.
            into: Folder for the images, relative to the output folder.
            order: ``name`` (2 before 10), ``newest`` first, or ``random`` by the run's seed.
        """
        if not isinstance(request, Img2Img):  # pyright: ignore[reportUnnecessaryIsInstance] - notebooks are not checked
            raise ConfigurationError(f"a folder is drawn over with an Img2Img, not {type(request).__name__}")
        spec = GenerateSpec(request, None if size is None else parse_size(size), fit)
        found = self._find(Path(folder), order)
        planned = (job.place for job in self.folder.read_plan().jobs.values() if job.kind == request.kind)
        listed, skipped = plan_folder(spec, Path(folder), self.out, into=into, found=found, planned=planned)
        self._leave_out(folder, skipped)
        return self.add_jobs(listed)

    def _find(self, folder: Path, order: Order) -> FoundImages:
        found = find_images(folder, out=self.out, order=order, seed=self.folder.settings.run_seed)
        refuse_none(folder, found)
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
    ) -> Self:
        """Plan one segment job for every image below a folder (`cutting.plan_cutouts` says how).

        Args:
            folder: Where the images are.
            settings: Which segmenter, and how.
            prompts: What to cut out, by image; None cuts out everything.
            into: Folder for the cut-outs, relative to the output folder.
            order: ``name`` (2 before 10), ``newest`` first, or ``random`` by the run's seed.
        """
        found = self._find(Path(folder), order)
        listed, skipped = plan_cutouts(Path(folder), self.out, settings, prompts=prompts, into=into, found=found)
        self._leave_out(folder, skipped)
        return self.add_jobs(listed)

    def add_cutouts_of_outputs(self, settings: SegmentSettings, *, into: str = CUTOUTS) -> Self:
        """Plan one segment job for every image this run draws and does not draw over again."""
        return self.add_jobs(plan_cutouts_of_outputs(self.folder.read_plan(), settings, into=into))

    def add_jobs(self, listed: JobList) -> Self:
        """Plan jobs made elsewhere, by a recipe. Jobs that are known already are left as they are.

        Raises:
            PlanError: If jobs contradict each other, the plan, or files that are there.
        """
        self.folder.stage(listed.jobs, listed.specs)
        return self

    def save(self) -> Self:
        """Write the plan now, for other machines to join; `start` does so by itself.

        Raises:
            PlanError: If another machine planned something else meanwhile.
            RunFolderError: If the folder cannot hold a run.
            StorageError: If it cannot be written.
        """
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
