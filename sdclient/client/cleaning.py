"""Text of a server without what cannot be written to a file or a terminal: lone surrogates."""

from __future__ import annotations

import re
from typing import cast

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def clean_text(text: str) -> str:
    """Return a server's text without what cannot be written to a file (lone surrogates)."""
    return text.encode("utf-8", "replace").decode()


def clean_json(value: object, raw: bytes) -> object:
    """Return decoded JSON with every text and every key cleaned.

    Args:
        value: What was decoded.
        raw: The bytes it was decoded from; only where these spell a surrogate is there anything to clean.
    """
    return _cleaned(value) if _SURROGATE.search(raw) else value


def _cleaned(value: object) -> object:
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, list):
        return [_cleaned(item) for item in cast("list[object]", value)]
    if isinstance(value, dict):
        return {clean_text(name): _cleaned(item) for name, item in cast("dict[str, object]", value).items()}
    return value
