"""Completes prompts: from templates and wildcards, or by a language model in a folder of this machine."""

from __future__ import annotations

import importlib
import random
import re
import warnings
from pathlib import Path
from typing import Protocol

from sdclient.errors import ConfigurationError, MissingExtraError
from sdclient.files import command_line
from sdclient.recipes.daily.words import DailyWords, SlotWords

MAX_PROMPT_CHARS = 250
TEMPLATES = "templates"
"""What the record calls prompts that no language model completed; posts do not mention it."""
_TRIES = 4
_LEAST_NEW_TOKENS = 20
_WORTH_CHARS = 4


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
            into = Path(folder.name or "MagicPrompt")
            raise ConfigurationError(
                f"--magic-prompt {folder}: no such folder; name the one that a language model was saved to, as by: "
                + command_line("hf", "download", "Gustavosta/MagicPrompt-Stable-Diffusion", "--local-dir", into)
            )
        if not (folder / "config.json").is_file():
            # Said at once: loading the libraries takes many seconds.
            raise ConfigurationError(
                f"--magic-prompt {folder}: holds no language model (there is no config.json in it)"
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
        # A start may be longer than what was drawn: scripts that the tokenizer does not know take many tokens a word.
        tokens = max(tokens, int(asked["input_ids"].shape[-1]) + _LEAST_NEW_TOKENS)
        if tokens > int(getattr(self._model.config, "max_position_embeddings", tokens)):
            return start
        try:
            # The seed of our own draw, without leaving a mark on anyone else's random numbers.
            with self._torch.random.fork_rng(devices=[]):
                self._torch.manual_seed(seed)
                made = self._model.generate(
                    **asked, do_sample=True, max_length=tokens, pad_token_id=self._tokenizer.eos_token_id
                )
        except (ValueError, IndexError, RuntimeError) as exc:
            reason = str(exc).split("\n", 1)[0][:200]
            raise ConfigurationError(
                f"--magic-prompt {self.name}: this model cannot complete {start[:60]!r} ({reason}); "
                "do model and tokenizer belong together?"
            ) from exc
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
