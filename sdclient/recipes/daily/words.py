"""What a slot says: the start of a prompt, its completion, the post and its alternative text."""

from __future__ import annotations

import importlib
import json
import random
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Protocol, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from sdclient.errors import ConfigurationError, MissingExtraError

MAX_PROMPT_CHARS = 250
TEMPLATES = "templates"
"""What the record calls prompts that no language model completed; posts do not mention it."""
_TRIES = 4
_WORTH_CHARS = 4
_URL_WEIGHT = 23
_LIGHT = ((0, 0x10FF), (0x2000, 0x200D), (0x2010, 0x201F), (0x2032, 0x2037))
"""The characters that count once on X."""


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


class Completer(Protocol):
    """Makes a whole prompt of its start."""

    name: str
    """What the record calls it."""

    def complete(self, start: str, seed: int, words: SlotWords) -> str:
        """Return the start and what follows it at this part of the day; the same seed gives the same."""
        ...


class TemplateCompleter:
    """Completes prompts from templates and wildcards, offline.

    Raises:
        MissingExtraError: If `dynamicprompts` is not installed.
    """

    name = TEMPLATES

    def __init__(self, words: DailyWords) -> None:
        try:
            self._wildcards = importlib.import_module("dynamicprompts.wildcards")
            self._generators = importlib.import_module("dynamicprompts.generators")
        except ImportError as exc:
            raise MissingExtraError("daily prompts need dynamicprompts: pip install 'sdclient[daily]'") from exc
        self._words = words

    def complete(self, start: str, seed: int, words: SlotWords) -> str:
        """Return the start with an ending from the template."""
        known = {**self._words.wildcards, **words.wildcards}
        manager = self._wildcards.WildcardManager(root_map={"": [known]})
        generator = self._generators.RandomPromptGenerator(manager, seed=seed)
        with warnings.catch_warnings():
            # dynamicprompts calls its parser library by names that are on their way out; nobody here can change that.
            warnings.simplefilter("ignore", DeprecationWarning)
            return f"{start}, {generator.generate(self._words.template, num_images=1)[0]}"


class MagicPromptCompleter:
    """Completes prompts with a language model from a folder of this machine, such as MagicPrompt.

    Args:
        folder: A model and its tokenizer, as `transformers` saves them. Nothing is fetched.

    Raises:
        MissingExtraError: If `transformers` is not installed.
        ConfigurationError: If there is no such model.
    """

    def __init__(self, folder: Path) -> None:
        if not folder.is_dir():
            raise ConfigurationError(
                f"--magic-prompt {folder}: no such folder; name the one that a language model was saved to, as by: "
                f"hf download Gustavosta/MagicPrompt-Stable-Diffusion --local-dir {folder.name or 'MagicPrompt'}"
            )
        try:
            transformers = importlib.import_module("transformers")
            self._torch = importlib.import_module("torch")
        except ImportError as exc:
            raise MissingExtraError("MagicPrompt needs transformers and torch: pip install 'sdclient[daily]'") from exc
        self.name = folder.name
        try:
            self._tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
            self._model = transformers.AutoModelForCausalLM.from_pretrained(folder, local_files_only=True)
        except (OSError, ValueError) as exc:
            reason = str(exc).split("\n", 1)[0][:200]
            raise ConfigurationError(f"--magic-prompt {folder}: holds no language model ({reason})") from exc

    def complete(self, start: str, seed: int, words: SlotWords) -> str:  # noqa: ARG002 - it knows no hours
        """Return the start and the model's own words; up to four tries for more than nothing."""
        rng = random.Random(seed)
        prompt = start
        for _ in range(_TRIES):
            prompt = tidy(start, self._generate(start, rng.randint(100, 1_000_000), rng.randint(60, 200)))
            if is_worth(start, prompt):
                break
        return prompt

    def _generate(self, start: str, seed: int, tokens: int) -> str:
        asked = self._tokenizer(start, return_tensors="pt")
        # The seed of our own draw, without leaving a mark on anyone else's random numbers.
        with self._torch.random.fork_rng(devices=[]):
            self._torch.manual_seed(seed)
            made = self._model.generate(
                **asked, do_sample=True, max_length=tokens, pad_token_id=self._tokenizer.eos_token_id
            )
        return str(self._tokenizer.decode(made[0], skip_special_tokens=True))


def tidy(start: str, text: str) -> str:
    """Return a prompt with the completion cut at its first sentence or line, and at 250 characters between words.

    The start is kept as it is: it may well hold periods of its own.
    """
    start = " ".join(start.split())
    rest = text[len(start) :] if text.startswith(start) else f" {text}"
    rest = re.sub(r"\S+\.\S+", "", rest.split("\n", 1)[0]).replace("<", "").replace(">", "")
    whole = " ".join(f"{start}{rest.split('.', 1)[0]}".split())
    if len(whole) > MAX_PROMPT_CHARS:
        whole = whole[: MAX_PROMPT_CHARS + 1].rpartition(" ")[0] or whole[:MAX_PROMPT_CHARS]
    return whole.rstrip(" ,;")


def is_worth(start: str, prompt: str) -> bool:
    """Tell whether a completion added something, and does not stop in the middle."""
    return len(prompt) > len(start) + _WORTH_CHARS and not prompt.endswith((":", "-", "—"))


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


def draw_start(words: SlotWords, rng: random.Random) -> str:
    """Draw one of a slot's starts, each as often as any other."""
    return rng.choice(words.starts)


def to_json(value: Mapping[str, object]) -> bytes:
    """Return the content of one of the ledger's files."""
    return (json.dumps(value, ensure_ascii=False, indent=1) + "\n").encode()


def from_json(data: bytes) -> dict[str, object]:
    """Read what `to_json` wrote; anything but an object is an empty one.

    Raises:
        ValueError: If it is damaged.
    """
    value = json.loads(data)
    return cast("dict[str, object]", value) if isinstance(value, dict) else {}
