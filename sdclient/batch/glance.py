"""A cheap look at the published images of a run: is each there, and as long as it was? `verify` looks into them.

One listing per folder, no image is opened: ten thousand take a fraction of a second.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.publish import ASIDE, second_place
from sdclient.files import command_line

MOST_IMAGES = 50_000
"""A larger run is not looked at in passing."""


@dataclass(frozen=True, slots=True)
class Glance:
    """What a look at the images showed.

    Attributes:
        images: How many the records name.
        missing: Places where none is.
        changed: Places where one of another length is.
        is_whole: False where there are too many to be looked at in passing; then nothing is said of them.
    """

    images: int
    missing: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    is_whole: bool = True

    def to_json(self) -> dict[str, object]:
        """Return what was found as one JSON object; None where nothing was looked at."""
        wrong = (list(self.missing), list(self.changed)) if self.is_whole else (None, None)
        return {"images": self.images, "missing_images": wrong[0], "changed_images": wrong[1]}

    def words(self, out: Path) -> str:
        """Return a sentence where something is wrong or was not looked at; else nothing."""
        verify = command_line("sdclient", "verify", out)
        if not self.is_whole:
            return f"{self.images} images are too many to look at in passing; that is done by: {verify}"
        wrong = len(self.missing) + len(self.changed)
        if not wrong:
            return ""
        verb = "is" if wrong == 1 else "are"
        first = (*self.missing, *self.changed)[0]
        return (
            f"{wrong} of {self.images} images {verb} missing or changed ({first}{', …' if wrong > 1 else ''}): "
            f"{verify} lists them, with --repair they are made again"
        )


def glance(folder: RunFolder, rows: Iterable[Mapping[str, str]], *, most: int = MOST_IMAGES) -> Glance:
    """Look at the images of a run.

    Args:
        folder: The run.
        rows: The rows of ``images.csv``.
        most: With more images than this nothing is looked at.
    """
    images = [(row["image"], row["size_bytes"], row["job"]) for row in rows]
    if len(images) > most:
        return Glance(len(images), is_whole=False)
    found: dict[str, dict[str, int]] = {}
    with_asides: set[str] = set()
    missing: list[str] = []
    changed: list[str] = []
    for place, size, job in images:
        # Texts, not paths: of ten thousand images, taking paths apart would take longer than looking.
        parent, _, name = place.rpartition("/")
        if parent not in found:
            found[parent] = _sizes(folder.out / parent)
            with_asides |= {parent} if any(ASIDE in one for one in found[parent]) else set()
        aside = found[parent].get(second_place(name, job)) if parent in with_asides else None
        length = found[parent].get(name) if aside is None else aside
        if length is not None and str(length) == size:
            continue
        if _is_unpublished(folder, job):
            continue
        (missing if length is None else changed).append(place)
    return Glance(len(images), tuple(missing), tuple(changed))


def _sizes(parent: Path) -> dict[str, int]:
    sizes: dict[str, int] = {}
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            # A file that goes while the folder is listed, such as an unfinished table, says nothing of the others.
            with suppress(OSError):
                if entry.is_file():
                    sizes[entry.name] = entry.stat().st_size
    return sizes


def _is_unpublished(folder: RunFolder, job: str) -> bool:
    """Tell whether a job's files still stand with its record: they are on their way to their places."""
    try:
        return any(name != "record.json" for name in os.listdir(folder.done_folder(job)))  # noqa: PTH208 - names only
    except OSError:
        return False
