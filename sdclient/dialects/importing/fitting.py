"""Fields that an image's own words tell of, made into a request: what no request takes is left out alone, and named."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import cast

from sdclient.errors import PayloadError
from sdclient.schemas.generation import Img2Img, Txt2Img

__all__ = ["fitting_request"]

_WHERE = "the image's settings"
_SIDES = ("width", "height")
_NAME = re.compile(r"[a-z_]+")
# Fields of which the request says what happens without them; others are as if the text did not tell.
_INSTEAD: Mapping[str, str] = {"seed": "; one is drawn in its place"}


def fitting_request(
    cls: type[Txt2Img | Img2Img],
    fields: dict[str, object],
    labels: Mapping[str, tuple[str, ...]],
    told: Mapping[str, str],
) -> tuple[Txt2Img | Img2Img, dict[str, str]]:
    """Make a request of all fields that it takes.

    Args:
        cls: Which request.
        fields: Values by the request's names, a part as a dict of its own; what no request takes is taken out.
        labels: The labels that may tell of a field, by its name; of a part's field by both names, ``refiner.switch_at``.
        told: The image's labels and values.

    Returns:
        The request, and the labels that were left out, with the reason.

    Raises:
        PayloadError: If something is wrong that no label tells of, such as the prompt.
    """
    left: dict[str, str] = {}
    # Each round takes something out, so it ends.
    while isinstance(found := _request_or_problem(cls, fields), PayloadError):
        path, _, reason = str(found).splitlines()[0].removeprefix(f"{_WHERE}: ").partition(": ")
        name = _taken_out(fields, path, labels)
        if name is None:
            raise found
        label = next((one for one in labels[name] if one in told), labels[name][0])
        left[label] = reason + _INSTEAD.get(name, "")
    return found, left


def _request_or_problem(cls: type[Txt2Img | Img2Img], fields: Mapping[str, object]) -> Txt2Img | Img2Img | PayloadError:
    try:
        return cls.from_mapping(fields, where=_WHERE)
    except PayloadError as exc:
        return exc


def _taken_out(fields: dict[str, object], path: str, labels: Mapping[str, tuple[str, ...]]) -> str | None:
    """Take out what is wrong at a path, and return its name in ``labels``; None where it is not there."""
    field = (_NAME.match(path) or [""])[0]
    inner = path.removeprefix(f"{field}.")
    part = fields.get(field)
    if isinstance(part, dict) and path in labels and inner in part:
        del part[inner]
        return path
    if field not in fields or field not in labels:
        return None
    hires = fields.get("hires")
    if field in _SIDES and isinstance(hires, dict):
        # The image would be enlarged to that; its first pass may be right.
        field, first = "hires", cast("dict[str, object]", hires)
        fields |= {side: first[f"first_{side}"] for side in _SIDES}
    for name in _SIDES if field in _SIDES else (field,):
        fields.pop(name, None)
    return field
