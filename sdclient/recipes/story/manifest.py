"""``ideas.json``: what a story is illustrated with, in order; the source of every caption. People may edit it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sdclient.errors import ConfigurationError, PayloadError
from sdclient.files import create_whole, safe_name, storage_errors, write_durable
from sdclient.schemas.jsontext import parse_json_object
from sdclient.schemas.problems import problem_lines

FILE_NAME = "ideas.json"
FORMAT = 1
_WAY_ON = "repair the file, or make new ideas with --new-ideas, which keeps this one beside them"
_Text = Annotated[str, Field(min_length=1, max_length=20_000)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Idea(_Part):
    """One idea."""

    idea: _Text
    """What is to be seen: the caption."""
    prompt: _Text
    """What is sent."""
    origin: str = ""
    """Who had it: ``extract`` or a model's name."""


class SectionIdeas(_Part):
    """The ideas of one section, in order."""

    section: Annotated[str, Field(min_length=1, max_length=60)]
    """Its name, also in the names of its images."""
    heading: Annotated[str, Field(max_length=200)] = ""
    """What stands above it; empty for its name, in the language of the ideas where that is known."""
    ideas: tuple[Idea, ...]
    """In order."""


class Manifest(_Part):
    """All of a story."""

    format: Annotated[int, Field(ge=1, le=FORMAT)] = FORMAT
    """Version of this file."""
    title: _Text
    """Title of the documents."""
    text_sha256: str
    """Hash of the text that the ideas were made of."""
    source: str
    """Who was asked for the ideas."""
    made_with: tuple[str, ...] = ()
    """The options that they were made with, as typed."""
    sections: Annotated[tuple[SectionIdeas, ...], Field(min_length=1)]
    """In order."""

    @model_validator(mode="after")
    def _sections_differ(self) -> Manifest:
        names = [safe_name(one.section).casefold() for one in self.sections]
        if len(set(names)) < len(names):
            raise ValueError("sections: two have the same name, and would share their images; rename one")
        return self

    @property
    def filled(self) -> int:
        """How many ideas the source did not give, so that key sentences stand in for them."""
        return sum(one.origin != self.source for section in self.sections for one in section.ideas)


def read_manifest(folder: Path) -> Manifest | None:
    """Read a story's ideas; None where there are none yet.

    Raises:
        ConfigurationError: If the file says something wrong; one line a problem.
    """
    path = folder / FILE_NAME
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc}); {_WAY_ON}") from exc
    try:
        return Manifest.model_validate(parse_json_object(text, str(path)))
    except ValidationError as exc:
        raise ConfigurationError("\n".join([*problem_lines(exc.errors(), Manifest, f"{path}: "), _WAY_ON])) from None
    except PayloadError as exc:
        raise ConfigurationError(f"{exc}\n{_WAY_ON}") from None


def keep_manifest(folder: Path) -> Path | None:
    """Copy a story's ideas beside them, before others are written over them; None where there are none.

    Raises:
        StorageError: If the copy cannot be written.
    """
    path = folder / FILE_NAME
    with storage_errors("read", path):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            return None
    number = 1
    while not create_whole(kept := path.with_stem(f"{path.stem}~{number}"), data):
        number += 1
    return kept


def write_manifest(folder: Path, manifest: Manifest, *, replace: bool) -> Manifest:
    """Write a story's ideas.

    Args:
        folder: The story's folder; made where it is missing.
        manifest: The ideas.
        replace: Write over ideas that are there. If not, and another program was first, its ideas are the story's.

    Returns:
        The ideas that are in force now.

    Raises:
        StorageError: If they cannot be written.
    """
    data = (json.dumps(manifest.model_dump(mode="json"), ensure_ascii=False, indent=2) + "\n").encode()
    path = folder / FILE_NAME
    with storage_errors("make the folder of", path):
        folder.mkdir(parents=True, exist_ok=True)
    if replace:
        write_durable(path, data)
    elif not create_whole(path, data):
        return read_manifest(folder) or manifest
    return manifest
