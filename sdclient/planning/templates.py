"""Texts with names in braces, filled from a row's columns: ``{nation} family at home, {light}``."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from sdclient.errors import ConfigurationError
from sdclient.planning.finding import shorten

_PIECE = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_SHOWN = 60
_SHOWN_NAMES = 12


@dataclass(frozen=True, slots=True)
class Template:
    """A text to be filled.

    Attributes:
        field: The field that it is for, for errors.
        text: As written.
        pieces: Plain text and names, in turns, plain text first.
    """

    field: str
    text: str
    pieces: tuple[str, ...]

    @classmethod
    def parse(cls, field: str, text: str) -> Template:
        """Read a template; ``{{`` and ``}}`` stand for the braces themselves.

        Raises:
            ConfigurationError: If a brace stands alone, or a name is empty.
        """
        pieces = [""]
        end = 0
        for match in _PIECE.finditer(text):
            pieces[-1] += text[end : match.start()]
            end = match.end()
            name = match[1]
            if match[0] in ("{{", "}}"):
                pieces[-1] += match[0][0]
            elif name is None or not name.strip():
                raise ConfigurationError(
                    f"{field}={text[:_SHOWN]!r}: {match[0]!r} at character {match.start() + 1} names no column; "
                    "write {name}, or {{ and }} for the braces themselves"
                )
            else:
                pieces += [name.strip(), ""]
        pieces[-1] += text[end:]
        return cls(field, text, tuple(pieces))

    @property
    def names(self) -> tuple[str, ...]:
        """The names to be filled in, as written."""
        return self.pieces[1::2]

    def fill(self, values: Mapping[str, str], where: str) -> str:
        """Fill the names in.

        Args:
            values: By name; upper and lower case count only where two names differ by nothing else.
            where: Which row or image it is for, for errors.

        Raises:
            ConfigurationError: If there is no such name, with the closest.
        """
        return "".join(self._filled(values, where))

    def _filled(self, values: Mapping[str, str], where: str) -> Iterator[str]:
        for number, piece in enumerate(self.pieces):
            yield self._value(piece, values, where) if number % 2 else piece

    def _value(self, name: str, values: Mapping[str, str], where: str) -> str:
        if name in values:
            return values[name]
        alike = [known for known in values if known.casefold() == name.casefold()]
        if len(alike) == 1:
            return values[alike[0]]
        close = difflib.get_close_matches(name, list(values), n=1)
        hint = f"did you mean {{{close[0]}}}? " if close else ""
        names = sorted(values)
        more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
        raise ConfigurationError(
            f"{shorten(where)}: {self.field}={self.text[:_SHOWN]!r} names {{{name[:_SHOWN]}}}, which is not there; {hint}"
            f"there are {', '.join(names[:_SHOWN_NAMES])}{more}; write {{{{ and }}}} for the braces themselves"
        )
