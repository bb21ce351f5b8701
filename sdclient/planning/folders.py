"""Plans one job, or several, for every image of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from sdclient.batch.plan import FileInput, normal_place
from sdclient.errors import ConfigurationError, PlanError
from sdclient.planning.finding import IMAGE_SUFFIXES, FoundImages, LeftOut, composed, find_images, summarise
from sdclient.planning.jobs import UPSCALED, JobList, Spec
from sdclient.planning.rows import PromptRow
from sdclient.planning.wording import Version, Wording
from sdclient.steps.generate import GenerateSpec

_LONGEST_NAME_BYTES = 230
"""In UTF-8, without what follows: number, extension and the mark of a clash. File systems take 255 in all."""
_NO_ROW = PromptRow({})
_AS_IT_IS = Version("", {}, {})


@dataclass(frozen=True, slots=True)
class ImageWords:
    """What the images of a folder say of their own.

    Attributes:
        wording: Turns rows into versions.
        rows: By the image's path as it was found; an image without one takes what all have in common.
    """

    wording: Wording
    rows: Mapping[str, PromptRow] = field(default_factory=dict[str, PromptRow])


def plan_folder(
    spec: Spec,
    folder: Path,
    out: Path,
    *,
    into: str = "",
    found: FoundImages | None = None,
    planned: Iterable[str] = (),
    words: ImageWords | None = None,
) -> tuple[JobList, tuple[LeftOut, ...]]:
    """Plan one job for every image of a folder; its sub-folders are kept below ``into``.

    Images that the same command made before, where they lie inside the folder, are not taken in again.

    Args:
        spec: What to do with each image.
        folder: Where the images are.
        out: The output folder.
        into: Folder for the results, relative to the output folder.
        found: The images, where they are known already; None looks for them.
        planned: Places that the run has planned before.
        words: What each image's request says of its own; None lets all be alike.

    Returns:
        The jobs, and what was left out.

    Raises:
        ConfigurationError: If the folder is none, or cannot be named from the output folder, or a template names what
            an image does not have.
        PlanError: If two images would have one output name.
    """
    if found is None:
        found = find_images(folder, out=out)
        refuse_none(folder, found)
    root = relative_root(folder, out)
    taken, too_long = _take(found, spec, words, into=into, root=root, planned=planned)
    return _list_jobs(spec, folder, root, taken, words), (*found.skipped, *too_long)


def _take(
    found: FoundImages,
    spec: Spec,
    words: ImageWords | None,
    *,
    into: str,
    root: str,
    planned: Iterable[str],
) -> tuple[dict[str, str], list[LeftOut]]:
    """Return the images that get jobs, each with the place of its results up to label and suffix, and those left out."""
    prefix = _prefix(into)
    # Not Path.with_suffix(): a hundred thousand of them take seconds.
    stems = {path: normal_place(f"{prefix}{path.rpartition('.')[0]}") for path in found.paths}
    suffix = _suffix(spec)
    ends = [label + suffix for label in (words.wording.labels if words is not None else ("",))]
    made = {f"{stem}{end}".casefold() for stem in stems.values() for end in ends}
    own = _own_outputs(stems, spec, root, made, planned)
    longest = max(ends, key=len, default=suffix)
    too_long = {path for path, stem in stems.items() if path not in own and _is_too_long(stem + longest)}
    taken = {path: stem for path, stem in stems.items() if path not in own and path not in too_long}
    return taken, [LeftOut(path, "its name is too long for those of results") for path in sorted(too_long)]


def _list_jobs(spec: Spec, folder: Path, root: str, taken: Mapping[str, str], words: ImageWords | None) -> JobList:
    if words is not None:
        words.wording.variations.refuse_absurd(len(taken))
    listed = JobList()
    for place, path, version in _placed(words, folder, taken, _suffix(spec)):
        source = FileInput(root, composed(path))
        listed.add(spec, place, input=source, changes=version.changes, columns=version.columns)
    return listed


def _suffix(spec: Spec) -> str:
    return UPSCALED if isinstance(spec, GenerateSpec) else ""


def _is_too_long(place: str) -> bool:
    return len(place.rpartition("/")[2].encode()) > _LONGEST_NAME_BYTES


def _placed(
    words: ImageWords | None, folder: Path, taken: Mapping[str, str], suffix: str
) -> Iterator[tuple[str, str, Version]]:
    """Give each version of each image with its place, which no other image may have."""
    seen: dict[str, str] = {}
    for path, stem in taken.items():
        for version in _versions(words, folder, path, stem):
            place = f"{stem}{version.label}{suffix}"
            other = seen.setdefault(place.casefold(), path)
            if other != path:
                raise PlanError(_one_name(folder, other, path, place))
            yield place, path, version


def _versions(words: ImageWords | None, folder: Path, path: str, stem: str) -> Iterable[Version]:
    if words is None or (words.wording.is_plain and path not in words.rows):
        return (_AS_IT_IS,)
    above, _, name = composed(path).rpartition("/")
    about = {
        "stem": name.rpartition(".")[0],
        "folder": above.rpartition("/")[2] or composed(folder.resolve().name),
        "path": above,
    }
    where = f"{path}, which has no row of its own" if words.rows and path not in words.rows else path
    return words.wording.versions(words.rows.get(path, _NO_ROW), about, where=where, key=stem)


def refuse_none(folder: Path, found: FoundImages) -> None:
    """Refuse a folder without images.

    Raises:
        ConfigurationError: Saying what is there instead.
    """
    if not found.paths:
        known = ", ".join(sorted(IMAGE_SUFFIXES))
        left_out = "".join(f"\nleft out: {text}" for text in summarise(found.skipped))
        raise ConfigurationError(f"{folder}: no images here or below (looked for {known}){left_out}")


def _one_name(folder: Path, one: str, two: str, place: str) -> str:
    if composed(one) == composed(two):
        # On the screen the two look alike.
        return (
            f"{folder}: {one!a} and {two!a} are one name in two spellings (composed and decomposed), "
            "which is one file on some systems and two on others; rename one of them"
        )
    return f"{folder}: {one} and {two} would both become {place}; rename one of them"


def _prefix(into: str) -> str:
    plain = str(PurePosixPath(into))
    return "" if plain == "." else f"{plain}/"


def _own_outputs(
    paths: Iterable[str], spec: Spec, root: str, made: AbstractSet[str], planned: Iterable[str]
) -> set[str]:
    """Return the images that are outputs of jobs for other images of the same folder."""
    if root == ".":
        below = ""
    elif root.startswith(".."):
        return set()
    else:
        below = f"{root}/"
    made = made | {place.casefold() for place in planned}
    own: set[str] = set()
    for path in paths:
        stem = normal_place(below + path.rpartition(".")[0]).casefold()
        # `<place>_<k>` of an image drawn over, `<place>/<name>_<nn>` of a cut-out.
        maker = stem.rpartition("_")[0] if isinstance(spec, GenerateSpec) else stem.rpartition("/")[0]
        if maker in made:
            own.add(path)
    return own


def relative_root(folder: Path, out: Path) -> str:
    """Return a folder as the plan names it: relative to the output folder, composed, with forward slashes.

    Raises:
        ConfigurationError: If there is no such path (another drive).
    """
    try:
        return composed(Path(os.path.relpath(folder.resolve(), out.resolve())).as_posix())
    except ValueError as exc:
        raise ConfigurationError(
            f"{folder} and {out} are on different drives; put the output folder on the same one"
        ) from exc
