"""The record of a committed job: what it made, from what, and how; ``done/<hh>/<job>/record.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from sdclient.batch.plan import is_plain_place
from sdclient.errors import RunFolderError

NEXT_STEP = "`sdclient verify --repair` plans it anew"
"""What to do about a record that cannot be read."""


@dataclass(frozen=True, slots=True)
class OutFile:
    """One file a job made.

    Attributes:
        name: Its name inside the part directory.
        place: Final POSIX path relative to the output folder, extension included.
        sha256: Of its bytes.
        size_bytes: Length.
        facts: What else is known: width, height, seed, pixels hash.
    """

    name: str
    place: str
    sha256: str
    size_bytes: int
    facts: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step made of a job, before it is committed.

    Attributes:
        files: The files written into the part directory; none is a valid result.
        record: What the record says beside the files: the request sent, losses, differences, hashes.
        row: Cells for the CSV log, such as the seed.
        remarks: Sentences for people, told once the job is done; not kept.
    """

    files: tuple[OutFile, ...]
    record: Mapping[str, JsonValue] = field(default_factory=dict[str, JsonValue])
    row: Mapping[str, str] = field(default_factory=dict[str, str])
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Record:
    """A committed job.

    Attributes:
        job: Its id.
        epoch: The claim that won.
        token: The worker that committed it.
        files: What it made.
        facts: Everything else in the file.
    """

    job: str
    epoch: int
    token: str
    files: tuple[OutFile, ...]
    facts: Mapping[str, JsonValue]

    @property
    def attempt(self) -> int:
        """The number of the try that won, from 1; of a record that does not say, its epoch, in which `retry` counts too."""
        known = self.facts.get("attempt")
        return known if isinstance(known, int) else self.epoch

    def to_bytes(self) -> bytes:
        """Return the content of ``record.json``."""
        files: list[JsonValue] = [
            {"name": one.name, "place": one.place, "sha256": one.sha256, "size_bytes": one.size_bytes, **one.facts}
            for one in self.files
        ]
        value = {"job": self.job, "epoch": self.epoch, "token": self.token, "files": files, **self.facts}
        return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


_FILE_KEYS = ("name", "place", "sha256", "size_bytes")


def parse_record(data: bytes, where: str) -> Record:
    """Read a record.

    Args:
        data: Content of ``record.json``.
        where: What to call it in an error.

    Raises:
        RunFolderError: If it is damaged.
    """
    try:
        value = json.loads(data)
        files = tuple(_file_of(one) for one in value["files"])
        facts = {name: fact for name, fact in value.items() if name not in ("job", "epoch", "token", "files")}
        return Record(str(value["job"]), int(value["epoch"]), str(value["token"]), files, facts)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise RunFolderError(f"{where}: the record is damaged ({exc}); {NEXT_STEP}") from exc


def _file_of(one: Mapping[str, JsonValue]) -> OutFile:
    name, place = str(one["name"]), str(one["place"])
    # Files are moved by what stands here: a name that leads elsewhere is refused before anyone follows it.
    if name == "record.json" or "/" in name or not is_plain_place(name) or not is_plain_place(place):
        raise ValueError(f"it names {name[:80]!r} for {place[:80]!r}, which is no plain place inside the output folder")
    facts = {key: fact for key, fact in one.items() if key not in _FILE_KEYS}
    return OutFile(name, place, str(one["sha256"]), int(str(one["size_bytes"])), facts)
