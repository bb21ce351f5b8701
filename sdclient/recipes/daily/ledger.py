"""What became of every slot: files that are created once, so that machines and crashes agree on one post a slot.

Names and entries tell the time zone. After a change of zone a slot counts as posted where a slot of the old zone
began within it, or was posted within it; entries of before, which tell no zone, count by date and hour.
"""

from __future__ import annotations

import datetime as dt
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast

from pydantic import TypeAdapter, ValidationError

from sdclient.batch.identity import ProcessIdentity, own_identity
from sdclient.errors import RunFolderError
from sdclient.files import create_exclusive, create_whole, storage_error, storage_errors
from sdclient.recipes.daily.slots import Slot

End = Literal["posted", "aside", "missed"]
_OUT: tuple[End, ...] = ("posted", "aside")
"""The ends after which a post is out, or may be."""
_DAY = dt.timedelta(days=1)
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
        zone: The slot's time zone; empty in marks of before.
        began: When the slot began, in UTC; empty in marks of before.
        moment: What was taken for the present, in UTC; empty in marks of before.
    """

    key: str
    number: int
    started: str
    process: ProcessIdentity
    zone: str = ""
    began: str = ""
    moment: str = ""


# Made when first wanted, and once: a bot looks at its mark twice a minute, all year.
@cache
def _plan_form() -> TypeAdapter[SlotPlan]:
    return TypeAdapter(SlotPlan)


@cache
def _posting_form() -> TypeAdapter[Posting]:
    return TypeAdapter(Posting)


class Ledger:
    """The slots of an output folder.

    Args:
        folder: Where the files are; made where it is missing, once there is something to write.
        first_number: Number of the first post.
    """

    def __init__(self, folder: Path, first_number: int = 1) -> None:
        self.folder = folder
        self._first_number = first_number

    def plan(self, slot: Slot, make: Callable[[], SlotPlan]) -> SlotPlan:
        """Return a slot's plan; the first who makes one decides for all.

        Raises:
            RunFolderError: If its file is damaged.
        """
        if (there := self.find_plan(slot)) is not None:
            return there
        self._make_folder()
        made = make()
        create_whole(self.folder / f"{slot.key}.json", to_json(asdict(made)))
        return self.find_plan(slot) or made

    def find_plan(self, slot: Slot) -> SlotPlan | None:
        """Return the plan that a slot has; None where it has none yet.

        Raises:
            RunFolderError: If its file is damaged.
            StorageError: If it cannot be read.
        """
        names = (self.folder / f"{slot.key}.json", self.folder / f"{slot.zoneless}.json")
        path = next((one for one in names if one.exists()), None)
        if path is None:
            return None
        with storage_errors("read", path):
            data = path.read_bytes()
        try:
            return _plan_form().validate_json(data)
        except ValidationError as exc:
            raise RunFolderError(f"{path}: damaged; remove it, and the slot is planned anew") from exc

    def end_of(self, slot: Slot) -> End | None:
        """Tell how a slot ended, in whatever zone it was called; None while it is open."""
        own: End | None = next((end for end in _OUT if self._path(slot.key, end).exists()), None)
        if own is not None:
            return own
        days = {(slot.start + number * _DAY).date().isoformat() for number in range(-1, 3)}
        for end in _OUT:
            near = (path for path in self._entries((end,)) if path.name[:10] in days)
            if any(_is_of(path, slot) for path in near):
                return end
        return "missed" if self._path(slot.key, "missed").exists() else None

    def has_ended(self, posting: Posting) -> bool:
        """Tell whether the slot of a post that is under way has ended."""
        return any(self._path(posting.key, end).exists() for end in _OUT)

    def begin_posting(self, slot: Slot, moment: dt.datetime) -> Posting | None:
        """Mark the slot's post as under way; None where another post is, or the slot has ended."""
        now = dt.datetime.now(dt.timezone.utc).isoformat(timespec="seconds")
        began, taken = slot.start.isoformat(), moment.astimezone(dt.timezone.utc).isoformat()
        posting = Posting(slot.key, self.next_number(), now, own_identity(), slot.zone, began, taken)
        self._make_folder()
        if not create_exclusive(self.mark, to_json(asdict(posting)), durable=True):
            return None
        # Between looking and marking, another machine may have posted this slot, or taken this number.
        is_ours = False
        try:
            is_ours = self.end_of(slot) not in _OUT and posting.number == self.next_number()
        finally:
            if not is_ours:
                self.release(posting)
        return posting if is_ours else None

    def posting(self) -> Posting | None:
        """Return the post that is under way, whoever's it is; None where none is.

        Raises:
            RunFolderError: If the mark is damaged.
            StorageError: If it cannot be read.
        """
        try:
            data = self.mark.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as exc:
            # Not damaged: a share that is away for a moment must not have anybody remove the mark.
            raise storage_error("read", self.mark, exc) from exc
        try:
            return _posting_form().validate_json(data)
        except ValidationError as exc:
            raise RunFolderError(
                f"{self.mark}: damaged; look at the thread whether its post is out, and remove the file"
            ) from exc

    def is_abandoned(self, posting: Posting, *, now_s: Callable[[], float] = time.time) -> bool:
        """Tell whether nobody is at work on a posting any more: its process is gone, or silent for too long."""
        if posting.process.is_certainly_gone():
            return True
        if posting.process == own_identity():
            # One process posts one thing at a time, so this one is a leftover of its own.
            return True
        with suppress(OSError):
            return abs(now_s() - self.mark.stat().st_mtime) > ABANDONED_S
        return False

    def end(self, posting: Posting, end: End, facts: Mapping[str, object]) -> Path:
        """Note for good how the slot of a posting ended, and return where; what was noted before stays."""
        zoned = {name: value for name in ("zone", "began", "moment") if (value := getattr(posting, name))}
        path = self._path(posting.key, end)
        create_whole(path, to_json({"slot": posting.key, **zoned, **facts}))
        # A note that it was missed, left behind, does no harm: how it ended counts.
        with suppress(OSError):
            self._path(posting.key, "missed").unlink(missing_ok=True)
        return path

    def miss(self, slot: Slot, reason: str) -> None:
        """Note that it was too late for a slot; it may still be posted where that is asked for."""
        self._make_folder()
        facts = {"slot": slot.key, "zone": slot.zone, "began": slot.start.isoformat(), "reason": reason}
        create_whole(self._path(slot.key, "missed"), to_json(facts))

    def release(self, posting: Posting) -> None:
        """Take the mark of a posting off; somebody else's stays."""
        with storage_errors("remove", self.mark), suppress(RunFolderError):
            if self.posting() == posting:
                self.mark.unlink(missing_ok=True)

    @property
    def mark(self) -> Path:
        """Where the post that is under way is noted."""
        return self.folder / "posting"

    def next_number(self) -> int:
        """Return the number of the next post.

        Raises:
            StorageError: If an entry cannot be read: its number would be taken twice.
        """
        return max(self._numbers(), default=self._first_number - 1) + 1

    def _numbers(self) -> Iterator[int]:
        """Yield the numbers that are taken: those of posts that may be out as well."""
        for path in self._entries(_OUT):
            with storage_errors("read", path):
                data = path.read_bytes()
            with suppress(ValueError):
                number = from_json(data).get("number")
                if isinstance(number, int):
                    yield number

    def _entries(self, ends: Sequence[End]) -> Iterator[Path]:
        for end in ends:
            yield from self.folder.glob(f"*.{end}")

    def _path(self, key: str, end: End) -> Path:
        return self.folder / f"{key}.{end}"

    def _make_folder(self) -> None:
        with storage_errors("make the folder", self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)


def _is_of(path: Path, slot: Slot) -> bool:
    """Tell whether an entry that has another name is of a slot all the same: of another zone, or of before zones."""
    try:
        told = from_json(path.read_bytes())
        if "began" not in told:
            return path.stem == slot.zoneless
        if told.get("zone") == slot.zone:
            return False
        moments = [dt.datetime.fromisoformat(str(told[name])) for name in ("began", "moment") if name in told]
        return any(slot.start <= moment < slot.end for moment in moments)
    except (OSError, ValueError, TypeError):
        return False


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
