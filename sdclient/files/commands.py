"""Commands that are offered to be typed: as a shell takes them, whatever the names in them are."""

from __future__ import annotations

import shlex
from pathlib import Path

__all__ = ["command_line"]


def command_line(*words: str | Path) -> str:
    """Return a command line, quoted as a shell takes it.

    Args:
        words: The program and what follows. Texts stand as they are; a path that begins with a dash is written so that no
            program takes it for an option, ``./-out``.
    """
    return shlex.join(_guarded(word) if isinstance(word, Path) else word for word in words)


def _guarded(path: Path) -> str:
    text = str(path)
    return f"./{text}" if text.startswith("-") else text
