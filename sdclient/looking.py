"""What can be seen of a run, here or on any machine that sees its folder, while it works and afterwards."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from sdclient.batch.folder import RunFolder
from sdclient.batch.glance import Glance, glance
from sdclient.batch.log import IMAGE_COLUMNS, OnImages, image_rows, read_attempts, typical_seconds, write_views
from sdclient.batch.otherwise import Otherwise, find_otherwise
from sdclient.batch.plan import Job
from sdclient.batch.status import RunStatus, read_status
from sdclient.files import storage_errors
from sdclient.steps.objects import OBJECT_COLUMNS, object_rows, write_object_views
from sdclient.tables import typed

if TYPE_CHECKING:
    import pandas as pd


class RunView:
    """The looking half of `Run`.

    Attributes:
        folder: The run.
    """

    folder: RunFolder

    def status(self) -> RunStatus:
        """Read where the run stands, now and once; works while it runs.

        Raises:
            StorageError: If the folder cannot be read.
        """
        return read_status(self.folder)

    def __repr__(self) -> str:
        return f"<Run: {self.folder.out}>"

    def _repr_html_(self) -> str:
        """Show a notebook where the run stands."""
        counts = {name.replace("_", " "): count for name, count in self.status().counts.to_json().items()}
        head, cells = "".join(f"<th>{name}</th>" for name in counts), "".join(f"<td>{n}</td>" for n in counts.values())
        caption = html.escape(str(self.folder.out))
        return (
            f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead><tbody><tr>{cells}</tr></tbody></table>"
        )

    def jobs(self) -> Sequence[Job]:
        """Return the jobs of the plan, in order.

        Raises:
            StorageError: If the folder cannot be read.
        """
        with storage_errors("read the plan in", self.folder.out):
            return list(self.folder.read_plan().jobs.values())

    def typical_s(self) -> dict[str, float]:
        """Return the median seconds a job of each kind held its server, as far as this run has measured."""
        return typical_seconds(self.folder)

    def images(self) -> pd.DataFrame:
        """Return one row per image, with your own columns; works while it runs."""
        columns, rows = image_rows(self.folder)
        return typed(rows, columns, own=set(columns) - set(IMAGE_COLUMNS))

    def objects(self) -> pd.DataFrame:
        """Return one row per object that was cut out; works while it runs."""
        return typed(object_rows(self.folder), OBJECT_COLUMNS)

    def attempts(self) -> pd.DataFrame:
        """Return one row per attempt of every worker; works while it runs."""
        rows, _ = read_attempts(self.folder)
        return typed(rows)

    def glance(self) -> Glance:
        """Look whether every image is at its place and as long as it was; `verify` looks into them.

        Raises:
            StorageError: If the folder cannot be read.
        """
        return glance(self.folder, image_rows(self.folder, [])[1])

    def otherwise(self) -> Otherwise:
        """Count the images that their servers say they drew otherwise than asked, and name the settings.

        Raises:
            StorageError: If the folder cannot be read.
        """
        return find_otherwise(self.folder, image_rows(self.folder, [])[1])

    def report(self, *, embed: bool = False) -> Path:
        """Write the page of the run, ``report.html``, and the tables beside it; works while it runs.

        Args:
            embed: Carry the thumbnails inside the page, so that it can be sent without the images.

        Raises:
            StorageError: If the folder cannot be read or written.
        """
        from sdclient.report import ReportOptions, write_report

        self.folder.require_begun()
        return write_report(self.folder, ReportOptions(embed=embed)).page

    def write_views(self, on_images: OnImages | None = None) -> list[str]:
        """Write ``images.csv``, ``attempts.csv`` and those of cut-outs anew; returns a sentence for all that was not right.

        ``on_images`` is given the rows of ``images.csv``.
        """
        return write_views(self.folder, on_images) + write_object_views(self.folder)
