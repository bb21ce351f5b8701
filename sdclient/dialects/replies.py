"""What all dialects read alike: the images of a success, and the words of an error in any of its five shapes."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Mapping
from typing import TypeAlias, cast

from sdclient.dialects.base import ErrorWords
from sdclient.errors import BadReplyError

__all__ = ["Phrases", "error_words", "reply_images", "reply_object"]

Phrases: TypeAlias = "tuple[tuple[str, str], ...]"
"""What an error says, as a pattern in any letter case, and the request field it means; the first that fits counts."""

TEXT_MAX = 500
_KEY_MAX = 60
"""Characters kept of what a server says."""

_OVERLOAD = re.compile(
    r"out ?of ?memory|not enough memory|failed to allocate|insufficient memory|NansException|all NaNs|"
    r"cudaErrorMemoryAllocation|CUBLAS_STATUS_ALLOC_FAILED",
    re.IGNORECASE,
)
_TAG = re.compile(r"<[^<>]{0,200}>")
_UNSEEN = re.compile(r"<(script|style|head)\b.*?</\1\s*>", re.IGNORECASE | re.DOTALL)
# Draw Things: Unrecognized keys: ["a", "b"]
_LISTED_KEY = re.compile(r'\["([A-Za-z_0-9]{1,60})"')
_EMPTY_WORDS = ("HTTPException", "server_error")
FieldOf = Callable[[str], "str | None"]


def reply_object(body: object) -> Mapping[str, object]:
    """Return a decoded reply that must be a JSON object.

    Raises:
        BadReplyError: If it is anything else.
    """
    if not isinstance(body, dict):
        raise BadReplyError(
            f"the reply is a JSON {type(body).__name__}, not an object with images; look at what answers there", 200
        )
    return cast("dict[str, object]", body)


def reply_images(body: object) -> tuple[str, ...]:
    """Return the images of a reply as base64, nothing decoded.

    Raises:
        BadReplyError: If there are none, or one of them is empty or no text.
    """
    images = reply_object(body).get("images")
    # Unverified [drawthings-project]: Draw Things may give none where no project is open; that is no success.
    if not isinstance(images, list) or not images:
        raise BadReplyError("the reply has no images, though it says success; look at the server's own log", 200)
    for number, image in enumerate(cast("list[object]", images), start=1):
        if not isinstance(image, str):
            raise BadReplyError(
                f"image {number} of the reply is no text but a {type(image).__name__}; look at what answers there", 200
            )
        if not image:
            raise BadReplyError(
                f"image {number} of the reply is empty: the server failed without saying so; look at its log", 200
            )
    return tuple(cast("list[str]", images))


def error_words(status: int, body: object, field_of: FieldOf, phrases: Phrases = ()) -> ErrorWords:
    """Find a server's own words in a decoded error body, or in its text.

    Args:
        status: The HTTP status.
        body: What the body decodes to; text or bytes where it is no JSON.
        field_of: Our spelling of a wire key, None where we have none.
        phrases: What this server says where it names no key.
    """
    del status
    if isinstance(body, bytes):
        body = body[: 64 * 1024].decode("utf-8", "replace")
    if isinstance(body, dict):
        text, key = _from_object(cast("dict[str, object]", body))
    else:
        text, key = (_plain(body) if isinstance(body, str) else ""), None
    listed = _LISTED_KEY.search(text)
    if key is None and listed:
        key = listed[1]
    # The server's word, as long and as odd as it likes.
    key = _short(key)[:_KEY_MAX] if key else None
    field = (field_of(key) or key) if key else _field_meant(text, phrases)
    return ErrorWords(_short(text), field, bool(_OVERLOAD.search(text)))


def _field_meant(text: str, phrases: Phrases) -> str | None:
    return next((field for pattern, field in phrases if re.search(pattern, text[:2000], re.IGNORECASE)), None)


def _from_object(body: Mapping[str, object]) -> tuple[str, str | None]:
    detail: object = body.get("detail")
    if isinstance(detail, list) and detail:
        return _from_validation(cast("list[object]", detail))
    # The class name is worth a word where it is one ("OutOfMemoryError"), not where it says nothing. It is all
    # that stable-diffusion.cpp says, where it is a sentence.
    error = body.get("error")
    words = [_said(body.get("detail")), body.get("errors"), body.get("message")]
    texts = list(dict.fromkeys(text.strip() for text in words if isinstance(text, str) and text.strip()))
    if isinstance(error, str) and error.strip() and error not in (*_EMPTY_WORDS, *texts):
        texts.insert(0, error.strip())
    return ": ".join(_plain(text) for text in texts), None


def _said(detail: object) -> object:
    return cast("dict[str, object]", detail).get("msg") if isinstance(detail, dict) else detail


def _from_validation(detail: list[object]) -> tuple[str, str | None]:
    """Read FastAPI's list: one entry for each field at fault."""
    # Unverified [validation-list]: the shape is the framework's; every part of an entry may be missing.
    lines: list[str] = []
    first: str | None = None
    for entry in detail[:5]:
        if not isinstance(entry, dict):
            continue
        values = cast("dict[str, object]", entry)
        loc = values.get("loc")
        parts = [str(part) for part in cast("list[object]", loc) if part != "body"] if isinstance(loc, list) else []
        first = first or (parts[0] if parts else None)
        lines.append(f"{'.'.join(parts)}: {values.get('msg', '')}" if parts else str(values.get("msg", "")))
    return "; ".join(lines), first


def _plain(text: str) -> str:
    """Return a page's words without its tags."""
    if "<" in text[:2000]:
        text = html.unescape(_TAG.sub(" ", _UNSEEN.sub(" ", text[:20_000])))
    return " ".join(text.split())


def _short(text: str) -> str:
    text = "".join(character if character.isprintable() else " " for character in text[: 2 * TEXT_MAX])
    return text if len(text) <= TEXT_MAX else text[: TEXT_MAX - 1] + "…"
