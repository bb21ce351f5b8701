"""Tell from the body of ``GET /sdapi/v1/options`` which program answers.

Each program is one entry of ``PROGRAMS``, asked in order, the most particular first. Programs that this
version does not speak are entries without a dialect: they are named in the error.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import TypeAlias, cast

from pydantic import JsonValue

from sdclient.dialects.a1111 import A1111
from sdclient.dialects.base import Dialect
from sdclient.dialects.drawthings import DrawThings
from sdclient.dialects.facts import few_names
from sdclient.errors import WrongServerError

__all__ = ["PROGRAMS", "Program", "detect", "program_of"]

Options: TypeAlias = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Program:
    """A server program and its mark.

    Attributes:
        title: Name for people.
        matches: Tells from the options whether it is this one.
        dialect: What speaks to it; None where this version does not.
    """

    title: str
    matches: Callable[[Options], bool]
    dialect: Dialect | None = None


def _is_forge(options: Options) -> bool:
    return "sd_model_checkpoint" in options and any(name.startswith("forge_") for name in options)


def _is_sdnext(options: Options) -> bool:
    # Not in any table of ours: SD.Next groups its settings of the diffusers library under this prefix.
    return "sd_model_checkpoint" in options and any(name.startswith("diffusers_") for name in options)


def _is_koboldcpp(options: Options) -> bool:
    return _is_small(options) and options["sd_model_checkpoint"] == "inactive"


def _is_small(options: Options) -> bool:
    return set(options) == {"samples_format", "sd_model_checkpoint"}


_A1111 = A1111()
_DRAW_THINGS = DrawThings()

PROGRAMS: tuple[Program, ...] = (
    Program(_DRAW_THINGS.title, _DRAW_THINGS.recognises, _DRAW_THINGS),
    Program("Forge", _is_forge),
    Program("SD.Next", _is_sdnext),
    Program(_A1111.title, _A1111.recognises, _A1111),
    Program("KoboldCpp", _is_koboldcpp),
    # Both answer with the same two keys; more GETs are needed to tell them apart.
    Program("stable-diffusion.cpp or KoboldCpp", _is_small),
)
"""Every program known by its options, in the order to ask."""


def program_of(options: object) -> Program | None:
    """Return the program behind a decoded options body; None where it is none that is known."""
    if not isinstance(options, dict):
        return None
    return next((program for program in PROGRAMS if program.matches(cast("Options", options))), None)


def detect(options: object, *, status: int = 200, server: str = "this address") -> Dialect:
    """Find the dialect that speaks to a server.

    Args:
        options: The decoded body of ``GET /sdapi/v1/options``; None or text where it is no JSON.
        status: The reply's HTTP status.
        server: The server's address, for the message.

    Raises:
        WrongServerError: If nothing known answers, or a program that this version does not speak.
    """
    program = program_of(options) if status == HTTPStatus.OK else None
    if program is None:
        raise WrongServerError(
            f"{server}: what answers is no Stable Diffusion server that is known here (GET /sdapi/v1/options gave "
            f"{_gist(options, status)}); check host and port, and that its API is switched on",
            status,
        )
    if program.dialect is None:
        raise WrongServerError(
            f"{server}: this seems to be {program.title}, which this version of sdclient does not speak yet; name a "
            "dialect to try all the same, such as a1111",
            status,
        )
    return program.dialect


def _gist(options: object, status: int) -> str:
    if status != HTTPStatus.OK:
        return f"status {status}"
    if isinstance(options, dict):
        names = sorted(str(name)[:30] for name in cast("dict[object, object]", options))
        return f"an object with {few_names(names, 4) or 'no keys'}"
    return "no JSON object"
