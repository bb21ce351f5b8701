"""Names of a package that are fetched from their modules when they are first used, so that importing it is light."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping


def late(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package.

    Args:
        package: The package's ``__name__``.
        homes: For each name its module inside the package.
    """

    def fetch(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value: object = getattr(importlib.import_module(f"{package}.{homes[name]}"), name)
        # Kept, so that the next look finds it without coming here.
        setattr(sys.modules[package], name, value)
        return value

    return fetch
