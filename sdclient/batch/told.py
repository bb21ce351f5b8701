"""What people were told once in a run and need not read at every start: ``told.jsonl``, one JSON string a line.

Only talk hangs on it. Two machines may write it at once: the last one wins, and the worst is a sentence read twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from sdclient.files import write_durable

_NAME = "told.jsonl"


def read_told(state: Path) -> set[str]:
    """Return what was told; nothing where it cannot be read.

    Args:
        state: The run's own folder.
    """
    try:
        lines = (state / _NAME).read_text(encoding="utf-8").split("\n")
        return {text for line in lines if line and isinstance(text := json.loads(line), str)}
    except (OSError, ValueError):
        return set()


def note_told(state: Path, texts: Iterable[str]) -> None:
    """Note what was told, beside what was told before; nothing is written where nothing is new.

    Args:
        state: The run's own folder.
        texts: Each is its own key.

    Raises:
        StorageError: If it cannot be written.
    """
    before = read_told(state)
    now = before.union(texts)
    if now != before:
        write_durable(state / _NAME, "".join(json.dumps(text) + "\n" for text in sorted(now)).encode())
