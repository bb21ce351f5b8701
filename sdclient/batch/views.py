"""Tables, pages and grids in the output folder that are written anew now and then: only over those of ours."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from sdclient.errors import StorageError
from sdclient.files import write_durable

__all__ = ["GRID_MARK", "grid_mark", "is_grid", "require_ours", "table_mark", "write_view"]

GRID_MARK = "sdclient grid"
"""What stands in a grid of images as the program that made it."""
_LOOKED_AT_BYTES = 4096
_HEAD_BYTES = 256


def require_ours(path: Path, marks: Iterable[bytes], *, what: str = "") -> None:
    """Refuse to write over somebody else's file.

    Args:
        path: What is about to be written anew. One that is not there, or empty, is nobody's.
        marks: What stands near the beginning or the end of ours.
        what: What ours are, such as ``a grid of sdclient's``, where sdclient may have written the file and it is
            another thing all the same.

    Raises:
        StorageError: If a file without them stands there.
        OSError: If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            seen = file.read(_LOOKED_AT_BYTES)
            file.seek(max(len(seen), path.stat().st_size - _LOOKED_AT_BYTES))
            seen += file.read()
    except FileNotFoundError:
        return
    if seen.strip() and not all(mark in seen for mark in marks):
        if what:
            raise StorageError(f"{path}: is not {what}, and is left as it is; name another file")
        raise StorageError(
            f"{path}: was not written by sdclient, and is left as it is; rename it, and the same command writes its own"
        )


def grid_mark(suffix: str) -> bytes:
    """Return what stands near the beginning of a grid of ours: its program, not any text that speaks of one.

    Args:
        suffix: Ending of the file; ``.png``, whatever its case, or that of an HTML page.
    """
    return f"Software\0{GRID_MARK}".encode() if suffix.lower() == ".png" else f'content="{GRID_MARK}"'.encode()


def is_grid(path: Path) -> bool:
    """Tell whether a PNG file is a grid of ours, by its first bytes; False where it cannot be read."""
    try:
        with path.open("rb") as file:
            return grid_mark(".png") in file.read(_HEAD_BYTES)
    except OSError:
        return False


def table_mark(columns: Iterable[str]) -> bytes:
    """Return how a table of ours begins."""
    return ",".join(list(columns)[:3]).encode()


def write_view(path: Path, data: bytes, marks: Iterable[bytes]) -> None:
    """Write a table for people, unless it says the same already.

    Args:
        path: Where.
        data: All of it.
        marks: What ours have; see `require_ours`.

    Raises:
        StorageError: If it cannot be written, or somebody else's file stands there.
        OSError: If what is there cannot be read.
    """
    if path.exists() and path.stat().st_size == len(data) and path.read_bytes() == data:
        return
    require_ours(path, marks)
    write_durable(path, data)
