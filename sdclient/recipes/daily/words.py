"""The words of a bot, as its words file holds them: the parts of its day, starts of prompts, greetings."""

from __future__ import annotations

import random
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdclient.errors import ConfigurationError


class SlotWords(BaseModel):
    """The words of one part of the day."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    hour: int = Field(ge=0, le=23)
    """The local hour it begins at."""
    theme: str = Field(min_length=1)
    """What it is about."""
    greeting: str = Field(min_length=1)
    """What the post says."""
    starts: tuple[str, ...] = Field(min_length=1, strict=False)
    """Starts of prompts, one of which is drawn."""
    wildcards: Mapping[str, list[str]] = Field(default_factory=dict)
    """What the template chooses from at this hour, in place of what it chooses from at others."""


class DailyWords(BaseModel):
    """All words of a bot, as its words file holds them."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    slots: tuple[SlotWords, ...] = Field(min_length=1, strict=False)
    """The parts of the day."""
    template: str = "__light__"
    """How prompts are completed without a language model, in the words of `dynamicprompts`."""
    wildcards: Mapping[str, list[str]] = Field(default_factory=dict)
    """What the template chooses from."""

    @property
    def hours(self) -> tuple[int, ...]:
        """The hours at which slots begin."""
        return tuple(slot.hour for slot in self.slots)

    def at(self, hour: int) -> SlotWords:
        """Return the words of the slot that begins at an hour."""
        return next(slot for slot in self.slots if slot.hour == hour)


def load_words(path: Path | None = None) -> DailyWords:
    """Read a words file; None takes the one that comes with sdclient.

    Raises:
        ConfigurationError: If it cannot be read, lacks something, or holds an empty start.
    """
    own = resources.files("sdclient.recipes.daily").joinpath("words.json")
    try:
        words = DailyWords.model_validate_json(own.read_bytes() if path is None else path.read_bytes())
    except OSError as exc:
        raise ConfigurationError(f"{path}: cannot be read ({exc.strerror}); give a words file") from exc
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise ConfigurationError(f"{path}: {where or 'the file'}: {first['msg']}") from exc
    if len(set(words.hours)) != len(words.hours):
        raise ConfigurationError(f"{path}: two slots begin at one hour; give each an hour of its own")
    for slot in words.slots:
        if not all(start.strip() for start in slot.starts):
            raise ConfigurationError(f"{path}: the slot at {slot.hour} has an empty start; take it out")
    return words


def draw_start(words: SlotWords, rng: random.Random) -> str:
    """Draw one of a slot's starts, each as often as any other."""
    return rng.choice(words.starts)
