"""What a post says, and the alternative text of its image, within the limits of services."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sdclient.errors import ConfigurationError
from sdclient.recipes.daily.completion import TEMPLATES

_URL_WEIGHT = 23
_LIGHT = ((0, 0x10FF), (0x2000, 0x200D), (0x2010, 0x201F), (0x2032, 0x2037))
"""The characters that count once on X."""


@dataclass(frozen=True, slots=True)
class PostWords:
    """What posts have in common.

    Attributes:
        title: The bot's hashtag, without its mark.
        made_on: One line about how it was made.
        hashtags: The last line.
    """

    title: str = "PictureTheDAI"
    made_on: str = "Drawn at home with Stable Diffusion"
    hashtags: str = "#AIart #AIartCommunity #StableDiffusion"

    def first_line(self, number: int) -> str:
        """Return the line that tells one post from all others."""
        return f"#{self.title} No.{number}"

    def text(self, number: int, greeting: str, limit: int) -> str:
        """Return a post of at most ``limit`` weighted characters; the least important lines go first.

        Raises:
            ConfigurationError: If even title and greeting are too long.
        """
        lines = [self.first_line(number), greeting, "#PromptInALT", self.made_on, self.hashtags]
        for leave_out in ((), (3,), (3, 4), (2, 3, 4)):
            text = "\n\n".join(line for index, line in enumerate(lines) if line and index not in leave_out)
            if weighted_length(text) <= limit:
                return text
        raise ConfigurationError(f"the post {text[:40]!r}... has more than {limit} characters; shorten the greeting")


def alt_text(prompt: str, completer: str, model: str, upscaler: str, limit: int) -> str:
    """Return the alternative text: the prompt, and what drew it."""
    credit = f" (prompt completed by {completer})" if completer not in ("", TEMPLATES) else ""
    drawn = f"Drawn by {model}" if model else "Drawn by Stable Diffusion"
    enlarged = f", enlarged by {upscaler}" if upscaler else ""
    text = f"'{prompt}'{credit}\n\n{drawn}{enlarged}."
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def weighted_length(text: str) -> int:
    """Return a text's length as X counts it: an address 23, emoji and East Asian characters 2, others 1."""
    without, addresses = re.subn(r"https?://\S+", "", text)
    return addresses * _URL_WEIGHT + sum(1 if _is_light(ord(char)) else 2 for char in without)


def _is_light(code: int) -> bool:
    return any(first <= code <= last for first, last in _LIGHT)
