"""How the settings of two images differ: by what was sent, where that is known, else by what the files say."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from sdclient.errors import ConfigurationError
from sdclient.infotext import Infotext
from sdclient.provenance.origin import Origin, RunOrigin, find_origin

MISSING = "—"
"""Stands for a setting that one side does not have."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One setting in which two images differ.

    Attributes:
        field: The setting, dotted.
        a: Its value for the first image.
        b: For the second.
    """

    field: str
    a: str
    b: str


@dataclass(frozen=True, slots=True)
class SettingsDiff:
    """How two images' settings differ.

    Attributes:
        compared: What was compared: ``the requests as sent``, ``the planned requests`` or ``the files' own metadata``.
        differences: The settings that differ, by name.
        equal: How many settings are the same.
    """

    compared: str
    differences: tuple[Difference, ...]
    equal: int


def compare_settings(a: Path, b: Path) -> SettingsDiff:
    """Compare how two images were made.

    Raises:
        ConfigurationError: If nothing is known of one of them.
        CodecError: If one is no image.
    """
    one, two = find_origin(a), find_origin(b)
    if one.run is not None and two.run is not None:
        is_same = one.run.record.facts.get("dialect") == two.run.record.facts.get("dialect")
        if is_same and _sent(one.run) and _sent(two.run):
            return _diff("the requests as sent", _sent(one.run), _sent(two.run))
        return _diff("the planned requests", _planned(one.run), _planned(two.run))
    return _diff("the files' own metadata", _metadata(one), _metadata(two))


def compare_values(a: Mapping[str, JsonValue], b: Mapping[str, JsonValue]) -> tuple[Difference, ...]:
    """Return the parts in which two JSON objects differ."""
    return _diff("", _flat(a), _flat(b)).differences


def _diff(compared: str, a: Mapping[str, str], b: Mapping[str, str]) -> SettingsDiff:
    names = list(dict.fromkeys([*a, *b]))
    different = [
        Difference(name, a.get(name, MISSING), b.get(name, MISSING)) for name in names if a.get(name) != b.get(name)
    ]
    return SettingsDiff(compared, tuple(different), len(names) - len(different))


def _sent(run: RunOrigin) -> dict[str, str]:
    body = run.record.facts.get("request")
    found = _flat(body) if isinstance(body, dict) else {}
    # The seed that an image was drawn with is mostly the one that was sent, and then said once.
    facts = {name: text for name, text in _facts(run).items() if (name, text) != ("(seed)", found.get("seed"))}
    return found | facts if found else {}


def _planned(run: RunOrigin) -> dict[str, str]:
    spec = run.folder.read_plan().specs.get(run.job.spec, {})
    request = spec.get("request", spec.get("segment"))
    return _flat({**(request if isinstance(request, dict) else {}), **run.job.changes}) | _facts(run)


def _facts(run: RunOrigin) -> dict[str, str]:
    facts = run.record.facts
    image = run.record.files[run.index].facts
    known: dict[str, JsonValue] = {
        "kind": run.job.kind,
        "dialect": facts.get("dialect"),
        "seed": image.get("seed", facts.get("seed")),
        "input_sha256": facts.get("input_sha256"),
    }
    return {f"({name})": str(value) for name, value in known.items() if value is not None}


def _metadata(origin: Origin) -> dict[str, str]:
    info = origin.infotext
    if info is None:
        raise ConfigurationError(
            f"{origin.path}: has no settings written inside, and not both images lie in a run folder; "
            "there is nothing to compare"
        )
    return _infotext(info)


def _infotext(info: Infotext) -> dict[str, str]:
    return {"prompt": info.prompt, "negative_prompt": info.negative_prompt, **info.fields}


def _flat(value: Mapping[str, JsonValue], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for name, part in value.items():
        key = f"{prefix}{name}"
        if isinstance(part, dict):
            found |= _flat(part, f"{key}.")
        elif isinstance(part, list):
            found |= _flat({str(index): one for index, one in enumerate(part)}, f"{key}.")
        else:
            found[key] = part if isinstance(part, str) else json.dumps(part)
    return found
