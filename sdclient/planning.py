"""Turns prompts, folders and other jobs' outputs into jobs. Reads folders, sends nothing, writes nothing."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from pydantic import JsonValue

from sdclient.batch.plan import FileInput, Job, OutputInput, make_job, normal_place, spec_id
from sdclient.errors import ConfigurationError, PlanError
from sdclient.files import safe_name
from sdclient.steps.generate import GenerateSpec
from sdclient.steps.segment import SegmentSpec

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
OTHER_SUFFIXES = frozenset({".avif", ".bmp", ".gif", ".heic", ".heif", ".jfif", ".jp2", ".jxl", ".tif", ".tiff"})
"""Images too, and not taken: said, so that nobody misses them in the morning."""
UPSCALED = "_upscaled"
"""What is added to a source's name when it is drawn over."""
_SLUG_CHARS = 40
_NUMBERED_DIGITS = 4

Spec = GenerateSpec | SegmentSpec


@dataclass(slots=True)
class JobList:
    """Jobs being planned, with the specs they share.

    Attributes:
        jobs: In order.
        specs: By hash.
    """

    jobs: list[Job] = field(default_factory=list[Job])
    specs: dict[str, Mapping[str, JsonValue]] = field(default_factory=dict[str, Mapping[str, JsonValue]])
    _written: list[tuple[Spec, str]] = field(default_factory=list["tuple[Spec, str]"])

    def add(
        self,
        spec: Spec,
        place: str,
        *,
        input: FileInput | OutputInput | None = None,  # noqa: A002 - the design's word, and keyword-only
        changes: Mapping[str, JsonValue] | None = None,
        columns: Mapping[str, str] | None = None,
    ) -> Job:
        """Plan one job and return it."""
        kind = spec.request.kind if isinstance(spec, GenerateSpec) else "segment"
        job = make_job(kind, place, self._write(spec), input=input, changes=changes, columns=columns)
        self.jobs.append(job)
        return job

    def _write(self, spec: Spec) -> str:
        """Return a spec's hash. It may hold a control image: it is written and hashed once, not once a job."""
        for known, name in self._written:
            if known is spec:
                return name
        value = spec.to_json()
        name = spec_id(value)
        self.specs[name] = value
        self._written.append((spec, name))
        return name

    def add_outputs(
        self, spec: Spec, jobs: Sequence[Job], into: str, *, images_per_job: int = 1, below: str = ""
    ) -> list[Job]:
        """Plan one job for every image that ``jobs`` will make.

        Args:
            spec: What to do with each image.
            jobs: The jobs that make them.
            into: Folder for the results, relative to the output folder; below it the places of ``jobs`` are kept.
            images_per_job: How many images each of ``jobs`` makes.
            below: Leading folder of the places of ``jobs`` that is left out.
        """
        planned: list[Job] = []
        for job in jobs:
            place = PurePosixPath(job.place)
            kept = place.relative_to(below) if below else place
            for index in range(images_per_job):
                name = f"{kept.name}_{index + 1}"
                end = name if isinstance(spec, SegmentSpec) else name + UPSCALED
                planned.append(
                    self.add(spec, str(PurePosixPath(into) / kept.parent / end), input=OutputInput(job.id, index))
                )
        return planned


@dataclass(frozen=True, slots=True)
class FoundImages:
    """What a folder holds.

    Attributes:
        paths: Images, as POSIX paths relative to the folder, sorted.
        skipped: Sentences about files that look like images and were left out.
    """

    paths: tuple[str, ...]
    skipped: tuple[str, ...]


def find_images(folder: Path, *, out: Path | None = None) -> FoundImages:
    """List the images below a folder.

    Args:
        folder: Where to look; links are not followed.
        out: An output folder that may lie inside; it is left out.

    Raises:
        ConfigurationError: If the folder is none.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"{folder}: no such folder; name the folder that holds the images")
    found = _Finder(out.resolve() if out else None)
    found.walk(folder, "")
    return FoundImages(tuple(found.paths), tuple(found.skipped))


class _Finder:
    """Walks a tree by `os.scandir`, which asks the system half as often as paths would."""

    def __init__(self, out: Path | None) -> None:
        self._out = out
        self.paths: list[str] = []
        self.skipped: list[str] = []

    def walk(self, folder: Path, prefix: str) -> None:
        try:
            with os.scandir(folder) as entries:
                listed = sorted(entries, key=lambda entry: entry.name)
        except OSError as exc:
            self.skipped.append(f"{prefix or '.'}: this folder cannot be read ({exc.strerror})")
            return
        below: list[str] = []
        for entry in listed:
            # Hidden folders hold run states, trash and thumbnails; macOS leaves "._*" companions on shares.
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                below.append(entry.name)
            elif os.path.splitext(entry.name)[1].lower() in OTHER_SUFFIXES:  # noqa: PTH122 - as below
                self.skipped.append(f"{prefix}{entry.name}: neither PNG, JPEG nor WebP; convert it first")
            elif os.path.splitext(entry.name)[1].lower() in IMAGE_SUFFIXES:  # noqa: PTH122 - a path costs ten times that
                self._note(entry, prefix)
        for name in below:
            if self._out is None or (folder / name).resolve() != self._out:
                self.walk(folder / name, f"{prefix}{name}/")

    def _note(self, entry: os.DirEntry[str], prefix: str) -> None:
        relative = prefix + entry.name
        if not relative.isprintable() and _is_no_text(relative):
            self.skipped.append(f"{os.fsencode(relative)!r}: its name is no text; rename it")
        elif not entry.is_file(follow_symlinks=False):
            self.skipped.append(f"{relative}: a link or no plain file")
        elif entry.stat(follow_symlinks=False).st_size == 0:
            self.skipped.append(f"{relative}: empty")
        else:
            self.paths.append(relative)


def _is_no_text(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return True
    return False


def plan_folder(spec: Spec, folder: Path, out: Path, *, into: str = "") -> tuple[JobList, tuple[str, ...]]:
    """Plan one job for every image of a folder; its sub-folders are kept below ``into``.

    Images that the same command made before, where they lie inside the folder, are not taken in again.

    Returns:
        The jobs, and sentences about files that were left out.

    Raises:
        ConfigurationError: If the folder is none, or cannot be named from the output folder.
        PlanError: If two images would have one output name.
    """
    found = find_images(folder, out=out)
    if not found.paths:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        left_out = "".join(f"\nleft out: {text}" for text in found.skipped)
        raise ConfigurationError(f"{folder}: no images here or below (looked for {known}){left_out}")
    root = relative_root(folder, out)
    suffix = UPSCALED if isinstance(spec, GenerateSpec) else ""
    places: dict[str, str] = {}
    for path in found.paths:
        # Not Path.with_suffix(): a hundred thousand of them take seconds.
        stem = path.rpartition(".")[0]
        places[path] = normal_place(f"{_prefix(into)}{stem}{suffix}")
    own = _own_outputs(places, spec, root)
    listed = JobList()
    seen: dict[str, str] = {}
    for path, place in places.items():
        if path in own:
            continue
        other = seen.setdefault(place.casefold(), path)
        if other != path:
            raise PlanError(f"{folder}: {other} and {path} would both become {place}; rename one of them")
        listed.add(spec, place, input=FileInput(root, path))
    return listed, found.skipped


def _prefix(into: str) -> str:
    plain = str(PurePosixPath(into))
    return "" if plain == "." else f"{plain}/"


def _own_outputs(places: Mapping[str, str], spec: Spec, root: str) -> set[str]:
    """Return the images that are outputs of jobs for other images of the same folder."""
    if root == ".":
        below = ""
    elif root.startswith(".."):
        return set()
    else:
        below = f"{root}/"
    made = {place.casefold() for place in places.values()}
    own: set[str] = set()
    for path in places:
        stem = normal_place(below + path.rpartition(".")[0]).casefold()
        # `<place>_<k>` of an image drawn over, `<place>/<name>_<nn>` of a cut-out.
        maker = stem.rpartition("_")[0] if isinstance(spec, GenerateSpec) else stem.rpartition("/")[0]
        if maker in made:
            own.add(path)
    return own


def relative_root(folder: Path, out: Path) -> str:
    """Return a folder as the plan names it: relative to the output folder, with forward slashes.

    Raises:
        ConfigurationError: If there is no such path (another drive).
    """
    try:
        return Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix()
    except ValueError as exc:
        raise ConfigurationError(
            f"{folder} and {out} are on different drives; put the output folder on the same one"
        ) from exc


@dataclass(frozen=True, slots=True)
class PromptRow:
    """One prompt of a list, with what it changes and what is only carried along.

    Attributes:
        changes: Request fields.
        columns: The user's own columns.
        name: Name of its images; empty makes one of the number and the prompt.
    """

    changes: Mapping[str, JsonValue]
    columns: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = ""


def prompt_row(prompt: str | Mapping[str, JsonValue] | PromptRow) -> PromptRow:
    """Return a prompt, a mapping of request fields, or a row as a row."""
    if isinstance(prompt, PromptRow):
        return prompt
    return PromptRow({"prompt": prompt} if isinstance(prompt, str) else dict(prompt))


def plan_prompts(spec: GenerateSpec, rows: Iterable[PromptRow], *, into: str = "") -> JobList:
    """Plan one job for every prompt; names are ``0001_a_red_fox``, or the rows' own."""
    listed = JobList()
    for number, row in enumerate(rows, start=1):
        name = row.name or f"{number:0{_NUMBERED_DIGITS}d}_{_slug(str(row.changes.get('prompt', spec.request.prompt)))}"
        listed.add(spec, str(PurePosixPath(into) / name), changes=row.changes, columns=row.columns)
    return listed


def _slug(prompt: str) -> str:
    words = "_".join("".join(char if char.isalnum() else " " for char in prompt).split())
    return safe_name(words[:_SLUG_CHARS].strip("_") or "image")
