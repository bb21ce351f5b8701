"""Find out which program answers, by cheap GETs: its options first, then what only one of the remaining has.

::

    /sdapi/v1/options          keys of its own        Draw Things, Forge, SD.Next
                               several hundred        A1111, or a fork: ask sd-modules (Forge) and version (SD.Next)
                               two keys               stable-diffusion.cpp or KoboldCpp: ask capabilities, the
                                                      version, schedulers

The version is named where a server shows one; A1111 does not, so its list of schedules stands for it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias, cast

from pydantic import JsonValue

from sdclient.dialects.base import Dialect
from sdclient.dialects.facts import dialect_table, few_names
from sdclient.errors import ConfigurationError, WrongServerError
from sdclient.schemas.generation import DIALECT_NAMES

__all__ = [
    "OPTIONS_PATH",
    "SPOKEN",
    "Ask",
    "Detected",
    "detect",
    "detect_server",
    "who_answers",
]

Ask: TypeAlias = Callable[[str], object]
"""Makes a GET of a path and returns the decoded JSON; None where the path is missing or holds no JSON."""
Options: TypeAlias = Mapping[str, JsonValue]

OPTIONS_PATH = "/sdapi/v1/options"
_MODULES_PATH = "/sdapi/v1/sd-modules"
_VERSION_PATH = "/sdapi/v1/version"
_SCHEDULERS_PATH = "/sdapi/v1/schedulers"
_CAPABILITIES_PATH = "/sdcpp/v1/capabilities"
# KoboldCpp's text side. Not in our tables, so nothing depends on it.
_KOBOLD_VERSION_PATH = "/api/extra/version"


def _loaded(name: str) -> Dialect:
    """Make the dialect whose table names its class."""
    module, _, cls = str(dialect_table(name)["class"]).rpartition(".")
    return cast("Callable[[], Dialect]", getattr(importlib.import_module(module), cls))()


_BY_NAME: Mapping[str, Dialect] = {name: _loaded(name) for name in DIALECT_NAMES}

SPOKEN: tuple[Dialect, ...] = tuple(
    _BY_NAME[name] for name in sorted(DIALECT_NAMES, key=lambda name: cast("int", dialect_table(name)["rank"]))
)
"""Every dialect, by the rank of its table: in this order options are held against them, the most particular first."""

# Schedules that came with a version of A1111, the newest first.
_A1111_VERSIONS: tuple[tuple[str, str], ...] = (("beta", "1.10"), ("karras", "1.9"))
_OLD_A1111 = "1.8"
# One draws by the other's code, and yet they spell samplers, LoRAs and sizes differently.
_SMALL = {"sdcpp", "koboldcpp"}
_VERSION_CHARS = 60


@dataclass(frozen=True, slots=True)
class Detected:
    """Who answers.

    Attributes:
        dialect: The dialect that speaks to it.
        version: Its version, where it shows one or is known by what it has; else None.
        is_sure: Something only this program has was seen; else it is told by what is missing.
    """

    dialect: Dialect
    version: str | None = None
    is_sure: bool = True


def detect_server(ask: Ask, *, server: str = "this address") -> Detected:
    """Find the dialect that speaks to a server, and its version where that shows.

    Args:
        ask: Makes the GETs; what it raises is passed on.
        server: The server's address, for messages.

    Raises:
        WrongServerError: If nothing known answers.
    """
    options = ask(OPTIONS_PATH)
    found = _by_options(options)
    if found is None:
        raise _wrong(options, HTTPStatus.OK, server)
    # Two programs have the same two options unless one of them is idle, and forks may hide theirs.
    if found.name == "sdcpp":
        return _small(ask)
    if found.name == "a1111":
        return _classic(ask)
    if found.name == "sdnext":
        return Detected(_BY_NAME["sdnext"], _sdnext_version(ask(_VERSION_PATH)))
    if found.name == "koboldcpp":
        return Detected(_BY_NAME["koboldcpp"], _kobold_version(ask(_KOBOLD_VERSION_PATH)))
    return Detected(found)


def detect(options: object, *, status: int = HTTPStatus.OK, server: str = "this address") -> Dialect:
    """Find the dialect by the options alone; `detect_server` asks further where they do not tell.

    Args:
        options: The decoded body of ``GET /sdapi/v1/options``; None or text where it is no JSON.
        status: The reply's HTTP status.
        server: The server's address, for the message.

    Raises:
        WrongServerError: If nothing known answers.
    """
    found = _by_options(options) if status == HTTPStatus.OK else None
    if found is None:
        raise _wrong(options, status, server)
    return found


def who_answers(spoken: Dialect, ask: Ask, *, server: str) -> Detected | None:
    """Find out who answers where a dialect was named; None where that is not known, since then people know best.

    Args:
        spoken: The dialect that somebody named.
        ask: Makes the GETs; what it raises is passed on.
        server: The server's address, for messages.

    Raises:
        ConfigurationError: If the program that was found is no relative of the one named, or one of the small ones
            that have their options in common and little else: it would take half of what is said for something
            else. A relative understands most of it.
    """
    try:
        found = detect_server(ask, server=server)
    except WrongServerError:
        return None
    answers = found.dialect
    is_small = {spoken.name, answers.name} == _SMALL
    if is_small and not found.is_sure:
        return None
    if is_small or not set(type(spoken).__mro__) & set(type(answers).__mro__) - {object}:
        raise ConfigurationError(
            f"dialect {spoken.name!r} for {server}: {answers.title} answers there; "
            f"leave the dialect out, or name {answers.name!r}"
        )
    return found


def _by_options(options: object) -> Dialect | None:
    if not isinstance(options, dict):
        return None
    values = cast("Options", options)
    return next((dialect for dialect in SPOKEN if dialect.recognises(values)), None)


def _classic(ask: Ask) -> Detected:
    """Tell A1111 from forks whose options hide that they are ones."""
    if isinstance(ask(_MODULES_PATH), list):
        return Detected(_BY_NAME["forge"])
    version = _sdnext_version(ask(_VERSION_PATH))
    if version is not None:
        return Detected(_BY_NAME["sdnext"], version)
    schedules = _names(ask(_SCHEDULERS_PATH))
    version = next((v for name, v in _A1111_VERSIONS if name in schedules), _OLD_A1111)
    return Detected(_BY_NAME["a1111"], version, is_sure=False)


def _small(ask: Ask) -> Detected:
    """Tell stable-diffusion.cpp from KoboldCpp by what only one of them has."""
    capabilities = ask(_CAPABILITIES_PATH)
    if isinstance(capabilities, dict):
        return Detected(_BY_NAME["sdcpp"], _text(cast("object", capabilities), "version"))
    kobold = _kobold_version(ask(_KOBOLD_VERSION_PATH))
    if kobold is not None:
        return Detected(_BY_NAME["koboldcpp"], kobold)
    name = "sdcpp" if isinstance(ask(_SCHEDULERS_PATH), list) else "koboldcpp"
    return Detected(_BY_NAME[name], is_sure=False)


def _sdnext_version(body: object) -> str | None:
    """Return the version that SD.Next tells: a date, and the start of a commit."""
    told = [text for text in (_text(body, "updated"), _text(body, "hash")) if text]
    return " ".join(told) or None


def _kobold_version(body: object) -> str | None:
    return _text(body, "version") if (_text(body, "result") or "").casefold() == "koboldcpp" else None


def _text(body: object, key: str) -> str | None:
    value = cast("dict[str, object]", body).get(key) if isinstance(body, dict) else None
    if not isinstance(value, str) or not value.isprintable():
        return None
    return value[:_VERSION_CHARS] or None


def _names(body: object) -> frozenset[str]:
    rows = cast("list[object]", body) if isinstance(body, list) else []
    names = (cast("dict[str, object]", row).get("name") for row in rows if isinstance(row, dict))
    return frozenset(name for name in names if isinstance(name, str))


def _wrong(options: object, status: int, server: str) -> WrongServerError:
    return WrongServerError(
        f"{server}: what answers is no Stable Diffusion server that is known here (GET {OPTIONS_PATH} gave "
        f"{_gist(options, status)}); check host and port, and that its API is switched on",
        status,
    )


def _gist(options: object, status: int) -> str:
    if status != HTTPStatus.OK:
        return f"status {status}"
    if isinstance(options, dict):
        names = sorted(str(name)[:30] for name in cast("dict[object, object]", options))
        return f"an object with {few_names(names, 4) or 'no keys'}"
    return "no JSON object"
