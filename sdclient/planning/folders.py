"""Plans one job, or several, for every image of a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from sdclient.batch.plan import FileInput, normal_place
from sdclient.errors import ConfigurationError, PlanError
from sdclient.planning.finding import IMAGE_SUFFIXES, FoundImages, LeftOut, composed, find_images, summarise
from sdclient.planning.jobs import UPSCALED, JobList, Spec
from sdclient.steps.generate import GenerateSpec


def plan_folder(
    spec: Spec,
    folder: Path,
    out: Path,
    *,
    into: str = "",
    found: FoundImages | None = None,
    planned: Iterable[str] = (),
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

    Returns:
        The jobs, and what was left out.

    Raises:
        ConfigurationError: If the folder is none, or cannot be named from the output folder.
        PlanError: If two images would have one output name.
    """
    if found is None:
        found = find_images(folder, out=out)
        refuse_none(folder, found)
    root = relative_root(folder, out)
    suffix = UPSCALED if isinstance(spec, GenerateSpec) else ""
    places: dict[str, str] = {}
    for path in found.paths:
        # Not Path.with_suffix(): a hundred thousand of them take seconds.
        stem = path.rpartition(".")[0]
        places[path] = normal_place(f"{_prefix(into)}{stem}{suffix}")
    own = _own_outputs(places, spec, root, planned)
    listed = JobList()
    seen: dict[str, str] = {}
    for path, place in places.items():
        if path in own:
            continue
        other = seen.setdefault(place.casefold(), path)
        if other != path:
            raise PlanError(_one_name(folder, other, path, place))
        listed.add(spec, place, input=FileInput(root, composed(path)))
    return listed, found.skipped


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


def _own_outputs(places: Mapping[str, str], spec: Spec, root: str, planned: Iterable[str]) -> set[str]:
    """Return the images that are outputs of jobs for other images of the same folder."""
    if root == ".":
        below = ""
    elif root.startswith(".."):
        return set()
    else:
        below = f"{root}/"
    made = {place.casefold() for place in (*places.values(), *planned)}
    own: set[str] = set()
    for path in places:
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
