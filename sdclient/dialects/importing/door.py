"""The one door for foreign JSON: tell whose it is, and hand it on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

from pydantic import JsonValue

from sdclient.dialects.facts import drawthings_keys
from sdclient.dialects.importing import a1111, drawthings
from sdclient.dialects.importing import drawthings_forms as forms
from sdclient.dialects.importing.result import Imported
from sdclient.dialects.tables import Kind, body_keys
from sdclient.errors import PayloadError

__all__ = ["FORMATS", "Format", "Imported", "guess_format", "import_payload"]

Format: TypeAlias = Literal["drawthings", "drawthings-config", "drawthings-image", "a1111", "forge"]
FORMATS: Mapping[Format, str] = {
    "drawthings": "the body of a request to Draw Things",
    "drawthings-config": "a configuration as Draw Things copies it",
    "drawthings-image": "what Draw Things writes into an image",
    "a1111": "the body of a request to AUTOMATIC1111",
    "forge": "the body of a request to Forge",
}
"""What can be imported."""

# Keys that two formats share say nothing of either.
_FEWEST_MARKS = 1


def guess_format(payload: Mapping[str, JsonValue]) -> Format:
    """Tell whose payload it is by keys that only one of them has.

    Raises:
        PayloadError: If it could be anybody's, or nobody's.
    """
    if "c" in payload and ("uc" in payload or "scale" in payload or "v2" in payload):
        return "drawthings-image"
    # A key of a configuration is one of a request in another spelling.
    other = {name: forms.request_key(name) for name in payload}
    config = {name for name, key in other.items() if key != name and key in drawthings_keys()}
    web = body_keys("a1111", "txt2img").keys() | body_keys("a1111", "img2img").keys()
    flat = {*drawthings_keys().spellings, "init_images", "restore_faces"}
    # Keys of one word are spelled alike in both forms of Draw Things.
    plain = {name for name in flat - web if "_" in name or not config}
    forge = (body_keys("forge", "txt2img").keys() | body_keys("forge", "img2img").keys()) - web
    marks: dict[Format, int] = {
        "drawthings-config": len(config),
        "drawthings": len(payload.keys() & plain),
        "forge": len(payload.keys() & forge),
        "a1111": len(payload.keys() & (web - flat)),
    }
    found: list[Format] = [name for name, number in marks.items() if number >= _FEWEST_MARKS]
    if "forge" in found and "a1111" in found:
        found.remove("a1111")
    if len(found) == 1:
        return found[0]
    if not found and payload.keys() & flat & web:
        # Prompt, steps and size alone mean the same to both.
        return "a1111"
    if not found:
        raise PayloadError("this is no payload that is known here: none of its keys is Draw Things' or AUTOMATIC1111's")
    best: Format = max(found, key=lambda name: marks[name])
    if marks[best] > 2 * sum(marks[name] for name in found if name != best):
        return best
    raise PayloadError(f"this could be {' or '.join(FORMATS[name] for name in found)}; say which with --format")


def import_payload(
    payload: Mapping[str, JsonValue], *, form: Format | None = None, kind: Kind | None = None
) -> Imported:
    """Make a request out of a foreign payload.

    Args:
        payload: The JSON object.
        form: Whose it is; None finds out.
        kind: Which request it is; None goes by what it holds.

    Raises:
        PayloadError: If it cannot be told whose it is, or it contradicts itself.
    """
    form = form or guess_format(payload)
    if form == "forge":
        return a1111.import_body(payload, kind, "forge")
    if form == "a1111":
        return a1111.import_body(payload, kind, "a1111")
    if form == "drawthings":
        return drawthings.import_body(payload, kind)
    body, left = (forms.body_from_image if form == "drawthings-image" else forms.body_from_config)(payload)
    found = drawthings.import_body(body, kind)
    return Imported(found.request, found.dialect, {**left, **found.left_out})
