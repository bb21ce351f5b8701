"""The numbers of a folder's slices, and the files that say what each one is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sdclient.batch.folder import RunFolder
from sdclient.errors import ConfigurationError
from sdclient.files import create_whole, storage_errors, write_durable
from sdclient.recipes.canvas.slices import Canvas, Slice, SliceRules, enlarge_slice

PASSES_FOLDER = "passes"
_NUMBER = re.compile(r"[0-9]{4,9}(?![0-9])")


def slice_name(number: int) -> str:
    """Return what files of a slice begin with."""
    return f"{number:04d}"


def original_name(number: int) -> str:
    """Return the name of the enlarged slice, which the first pass draws over."""
    return f"{slice_name(number)}_original.png"


def number_slices(out: Path, slices: Sequence[Slice]) -> list[int]:
    """Return the number that each slice has in a folder, or would get next; nothing is written.

    A number is free if no file begins with it, whosesoever, and the folder's plan does not use it.

    Raises:
        RunFolderError: If the folder's plan cannot be read.
        StorageError: If one of the folder's files cannot be read.
    """
    with storage_errors("read", out):
        # Of two that say the same, the lower number has it.
        numbers = {path.read_bytes(): number for number, path in reversed(list(_records(out)))}
        taken = _begun(out) | _planned(out)
    free = (number for number in itertools.count(1) if number not in taken)
    for chosen in slices:
        if (data := chosen.to_bytes()) not in numbers:
            numbers[data] = next(free)
    return [numbers[chosen.to_bytes()] for chosen in slices]


def _begun(out: Path) -> set[int]:
    """Return the numbers that names of files begin with, here and among the passes."""
    names = (path.name for folder in (out, out / PASSES_FOLDER) if folder.is_dir() for path in folder.iterdir())
    return {int(match[0]) for name in names if (match := _NUMBER.match(name))}


def _planned(out: Path) -> set[int]:
    """Return the numbers of slices that jobs are planned for; one that a person has deleted keeps its jobs."""
    columns = (job.columns.get("slice", "") for job in RunFolder.prepare(out).read_plan().jobs.values())
    return {int(text) for text in columns if _NUMBER.fullmatch(text)}


def keep_slice(out: Path, canvas: Canvas, chosen: Slice, rules: SliceRules, *, first: int = 1) -> int:
    """Give a slice its number in a folder, and put down what it is; one that is there already keeps its own.

    Whoever creates the number's file first has it, so two runs never write over each other.

    Args:
        out: The folder.
        canvas: Where the slice is taken from.
        chosen: The slice.
        rules: How large it is enlarged.
        first: The lowest number it may get.

    Returns:
        The number.

    Raises:
        StorageError: If it cannot be written.
    """
    data = chosen.to_bytes()
    with storage_errors("make the folder", out):
        out.mkdir(parents=True, exist_ok=True)
    number = first
    while not _is_ours(out, number, data):
        number += 1
    original = out / original_name(number)
    if not original.is_file():
        write_durable(original, enlarge_slice(canvas, chosen, rules.size_px))
    return number


def _is_ours(out: Path, number: int, data: bytes) -> bool:
    path = out / f"{slice_name(number)}.json"
    with storage_errors("read", path):
        # Looked for first: whoever gives a number writes its record before its image, so an image alone is a stranger's.
        is_stranger = (out / original_name(number)).exists()
        # Asked before it is created: a folder of many slices is then searched without writing.
        if path.exists():
            return path.read_bytes() == data
        return not is_stranger and (create_whole(path, data) or path.read_bytes() == data)


def read_slices(out: Path) -> Iterator[tuple[int, Slice]]:
    """Read the slices of a folder with their numbers, in order; files that describe none are passed over."""
    for number, path in _records(out):
        with suppress(ConfigurationError):
            yield number, read_slice(path)


def strange_records(out: Path) -> list[str]:
    """Return a sentence for every file that is named like a slice's and describes none."""
    found = (_strangeness(path) for _, path in _records(out))
    return [f"{reason}; it is left as it is, and its number is not given to a slice" for reason in found if reason]


def _strangeness(path: Path) -> str:
    try:
        read_slice(path)
    except ConfigurationError as exc:
        return str(exc).partition(";")[0]
    return ""


def _records(out: Path) -> Iterator[tuple[int, Path]]:
    paths = out.glob("[0-9]" * 4 + "*.json")
    return iter(sorted((int(path.stem), path) for path in paths if path.stem.isdecimal()))


@cache
def _adapter() -> TypeAdapter[Slice]:
    """Return what reads slices; made once, because making it takes longer than reading one."""
    return TypeAdapter(Slice)


def read_slice(path: Path) -> Slice:
    """Read the file of one slice, to make it again.

    Raises:
        ConfigurationError: If it is none.
    """
    try:
        return _adapter().validate_json(path.read_bytes())
    except (OSError, ValidationError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else f"{exc.error_count()} of its keys are missing or wrong"
        raise ConfigurationError(f"{path}: describes no slice ({reason}); name a file such as OUT/0001.json") from exc
