"""What became of every slot: files that are created once, so that machines and crashes agree on one post a slot."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from pydantic import TypeAdapter, ValidationError

from sdclient.batch.identity import ProcessIdentity, own_identity
from sdclient.errors import RunFolderError
from sdclient.files import create_exclusive, create_whole, storage_errors
from sdclient.recipes.daily.words import from_json, to_json

End = Literal["posted", "aside", "missed"]
ENDS: tuple[End, ...] = ("posted", "aside", "missed")
ABANDONED_S = 900.0
"""A posting whose process cannot be seen from here is taken for abandoned after this long."""


@dataclass(frozen=True, slots=True)
class SlotPlan:
    """What a slot draws and says, decided once.

    Attributes:
        key: The slot.
        start: The start of the prompt.
        prompt: The whole prompt.
        greeting: What the post says.
        completer: Who completed the prompt; empty for templates.
        words_seed: From which start and completion follow.
    """

    key: str
    start: str
    prompt: str
    greeting: str
    completer: str
    words_seed: int


@dataclass(frozen=True, slots=True)
class Posting:
    """The post that is under way.

    Attributes:
        key: Its slot.
        number: Its number.
        started: When, in UTC.
        process: Who posts.
    """

    key: str
    number: int
    started: str
    process: ProcessIdentity


class Ledger:
    """The slots of an output folder.

    Args:
        folder: Where the files are; made where it is missing.
        first_number: Number of the first post.
    """

    def __init__(self, folder: Path, first_number: int = 1) -> None:
        self.folder = folder
        self._first_number = first_number
        with storage_errors("make the folder", folder):
            folder.mkdir(parents=True, exist_ok=True)

    def plan(self, key: str, make: Callable[[], SlotPlan]) -> SlotPlan:
        """Return a slot's plan; the first who makes one decides for all.

        Raises:
            RunFolderError: If its file is damaged.
        """
        path = self.folder / f"{key}.json"
        if not path.exists():
            create_whole(path, to_json(asdict(make())))
        try:
            return TypeAdapter(SlotPlan).validate_json(path.read_bytes())
        except (OSError, ValidationError) as exc:
            raise RunFolderError(f"{path}: damaged; remove it, and the slot is planned anew") from exc

    def end_of(self, key: str) -> End | None:
        """Tell how a slot ended; None while it is open."""
        return next((end for end in ENDS if (self.folder / f"{key}.{end}").exists()), None)

    def begin_posting(self, key: str) -> Posting | None:
        """Mark the slot's post as under way; None where another post is, or the slot has ended."""
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
        posting = Posting(key, self._next_number(), now, own_identity())
        if not create_exclusive(self._mark, to_json(asdict(posting)), durable=True):
            return None
        # Between looking and marking, another machine may have posted this slot, or taken this number.
        if self.end_of(key) is not None or posting.number != self._next_number():
            self.release(posting)
            return None
        return posting

    def posting(self) -> Posting | None:
        """Return the post that is under way, whoever's it is; None where none is.

        Raises:
            RunFolderError: If the mark is damaged.
        """
        try:
            return TypeAdapter(Posting).validate_json(self._mark.read_bytes())
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as exc:
            raise RunFolderError(
                f"{self._mark}: damaged; look at the thread whether its post is out, and remove the file"
            ) from exc

    def is_abandoned(self, posting: Posting, *, now_s: Callable[[], float] = time.time) -> bool:
        """Tell whether nobody is at work on a posting any more: its process is gone, or silent for too long."""
        if posting.process.is_certainly_gone():
            return True
        if posting.process == own_identity():
            # One process posts one thing at a time, so this one is a leftover of its own.
            return True
        with suppress(OSError):
            return abs(now_s() - self._mark.stat().st_mtime) > ABANDONED_S
        return False

    def end(self, key: str, end: End, facts: Mapping[str, object]) -> bool:
        """Note how a slot ended, for good; False where it had ended before."""
        return create_whole(self.folder / f"{key}.{end}", to_json({"slot": key, **facts}))

    def release(self, posting: Posting) -> None:
        """Take the mark of a posting off; somebody else's stays."""
        with storage_errors("remove", self._mark):
            if self._mark.exists() and self._mark.read_bytes() == to_json(asdict(posting)):
                self._mark.unlink(missing_ok=True)

    @property
    def _mark(self) -> Path:
        return self.folder / "posting"

    def _next_number(self) -> int:
        return max(self._numbers(), default=self._first_number - 1) + 1

    def _numbers(self) -> Iterator[int]:
        """Yield the numbers that are taken: those of posts that may be out as well."""
        for end in ("posted", "aside"):
            for path in self.folder.glob(f"*.{end}"):
                with suppress(OSError, ValueError):
                    number = from_json(path.read_bytes()).get("number")
                    if isinstance(number, int):
                        yield number
