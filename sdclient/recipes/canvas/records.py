"""The numbers of a folder's slices, and the files that say what each one is."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from sdclient.errors import ConfigurationError
from sdclient.files import create_whole, storage_errors, write_durable
from sdclient.recipes.canvas.slices import Canvas, Slice, SliceRules, enlarge_slice


def slice_name(number: int) -> str:
    """Return what files of a slice begin with."""
    return f"{number:04d}"


def number_slices(out: Path, slices: Sequence[Slice]) -> list[int]:
    """Return the number that each slice has in a folder, or would get next; nothing is written.

    Raises:
        StorageError: If one of the folder's files cannot be read.
    """
    records = list(_records(out))
    with storage_errors("read", out):
        # Of two that say the same, the lower number has it.
        numbers = {path.read_bytes(): number for number, path in reversed(records)}
    taken = {number for number, _ in records}
    free = (number for number in itertools.count(1) if number not in taken)
    for chosen in slices:
        if (data := chosen.to_bytes()) not in numbers:
            numbers[data] = next(free)
    return [numbers[chosen.to_bytes()] for chosen in slices]


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
    while not _is_ours(out / f"{slice_name(number)}.json", data):
        number += 1
    original = out / f"{slice_name(number)}_original.png"
    if not original.is_file():
        write_durable(original, enlarge_slice(canvas, chosen, rules.size_px))
    return number


def _is_ours(path: Path, data: bytes) -> bool:
    with storage_errors("read", path):
        # Asked before it is created: a folder of many slices is then searched without writing.
        return path.read_bytes() == data if path.exists() else create_whole(path, data) or path.read_bytes() == data


def read_slices(out: Path) -> Iterator[tuple[int, Slice]]:
    """Read the slices of a folder with their numbers, in order.

    Raises:
        ConfigurationError: If one of the files is none of ours.
    """
    for number, path in _records(out):
        yield number, read_slice(path)


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
