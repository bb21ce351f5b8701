"""What a run is asked to do: prompts, folders and other jobs' outputs, planned in memory until there is work to do."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.cutting import CUTOUTS, Prompts, plan_cutouts, plan_cutouts_of_outputs
from sdclient.errors import ConfigurationError
from sdclient.planning import JobList, PromptRow, plan_folder, plan_prompts, prompt_row
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
        self, folder: StrPath, request: Img2Img, *, size: str | None = None, fit: Fit = "pad", into: str = ""
    ) -> Self:
        """Plan one img2img job for every image below a folder.

        Args:
            folder: Where the images are.
            request: What to draw over them.
            size: ``source``, ``WxH``, ``long-side=N`` or ``scale=F``; None: the request's size, else the source's.
            fit: ``pad`` or ``crop`` to a size the server takes; padding is taken off again.
            into: Folder for the images, relative to the output folder.
        """
        if not isinstance(request, Img2Img):  # pyright: ignore[reportUnnecessaryIsInstance] - notebooks are not checked
            raise ConfigurationError(f"a folder is drawn over with an Img2Img, not {type(request).__name__}")
        spec = GenerateSpec(request, None if size is None else parse_size(size), fit)
        listed, skipped = plan_folder(spec, Path(folder), self.out, into=into)
        self.skipped += skipped
        return self.add_jobs(listed)

    def add_cutouts(
        self, folder: StrPath, settings: SegmentSettings, *, prompts: Prompts | None = None, into: str = ""
    ) -> Self:
        """Plan one segment job for every image below a folder (`cutting.plan_cutouts` says how).

        Args:
            folder: Where the images are.
            settings: Which segmenter, and how.
            prompts: What to cut out, by image; None cuts out everything.
            into: Folder for the cut-outs, relative to the output folder.
        """
        listed, skipped = plan_cutouts(Path(folder), self.out, settings, prompts=prompts, into=into)
        self.skipped += skipped
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
        return self
