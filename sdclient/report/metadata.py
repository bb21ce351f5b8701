"""``metadata.jsonl``: a run's images as Hugging Face ``datasets`` loads them (``imagefolder``), one line an image."""

from __future__ import annotations

import json

from pydantic import JsonValue

from sdclient.batch.folder import RunFolder
from sdclient.batch.log import image_rows
from sdclient.batch.views import write_view
from sdclient.errors import RunFolderError, StorageError
from sdclient.files import resolve_inside

METADATA_FILE = "metadata.jsonl"
_WHOLE = frozenset({"width_px", "height_px", "size_bytes", "seed", "attempt", "losses", "changed"})
_DECIMAL = frozenset({"execute_s"})
# A file of this name may be somebody's own data set.
_MARKS = (b'"file_name": ', b'"job": ')
_RESERVED = frozenset({"image", "file_name"})


def metadata_lines(folder: RunFolder) -> list[str]:
    """Return one JSON object for each image that is there, the user's own columns included.

    ``image`` of ``images.csv`` is called ``file_name`` here; an unknown figure is null; every line has every name.
    """
    columns, rows = image_rows(folder)
    lines: list[str] = []
    for row in rows:
        place = row.get("image", "")
        if not _is_there(folder, place):
            continue
        value: dict[str, JsonValue] = {"file_name": place}
        # `image` would collide with the column the loader makes of the file.
        value |= {name: _value(name, row.get(name, "")) for name in columns if name not in _RESERVED}
        lines.append(json.dumps(value, ensure_ascii=False))
    return lines


def write_metadata(folder: RunFolder) -> list[str]:
    """Write the file anew where it changed; returns a sentence if it could not be written."""
    path = folder.out / METADATA_FILE
    try:
        text = "".join(line + "\n" for line in metadata_lines(folder))
        data = text.encode("utf-8", "replace")
        write_view(path, data, _MARKS)
    except (StorageError, RunFolderError, OSError) as exc:
        return [f"{METADATA_FILE} was not written anew: {exc}"]
    return []


def _is_there(folder: RunFolder, place: str) -> bool:
    try:
        return resolve_inside(folder.out, place).is_file()
    except RunFolderError:
        return False


def _value(name: str, text: str) -> JsonValue:
    if name not in _WHOLE | _DECIMAL:
        return text
    try:
        return int(text) if name in _WHOLE else float(text)
    except ValueError:
        return None
