"""Images that their server says it drew otherwise than asked, of a whole run in one sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.errors import RunFolderError
from sdclient.files import command_line

_MOST_READ = 200
"""Records that are read for the names of the settings; every image is counted."""


@dataclass(frozen=True, slots=True)
class Otherwise:
    """What servers did otherwise than asked.

    Attributes:
        images: How many images it is about.
        fields: The settings, each once; those of the first few hundred jobs.
    """

    images: int
    fields: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Return what was found as one JSON object."""
        return {"otherwise_images": self.images, "otherwise_fields": list(self.fields)}

    def words(self, out: Path) -> str:
        """Return a sentence where an image differs from what was asked; else nothing."""
        if not self.images:
            return ""
        head = "1 image differs" if self.images == 1 else f"{self.images} images differ"
        named = f": {', '.join(self.fields)}" if self.fields else ""
        report = command_line("sdclient", "report", out)
        return f"{head} from what was asked{named} (column changed of images.csv); {report} shows how"


def find_otherwise(folder: RunFolder, rows: Iterable[Mapping[str, str]]) -> Otherwise:
    """Count the images that were drawn otherwise than asked.

    Args:
        folder: The run.
        rows: The rows of ``images.csv``.
    """
    jobs = [row["job"] for row in rows if row["changed"] not in ("", "0")]
    fields: dict[str, None] = {}
    for job in list(dict.fromkeys(jobs))[:_MOST_READ]:
        fields.update(dict.fromkeys(_fields(folder, job)))
    return Otherwise(len(jobs), tuple(fields))


def _fields(folder: RunFolder, job: str) -> list[str]:
    try:
        changed = folder.record(job).facts.get("changed")
    except RunFolderError:
        # Who reads all records says so.
        return []
    return [str(one.get("field")) for one in changed if isinstance(one, dict)] if isinstance(changed, list) else []
