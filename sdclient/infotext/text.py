"""The `parameters` text: prompt, negative prompt and one line of settings, as every A1111-like server writes it."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from sdclient.errors import CodecError

__all__ = ["Infotext", "format_infotext", "parse_infotext"]

_NEGATIVE = "Negative prompt:"
_FIRST_KEY = "Steps"
# A prompt may hold a pair or two ("style: oil, mood: calm"); three make a line of settings. So readers agreed.
_FEWEST_PAIRS = 3

_KEY = re.compile(r"\w[\w \-/]*[\w\-/]")
_NOT_IN_KEY = re.compile(r"[^\w \-/]")
_SHORTEST_KEY = 2
_SIZE = re.compile(r"([0-9]{1,6})x([0-9]{1,6})")
_NEEDS_QUOTES = re.compile(r'[,:"\n\r]|^[\[{]|^$')
# Lists that are not quite JSON, such as "[7, 8, 9, ]".
_LOOSE_LIST = re.compile(r"\[[^\[\]\"]*\]")
_VALUE_END = re.compile(r"\s*(?:,|$)")
_DECODER = json.JSONDecoder(strict=False)
# A value that starts like JSON and is none costs a look at all that follows, so only so many get it.
_MAX_BROKEN_VALUES = 50


@dataclass(frozen=True, slots=True)
class Infotext:
    """What a `parameters` text says.

    Attributes:
        prompt: The prompt, perhaps of several lines; empty if there was none.
        negative_prompt: The negative prompt, likewise.
        fields: The settings in the order of the text, by their usual names: `Steps`, `Sampler`, `Schedule type`,
            `CFG scale`, `Seed`, `Size`, `Model hash`, `Model`, `Denoising strength`, `Hires upscale` ...
    """

    prompt: str = ""
    negative_prompt: str = ""
    fields: Mapping[str, str] = field(default_factory=dict[str, str], hash=False)

    def get_int(self, name: str) -> int | None:
        """Read a setting as a whole number; None if it is missing or no such number."""
        try:
            return int(self.fields[name])
        except (KeyError, ValueError):
            return None

    def get_float(self, name: str) -> float | None:
        """Read a setting as a finite number; None if it is missing or no such number."""
        try:
            value = float(self.fields[name])
        except (KeyError, ValueError):
            return None
        return value if math.isfinite(value) else None

    @property
    def size(self) -> tuple[int, int] | None:
        """Width and height in pixels, from `Size`, above zero; None if that is missing or odd."""
        match = _SIZE.fullmatch(self.fields.get("Size", ""))
        size = (int(match[1]), int(match[2])) if match else (0, 0)
        return size if min(size) > 0 else None


def parse_infotext(text: str) -> Infotext:
    """Read a `parameters` text. Takes any text and never fails: what does not look like settings is prompt.

    The last line holds the settings if it starts with `Steps:` or has at least three pairs of `name: value`. Values
    may be JSON strings in quotes, and lists or objects in brackets, which then may hold commas.
    """
    lines = [line.rstrip("\r") for line in text.strip().split("\n")]
    fields = _parse_settings(lines[-1])
    if _is_settings(lines[-1], fields):
        lines.pop()
    else:
        fields = {}
    turn = next((index for index, line in enumerate(lines) if line.lstrip().startswith(_NEGATIVE)), len(lines))
    negative = "\n".join(lines[turn:]).lstrip().removeprefix(_NEGATIVE)
    return Infotext("\n".join(lines[:turn]).strip(), negative.strip(), fields)


def _is_settings(line: str, fields: Mapping[str, str]) -> bool:
    return len(fields) >= _FEWEST_PAIRS or (_FIRST_KEY in fields and line.lstrip().startswith(f"{_FIRST_KEY}:"))


def _parse_settings(line: str) -> dict[str, str]:
    """Read all pairs of `name: value` in a line; skips what is none. Takes time in proportion to the length."""
    fields: dict[str, str] = {}
    position = 0
    broken_values = 0
    while (colon := line.find(":", position)) >= 0:
        # The name is what stands right before the colon, back to the first character that no name has.
        name = _NOT_IN_KEY.split(line[position:colon])[-1].strip(" ").lstrip("-/ ")
        position = colon + 1
        if len(name) < _SHORTEST_KEY:
            continue
        while line[position : position + 1].isspace():
            position += 1
        found = _bracketed(line, position) if broken_values < _MAX_BROKEN_VALUES else None
        if found is None:
            broken_values += line[position : position + 1] in {'"', "[", "{"}
            comma = line.find(",", position)
            end = comma if comma >= 0 else len(line)
            found = line[position:end].strip(), end
        fields[name], position = found
    return fields


def _bracketed(line: str, start: int) -> tuple[str, int] | None:
    """Read a value in quotes or brackets at `start`: the value and its end; None if there is no whole one."""
    if line[start : start + 1] not in {'"', "[", "{"}:
        return None
    try:
        value, end = _DECODER.raw_decode(line, start)
    except (ValueError, RecursionError):
        loose = _LOOSE_LIST.match(line, start)
        if loose is None:
            return None
        value, end = loose[0], loose.end()
    if not _VALUE_END.match(line, end):
        return None
    return (value if isinstance(value, str) else line[start:end]), end


def format_infotext(info: Infotext) -> str:
    """Write a `parameters` text that A1111-like programs and `parse_infotext` read.

    Values that hold a comma, a colon, a quote or a line break are written as JSON strings.

    Reading it back gives an equal value, except where the format cannot say it: white space around a prompt is lost;
    a line in a prompt that starts with `Negative prompt:` starts the negative one; so few settings (one or two, none of
    them a leading `Steps`) that they read as prompt; and, without any settings, a last line of the prompt that
    looks like them.

    Raises:
        CodecError: A setting's name would not be found again: it must be of letters, digits, spaces, `_`, `-`, `/`.
    """
    blocks = [info.prompt] if info.prompt else []
    if info.negative_prompt:
        blocks.append(f"{_NEGATIVE} {info.negative_prompt}")
    if info.fields:
        blocks.append(", ".join(f"{_checked(name)}: {_quoted(value)}" for name, value in info.fields.items()))
    return "\n".join(blocks)


def _checked(name: str) -> str:
    if not _KEY.fullmatch(name):
        raise CodecError(
            f"infotext: setting {name[:60]!r}: a name has two or more letters, digits, spaces, '_', '-' or '/', "
            "and starts with a letter or digit"
        )
    return name


def _quoted(value: str) -> str:
    if _NEEDS_QUOTES.search(value) or value != value.strip():
        return json.dumps(value, ensure_ascii=False)
    return value
