"""Listing the folders of a run: names only, since a hundred thousand paths would cost seconds."""

from __future__ import annotations

import os
from pathlib import Path


def names_in(folder: Path) -> list[str]:
    """List a folder; one that is missing is empty: copying programs leave empty folders out.

    Raises:
        OSError: If it cannot be read.
    """
    try:
        return os.listdir(folder)  # noqa: PTH208 - as the module says
    except FileNotFoundError:
        return []
