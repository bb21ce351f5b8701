"""Native keys of A1111's family: in the server's own spelling, checked against its tables and merged into the body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import cast

from pydantic import JsonValue

from sdclient.dialects.a1111_names import (
    NATIVE_SAMPLERS,
    NATIVE_SCHEDULES,
    check_control_model,
    check_native_choice,
    exact_control_model,
    spelled_model,
)
from sdclient.dialects.a1111_parts import CONTROL_TITLE
from sdclient.dialects.a1111_scripts import ADETAILER_TITLE
from sdclient.dialects.base import ServerFacts
from sdclient.dialects.draft import Draft, shown
from sdclient.dialects.facts import KeyTable, close_names
from sdclient.dialects.tables import Kind, Script, adetailer_keys, body_keys, control_keys, runs_unasked, scripts
from sdclient.errors import PayloadError
from sdclient.schemas.problems import IN_PARTS

__all__ = ["MODEL_OPTION", "REFUSED", "NativeTables", "check_args", "check_script", "put_native", "without"]

MODEL_OPTION = "sd_model_checkpoint"
"""The option that names the model; on SD.Next a key of the body, too. An unknown one is passed over in silence."""

REFUSED: Mapping[str, str] = {
    "force_task_id": "the client sets it, to follow the progress of this very call",
    "send_images": "without images there would be nothing to save",
    "init_images": "the image goes into init_image",
    "mask": "the mask goes into mask",
    "firstpass_image": "the server lists it and does not decode it",
    "latent_mask": "the server lists it and does not decode it",
    "comments": "the server resets it",
}
"""Keys that the client itself needs, that would take the answer away, or that do nothing over HTTP."""

# Whether it runs at all, and whether img2img itself is skipped; either may be left out.
_ADETAILER_SWITCHES = 2
# Keys of the body that name a model, and end in a bare 500 where it is not there.
_MODEL_KEYS = (MODEL_OPTION, "refiner_checkpoint")
_MERGED = ("override_settings", "alwayson_scripts")


@dataclass(frozen=True, slots=True)
class NativeTables:
    """What the native keys of one server and one kind of request are checked against.

    Attributes:
        where: How errors call the place, such as ``native.a1111``.
        kind: The kind of request.
        body: The keys of the body.
        units: The keys of a ControlNet unit; None where the server has no such script.
        scripts: The scripts with positional arguments, by lower-case title.
        pads_args: Whether a list of arguments may be shorter than the script's.
        refuses_samplers: Whether the server itself refuses a sampler that it does not have.
    """

    where: str
    kind: Kind
    body: KeyTable
    units: KeyTable | None
    scripts: Mapping[str, Script]
    pads_args: bool = False
    refuses_samplers: bool = False

    @classmethod
    def of(cls, dialect: str, kind: Kind, where: str = "") -> NativeTables:
        """Return the tables of one of the family; what brings no units and scripts of its own has A1111's."""
        where = where or f"native.{dialect}"
        body = body_keys(dialect, kind)
        if dialect == "sdnext":
            return cls(where, kind, body, None, scripts(dialect), pads_args=True, refuses_samplers=True)
        relative = "forge" if dialect == "forge" else "a1111"
        return cls(where, kind, body, control_keys(relative), scripts(relative))


def put_native(native: Mapping[str, JsonValue], tables: NativeTables, draft: Draft, facts: ServerFacts) -> None:
    """Merge native keys into a body; ``override_settings`` and ``alwayson_scripts`` entry by entry.

    Raises:
        PayloadError: If a key or value is none of the server's, or a field of the request sets it, too.
    """
    for name, value in native.items():
        where = f"{tables.where}.{name[:60]}"
        if name in REFUSED:
            raise PayloadError(f"{where}: cannot be set: {REFUSED[name]}")
        if name not in tables.body:
            # These servers ignore unknown keys without a word, so they would not tell.
            raise PayloadError(f"{where}: unknown key of {tables.kind}{close_names(name, tables.body.spellings)}")
        problem = tables.body[name].problem(value)
        if problem is not None:
            raise PayloadError(f"{where}: must be {problem}, not {shown(value)}")
        if name == "override_settings":
            _put_options(_mapping(value), where, draft, facts)
        elif name == "alwayson_scripts":
            _put_scripts(_mapping(value), where, tables, draft, facts)
        elif name in NATIVE_SCHEDULES and facts.schedulers == ():
            check_native_choice(name, value, where, draft, facts)
        else:
            if name not in tables.body.spellings:
                message = f"its name and value are not checked here, and {draft.program} ignores what it does not know"
                draft.lose(where, "approximated", "note", message)
            if name in (*NATIVE_SAMPLERS, *NATIVE_SCHEDULES) and not tables.refuses_samplers:
                check_native_choice(name, value, where, draft, facts)
            draft.claim_native(name, where)
            draft.values[name] = _model(value, where, draft, facts) if name in _MODEL_KEYS else value
    check_script(native, tables)
    _check_title(native.get("script_name"), f"{tables.where}.script_name", draft, facts)


def without(base: Mapping[str, JsonValue], own: Mapping[str, JsonValue]) -> dict[str, JsonValue]:
    """Return the native keys of ``base`` that ``own`` does not replace."""
    kept = {name: value for name, value in base.items() if name not in own or name in _MERGED}
    for name in _MERGED:
        if name in kept and name in own:
            decided = {key.casefold() for key in _mapping(own[name])}
            kept[name] = {key: value for key, value in _mapping(kept[name]).items() if key.casefold() not in decided}
    return kept


def _put_options(options: Mapping[str, JsonValue], where: str, draft: Draft, facts: ServerFacts) -> None:
    target = cast("dict[str, JsonValue]", draft.values.setdefault("override_settings", {}))
    for option, value in options.items():
        draft.claim_native(f"override_settings.{option}", f"{where}.{option[:60]}")
        if facts.options is not None and option not in facts.options:
            # The server answers 500 to an option it does not know.
            hint = close_names(option, tuple(facts.options))
            draft.refuse(f"{where}.{option[:60]}", f"this server has no such option{hint}")
            continue
        target[option] = _model(value, f"{where}.{option}", draft, facts) if option == MODEL_OPTION else value


def _model(value: JsonValue, where: str, draft: Draft, facts: ServerFacts) -> JsonValue:
    return spelled_model(value, where, draft, facts) if isinstance(value, str) and value else value


def _check_title(title: JsonValue, where: str, draft: Draft, facts: ServerFacts) -> None:
    """Refuse a script that is not installed: SD.Next draws without it, and says nothing."""
    if not isinstance(title, str) or not title or facts.scripts is None:
        return
    # Some have their version behind a colon, and are found without it.
    known = {name for listed in facts.scripts for name in (listed, listed.partition(":")[0])}
    if title.casefold() not in known:
        draft.refuse(where, f"this server has no script {shown(title)}{close_names(title, facts.scripts)}")


def _put_scripts(
    given: Mapping[str, JsonValue], where: str, tables: NativeTables, draft: Draft, facts: ServerFacts
) -> None:
    target = cast("dict[str, JsonValue]", draft.values.setdefault("alwayson_scripts", {}))
    for title, value in given.items():
        inside = f"{where}.{title[:60]}"
        args = value.get("args") if isinstance(value, dict) else None
        if not isinstance(args, list):
            raise PayloadError(f'{inside}: must be an object {{"args": […]}}, not {shown(value)}')
        check_args(title.casefold(), args, f"{inside}.args", tables)
        draft.claim_native(f"alwayson_scripts.{title.casefold()}", inside)
        if facts.scripts is not None and title.casefold() not in facts.scripts:
            hint = close_names(title, facts.scripts)
            draft.refuse(inside, f"this server has no such script, and would refuse the whole request{hint}")
            continue
        if title.casefold() == CONTROL_TITLE.casefold():
            args = _switched(args, f"{inside}.args", draft, facts)
            _check_control_models(args, f"{inside}.args", draft, facts)
        target[title] = {**cast("dict[str, JsonValue]", value), "args": args}


def _switched(args: list[JsonValue], where: str, draft: Draft, facts: ServerFacts) -> list[JsonValue]:
    """Return units that say whether they are on, where they are; one that is off for want of a word is told."""
    is_on = runs_unasked("forge" if facts.dialect == "forge" else "a1111")
    units: list[JsonValue] = []
    for number, unit in enumerate(args):
        is_silent = isinstance(unit, dict) and bool(unit) and "enabled" not in unit
        if is_silent and not is_on:
            message = 'is off: it says no `enabled`, and the extension leaves out what does not; write "enabled": true'
            draft.drop(f"{where}[{number}]", message)
        units.append({**cast("dict[str, JsonValue]", unit), "enabled": True} if is_silent and is_on else unit)
    return units


def _check_control_models(args: list[JsonValue], where: str, draft: Draft, facts: ServerFacts) -> None:
    """Refuse units whose model the server does not have: they fail there without a word."""
    for number, unit in enumerate(args):
        model = unit.get("model") if isinstance(unit, dict) and unit.get("enabled") is True else None
        if not isinstance(model, str):
            continue
        field = f"{where}[{number}].model"
        if facts.dialect == "forge" and facts.controlnet_models is not None and model.casefold() != "none":
            found = exact_control_model(model, field, draft, facts)
            if found != model:
                draft.refuse(field, f"Forge takes a model by its whole name only; write {shown(found)}")
                continue
        check_control_model(model, field, draft, facts)


def check_args(title: str, args: list[JsonValue], where: str, tables: NativeTables) -> None:
    """Check the arguments of an always-on script that is known: the server swallows what goes wrong in one.

    Raises:
        PayloadError: If an argument is not what the script takes.
    """
    if title == CONTROL_TITLE.casefold() and tables.units is not None:
        _check_units(args, tables.units, where)
    elif title == ADETAILER_TITLE.casefold():
        switches = sum(1 for _ in takewhile(lambda one: isinstance(one, bool), args[:_ADETAILER_SWITCHES]))
        _check_units(args[switches:], adetailer_keys(), where, first=switches)
    elif title in tables.scripts:
        _check_positions(tables.scripts[title], args, where)


def _check_units(units: list[JsonValue], keys: KeyTable, where: str, first: int = 0) -> None:
    for number, unit in enumerate(units, first):
        if not isinstance(unit, dict):
            raise PayloadError(f"{where}[{number}]: must be an object, a unit, not {shown(unit)}")
        _check_unit(unit, keys, f"{where}[{number}]")


def _check_unit(unit: Mapping[str, JsonValue], keys: KeyTable, where: str) -> None:
    seen: dict[str, str] = {}
    for name, value in unit.items():
        if name not in keys:
            called = IN_PARTS.get(name, "")
            hint = f"; here it is called {called}" if called in keys else close_names(name, keys.spellings)
            raise PayloadError(f"{where}.{name[:60]}: unknown key of a unit{hint}")
        # Both spellings are the same key, and the extension fails over two of them.
        main = "mask" if name == "mask_image" and "mask" in keys else keys[name].name
        if main in seen:
            raise PayloadError(f"{where}: {name} and {seen[main]} are the same; keep one of the two")
        seen[main] = name
        problem = keys[name].problem(value)
        if problem is not None:
            raise PayloadError(f"{where}.{name[:60]}: must be {problem}, not {shown(value)}")


def check_script(native: Mapping[str, JsonValue], tables: NativeTables) -> None:
    """Check the arguments of the script that runs alone; too few or too many would shift those of the others.

    Raises:
        PayloadError: If there are too few or too many, or one is not what the script takes.
    """
    name, args = native.get("script_name"), native.get("script_args")
    known = tables.scripts.get(name.casefold()) if isinstance(name, str) else None
    if known is None or not isinstance(args, list):
        return
    where = f"{tables.where}.script_args"
    if len(args) != known.most and not (tables.pads_args and len(args) < known.most):
        raise PayloadError(f"{where}: {known.title} takes {known.most} arguments in all, not {len(args)}")
    _check_positions(known, args, where)


def _check_positions(known: Script, args: list[JsonValue], where: str) -> None:
    if len(args) > known.most:
        raise PayloadError(f"{where}: {known.title} takes at most {known.most} arguments, not {len(args)}")
    for number, (key, value) in enumerate(zip(known.args.values(), args, strict=False)):
        problem = key.problem(value)
        if problem is not None:
            raise PayloadError(f"{where}[{number}] ({key.name}): must be {problem}, not {shown(value)}")


def _mapping(value: JsonValue) -> Mapping[str, JsonValue]:
    return value if isinstance(value, dict) else {}
