"""The server programs that are spoken to: one table each in ``facts/dialects/``, and the file's stem is the name."""

from __future__ import annotations

from importlib import resources

_ENDING = ".json"


def spoken_names() -> tuple[str, ...]:
    """Return the short names of all programs, sorted."""
    folder = resources.files("sdclient") / "facts" / "dialects"
    return tuple(sorted(item.name.removesuffix(_ENDING) for item in folder.iterdir() if item.name.endswith(_ENDING)))
