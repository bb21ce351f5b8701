"""``native["a1111"]``: keys in A1111's own spelling, checked against its table and merged into the body."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, cast

from pydantic import JsonValue

from sdclient.dialects.base import ServerFacts
from sdclient.dialects.draft import Draft, shown
from sdclient.dialects.facts import a1111_fields, close_names
from sdclient.errors import PayloadError

__all__ = ["put_native"]

_WHERE = "native.a1111"
# Keys that the client itself needs, or that would take the answer away.
_REFUSED: Mapping[str, str] = {
    "force_task_id": "the client sets it, to follow the progress of this very call",
    "send_images": "without images there would be nothing to save",
    "init_images": "the image goes into init_image",
    "mask": "the mask goes into mask",
    "firstpass_image": "the server lists it and does not decode it",
    "latent_mask": "the server lists it and does not decode it",
    "comments": "the server resets it",
}


def put_native(
    native: Mapping[str, JsonValue], kind: Literal["txt2img", "img2img"], draft: Draft, facts: ServerFacts
) -> None:
    """Merge native keys into a body; ``override_settings`` and ``alwayson_scripts`` entry by entry.

    Raises:
        PayloadError: If a key or value is none of A1111's, or a field of the request sets it, too.
    """
    table = a1111_fields(kind)
    for name, value in native.items():
        where = f"{_WHERE}.{name[:60]}"
        if name in _REFUSED:
            raise PayloadError(f"{where}: cannot be set: {_REFUSED[name]}")
        if name not in table:
            # A1111 ignores unknown keys without a word, so it would not tell.
            raise PayloadError(f"{where}: unknown key of {kind}{close_names(name, table.spellings)}")
        problem = table[name].problem(value)
        if problem is not None:
            raise PayloadError(f"{where}: must be {problem}, not {shown(value)}")
        if name == "override_settings":
            _put_options(_mapping(value), where, draft, facts)
        elif name == "alwayson_scripts":
            _put_scripts(_mapping(value), where, draft, facts)
        else:
            draft.claim_native(name, where)
            draft.values[name] = value


def _put_options(options: Mapping[str, JsonValue], where: str, draft: Draft, facts: ServerFacts) -> None:
    target = cast("dict[str, JsonValue]", draft.values.setdefault("override_settings", {}))
    for option, value in options.items():
        draft.claim_native(f"override_settings.{option}", f"{where}.{option[:60]}")
        if facts.options is not None and option not in facts.options:
            # The server answers 500 to an option it does not know.
            hint = close_names(option, tuple(facts.options))
            draft.refuse(f"{where}.{option[:60]}", f"this server has no such option{hint}")
            continue
        target[option] = value


def _put_scripts(scripts: Mapping[str, JsonValue], where: str, draft: Draft, facts: ServerFacts) -> None:
    target = cast("dict[str, JsonValue]", draft.values.setdefault("alwayson_scripts", {}))
    for title, value in scripts.items():
        inside = f"{where}.{title[:60]}"
        if not isinstance(value, dict) or not isinstance(value.get("args"), list):
            raise PayloadError(f'{inside}: must be an object {{"args": […]}}, not {shown(value)}')
        draft.claim_native(f"alwayson_scripts.{title.casefold()}", inside)
        if facts.scripts is not None and title.casefold() not in facts.scripts:
            hint = close_names(title, facts.scripts)
            draft.refuse(inside, f"this server has no such script, and would refuse the whole request{hint}")
            continue
        target[title] = value


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}
