"""Ideas that are had so far: each section is kept when it is complete, so that nobody pays for it twice."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sdclient.files import storage_errors, write_durable
from sdclient.recipes.story.manifest import SectionIdeas

_DIGEST_CHARACTERS = 8
_SECTIONS = TypeAdapter(tuple[SectionIdeas, ...])


class Draft:
    """The sections of one list of ideas, beside the file that the whole list becomes.

    Args:
        folder: The story's folder; made where it is missing, once there is something to keep.
        about: What the ideas are made of and how: with other words there is another draft.
    """

    def __init__(self, folder: Path, about: Sequence[str]) -> None:
        self._folder = folder
        digest = hashlib.sha256("\0".join(about).encode()).hexdigest()[:_DIGEST_CHARACTERS]
        self._path = folder / f"ideas-{digest}.part.json"

    def read(self) -> list[SectionIdeas]:
        """Return the sections that are complete; none where there is no draft, or a damaged one."""
        try:
            return list(_SECTIONS.validate_json(self._path.read_bytes()))
        except (OSError, ValidationError):
            return []

    def keep(self, sections: Sequence[SectionIdeas]) -> None:
        """Keep what is complete.

        Raises:
            StorageError: If it cannot be written.
        """
        with storage_errors("make the folder of", self._path):
            self._folder.mkdir(parents=True, exist_ok=True)
        write_durable(self._path, _SECTIONS.dump_json(tuple(sections), indent=2))

    def drop(self) -> None:
        """Remove the drafts of this story, once its list of ideas is written."""
        for path in self._folder.glob(f"ideas-{'[0-9a-f]' * _DIGEST_CHARACTERS}.part.json"):
            with storage_errors("remove", path):
                path.unlink(missing_ok=True)
