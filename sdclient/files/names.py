"""File names: portable ones out of any text, and paths that stay inside a folder."""

from __future__ import annotations

import os
import re
import stat
import sys
import unicodedata
from pathlib import Path

from sdclient.errors import RunFolderError
from sdclient.files.trouble import is_storage_trouble, storage_error

__all__ = ["MAX_NAME_BYTES", "find_spelled", "names_drive", "resolve_inside", "safe_name"]

MAX_NAME_BYTES = 100
"""The longest name `safe_name` gives, in bytes of UTF-8; leaves room for numbers and an extension."""

_REPLACED_CATEGORIES = frozenset({"Cc", "Cs", "Zl", "Zp"})
_REPLACED = frozenset('/\\:*?"<>|')
# Turn the direction of what follows, so that a name reads as another one.
_TURNING = frozenset("\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
# Devices on Windows, with any extension.
_RESERVED = re.compile(
    r"(?:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[0-9\u00b9\u00b2\u00b3])\s*(?:\.|$)", re.IGNORECASE
)
_DRIVE = re.compile(r"[A-Za-z]:")
_MAX_SHOWN = 120


def safe_name(text: str) -> str:
    """Make a file stem out of `text` that every system takes: Linux, macOS, Windows, and shares between them.

    Characters that are forbidden somewhere become `_`; letters of all scripts stay, in composed form (NFC). Spaces
    and dots at the ends go, because Windows drops them. Different texts may give the same name.

    Returns:
        1 to `MAX_NAME_BYTES` bytes of UTF-8; `_` if nothing was left. Making it safe again changes nothing.
    """
    composed = unicodedata.normalize("NFC", text)
    name = _trim("".join("_" if _is_forbidden(char) else char for char in composed))
    if _RESERVED.match(name):
        name = _trim(f"_{name}")
    return name or "_"


def _is_forbidden(char: str) -> bool:
    return char in _REPLACED or char in _TURNING or unicodedata.category(char) in _REPLACED_CATEGORIES


def _trim(name: str) -> str:
    """Cut to the longest length allowed, between two characters, and take dots and white space off both ends."""
    name = _strip_ends(name)
    if len(name.encode()) > MAX_NAME_BYTES:
        name = name.encode()[:MAX_NAME_BYTES].decode(errors="ignore")
    return _strip_ends(name)


def _strip_ends(name: str) -> str:
    before = None
    while name != before:
        before, name = name, name.strip().strip(".")
    return name


def resolve_inside(root: Path, relative_posix: str) -> Path:
    """Join a recorded path to `root`, if it stays inside and leads through no link.

    Args:
        root: The folder; it may itself be reached through links.
        relative_posix: A relative path with `/` between its parts. It need not exist.

    Returns:
        `root / relative_posix`, not otherwise resolved.

    Raises:
        RunFolderError: The path is empty, absolute, names a drive, has `..`, `.`, empty parts, a backslash or NUL,
            or one of its parts is a link.
        StorageError: The disk or share does not answer.
    """
    if names_drive(relative_posix):
        # It need not be a forged one: a file of the user's may be called so.
        raise RunFolderError(
            f"{root}: {relative_posix[:_MAX_SHOWN]!r} begins with a drive as Windows reads it, so that it is no plain path "
            "inside this folder on every system, and is not followed; give the file a name without it"
        )
    parts = relative_posix.split("/")
    if _leads_out(relative_posix, parts):
        raise RunFolderError(
            f"{root}: a record names {relative_posix[:_MAX_SHOWN]!r}, which is no plain path inside this folder; "
            "the record was changed or comes from elsewhere and is not followed"
        )
    path = root
    for part in parts:
        path = path / part
        if _is_link(path, root):
            raise RunFolderError(
                f"{path}: is a link; records are not followed through links, put the real folder there"
            )
    return path


def names_drive(relative_posix: str) -> bool:
    """Tell whether a path begins with a drive for Windows (`a:b.png`), whatever it is on this system."""
    return _DRIVE.match(relative_posix) is not None


def find_spelled(root: Path, relative_posix: str) -> Path:
    """Join a path to ``root`` in the spelling the disk has: macOS writes accents apart from their letters (NFD).

    Args:
        root: The folder.
        relative_posix: A relative path with `/` between its parts, in composed spelling; `..` parts are followed.

    Returns:
        The path as the disk spells it; as given where nothing such is there.
    """
    path = root / relative_posix
    if relative_posix.isascii() or os.path.lexists(path):
        return path
    here = root
    for part in relative_posix.split("/"):
        here = here / _spelled(here, part)
    return here


def _spelled(folder: Path, name: str) -> str:
    if name.isascii() or os.path.lexists(folder / name):
        return name
    try:
        listed = os.listdir(folder)  # noqa: PTH208 - names only
    except OSError:
        return name
    wanted = unicodedata.normalize("NFC", name)
    return next((one for one in listed if unicodedata.normalize("NFC", one) == wanted), name)


def _leads_out(text: str, parts: list[str]) -> bool:
    if "\\" in text or "\0" in text:
        return True
    if sys.platform == "win32" and ":" in text:
        return True
    return any(part in {"", ".", ".."} for part in parts)


def _is_link(path: Path, root: Path) -> bool:
    try:
        facts = os.lstat(path)
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as exc:
        if isinstance(exc, OSError) and is_storage_trouble(exc):
            raise storage_error("look at", str(path), exc) from exc
        raise RunFolderError(f"{root}: cannot look at {str(path)[:_MAX_SHOWN]!r} ({exc})") from exc
    if sys.platform == "win32":
        return stat.S_ISLNK(facts.st_mode) or facts.st_reparse_tag == stat.IO_REPARSE_TAG_MOUNT_POINT
    return stat.S_ISLNK(facts.st_mode)
