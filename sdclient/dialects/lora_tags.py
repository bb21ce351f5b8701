"""Tags of LoRAs, and of their elder kin, in a prompt (``<lora:name:0.7>``).

A1111 and its forks act on them, other programs read them as words.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

from sdclient.dialects.draft import Draft, shown

__all__ = ["LoraTag", "lora_stem", "lora_tags", "lose_tags", "take_tags"]

_TAG = re.compile(r"(<lora:([^:<>]{1,300})(?::([^<>]{0,60}))?>)")
# A1111 takes these for networks, too; no other program does.
_NETWORK = re.compile(r"<(?:lora|lyco|hypernet):[^:<>]{1,300}(?::[^<>]{0,60})?>")
_WEIGHT = re.compile(r"-?[0-9]{1,3}(?:\.[0-9]{0,6})?|-?\.[0-9]{1,6}")
_ENDINGS = (".safetensors", ".pt", ".ckpt")
_TOLD = 3


@dataclass(frozen=True, slots=True)
class LoraTag:
    """One tag of a prompt.

    Attributes:
        text: As it stands there.
        name: The LoRA's name.
        weight: Its strength; None where more than one number is given (by block, or for the text encoder alone).
    """

    text: str
    name: str
    weight: float | None


def lora_stem(model: str) -> str:
    """Return a LoRA's name as a tag spells it: without folders and file ending."""
    name = PurePosixPath(model.replace("\\", "/")).name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return name


def lora_tags(prompt: str) -> tuple[LoraTag, ...]:
    """Return the tags of a prompt, in order."""
    return tuple(_tag(match) for match in _TAG.finditer(prompt))


def take_tags(prompt: str, is_taken: Callable[[LoraTag], bool]) -> str:
    """Return a prompt without the tags that are taken, as the servers take them out: blanks around a tag stay.

    But for those at its ends, where tags are put.

    Args:
        prompt: What may hold tags.
        is_taken: Asked for each tag, in order.
    """
    return _TAG.sub(lambda match: "" if is_taken(_tag(match)) else match[0], prompt).strip()


def lose_tags(prompt: str, draft: Draft, advice: str) -> None:
    """Say that tags are words to this program.

    Args:
        prompt: What may hold tags.
        draft: The body, and where the loss is noted.
        advice: What to do instead.
    """
    texts = [shown(tag) for tag in _NETWORK.findall(prompt)]
    if texts:
        more = f" and {len(texts) - _TOLD} more" if len(texts) > _TOLD else ""
        message = f"{draft.program} reads {', '.join(texts[:_TOLD])}{more} as words and draws without; {advice}"
        draft.drop("prompt", message)


def _tag(match: re.Match[str]) -> LoraTag:
    return LoraTag(match[1], match[2], _weight(match[3]))


def _weight(text: str | None) -> float | None:
    if text is None:
        return 1.0
    return float(text) if _WEIGHT.fullmatch(text.strip()) else None
