"""The chapters and prompts of a source text, found within a bounded time."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from sdclient.errors import ConfigurationError
from sdclient.recipes.interleave import splitting
from sdclient.recipes.interleave.config import PromptConfig

SPLIT_LIMIT_S = 10.0
"""Longest time the two expressions may take; all of a library takes less than one second."""
MAX_SOURCE_BYTES = 20_000_000
MAX_PROMPT_CHARS = 20_000


@dataclass(frozen=True, slots=True)
class Chapter:
    """One chapter that has prompts.

    Attributes:
        number: Its place in the source, from 0.
        prompts: Its prompts, each on one line, none empty.
    """

    number: int
    prompts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Chapters:
    """What a source text came to.

    Attributes:
        chapters: Those with prompts, in order; one at least.
        remarks: A sentence for everything that was left out.
    """

    chapters: tuple[Chapter, ...]
    remarks: tuple[str, ...]


def read_chapters(config: PromptConfig, folder: Path, *, limit_s: float = SPLIT_LIMIT_S) -> Chapters:
    """Read a source text and find its prompts.

    Args:
        config: Which text, and how it is split.
        folder: Where a relative source lies.
        limit_s: Longest time the expressions may take, in seconds.

    Raises:
        ConfigurationError: If the text cannot be read, an expression never matches or takes too long, or no
            chapter has a prompt.
    """
    path = folder / config.source
    answer = _split(config, _read(path), path, limit_s)
    if not answer["all_chapters"]:
        raise ConfigurationError(
            f"{path}: chapter_split_regex {config.chapter_split_regex[:60]!r} matches nowhere; "
            "it has to stand before each chapter, the first included"
        )
    chapters: list[Chapter] = []
    remarks: list[str] = []
    for number, found in enumerate(answer["chapters"]):
        entries = (
            found["entries"] if config.prompt_override is None else [config.prompt_override] * len(found["entries"])
        )
        _refuse_long(entries, path, number)
        remarks += _remarks(number, found, config)
        if entries:
            chapters.append(Chapter(number, tuple(entries)))
    if not chapters:
        raise ConfigurationError(
            f"{path}: no chapter has a prompt; prompt_split_regex {config.prompt_split_regex[:60]!r} has to stand "
            "before each prompt, the first included"
        )
    if answer["all_chapters"] > len(answer["chapters"]):
        remarks.append(f"max_chapters: {len(answer['chapters'])} of {answer['all_chapters']} chapters are taken")
    return Chapters(tuple(chapters), tuple(remarks))


def _remarks(number: int, found: splitting.Found, config: PromptConfig) -> list[str]:
    said: list[str] = []
    if found["head"]:
        said.append(f"chapter {number}: {found['head'][:40]!r} stands before the first prompt and is none")
    if not found["entries"]:
        said.append(f"chapter {number}: has no prompt and is left out")
    if found["all_entries"] > len(found["entries"]):
        said.append(
            f"chapter {number}: {len(found['entries'])} of {found['all_entries']} prompts are taken "
            f"(max_entries_per_chapter {config.max_entries_per_chapter})"
        )
    return said


def _refuse_long(entries: list[str], path: Path, number: int) -> None:
    for index, entry in enumerate(entries):
        if len(entry) > MAX_PROMPT_CHARS:
            raise ConfigurationError(
                f"{path}: chapter {number}, prompt {index} has {len(entry)} characters, beginning {entry[:40]!r}; "
                f"{MAX_PROMPT_CHARS} are the most, so prompt_split_regex seems to miss the prompts"
            )


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_SOURCE_BYTES:
            raise ConfigurationError(f"{path}: larger than {MAX_SOURCE_BYTES // 1_000_000} MB; take a part of it")
        text = path.read_text(encoding="utf-8-sig")
    except OSError as exc:
        raise ConfigurationError(f"{path}: the source cannot be read ({exc.strerror}); name a text file") from exc
    except UnicodeDecodeError as exc:
        raise ConfigurationError(f"{path}: the source is not in UTF-8 (byte {exc.start}); save it as UTF-8") from exc
    if not text.strip():
        raise ConfigurationError(f"{path}: the source is empty; write the chapters and their prompts into it")
    return text


def _split(config: PromptConfig, text: str, path: Path, limit_s: float) -> splitting.Answer:
    work: splitting.Work = {
        "text": text,
        "chapter": config.chapter_split_regex,
        "prompt": config.prompt_split_regex,
        "max_chapters": config.max_chapters,
        "max_entries": config.max_entries_per_chapter,
    }
    # A process, because an expression that backtracks holds the interpreter: no thread could end it.
    command = [sys.executable, "-I", "-S", splitting.__file__]
    try:
        done = subprocess.run(
            command, input=json.dumps(work).encode(), capture_output=True, timeout=limit_s, check=False
        )
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"{path}: splitting by {config.chapter_split_regex[:60]!r} and {config.prompt_split_regex[:60]!r} took "
            f"longer than {limit_s:g} s and was ended; write them without repeats inside repeats, such as (a+)+"
        ) from None
    if done.returncode:
        why = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        raise ConfigurationError(f"{path}: cannot be split: {' '.join(why)[:200]}")
    return cast("splitting.Answer", json.loads(done.stdout))
