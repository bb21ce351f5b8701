"""Images that appear in a folder, told from those that are still being written."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sdclient.errors import CodecError, ConfigurationError
from sdclient.images import decode_image
from sdclient.planning.finding import FoundImages, LeftOut, Order, composed, find_images

_FIRST_PAUSE_S = 1.0
_FRESH_S = 600.0
"""Files changed so lately are decoded even at the start; only how much is looked at hangs on this, never what is done."""
_LOOKS = 2
_CHECKING_S = 2.0
_MOST_SKIPPED_LOOKS = 64
_COMPANION_LOOKS = 6
_TAIL_BYTES = 12
_PNG_END = b"IEND\xaeB`\x82"
_JPEG_END = b"\xff\xd9"
_RESERVED = bytes(64)
_TOLD_AFTER_TRIES = 4


@dataclass(frozen=True, slots=True)
class Watch:
    """How a folder is watched.

    Attributes:
        idle_exit_s: Seconds without work after which the run ends; None goes on until it is stopped.
        interval_s: Seconds between two looks, at least.
    """

    idle_exit_s: float | None = None
    interval_s: float = 2.0

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: If one makes no sense.
        """
        if not 0 < self.interval_s <= 3600 or (self.idle_exit_s is not None and not 0 <= self.idle_exit_s < 1e7):  # noqa: PLR2004 - hours and months, to tell slips
            raise ConfigurationError(
                f"watch every {self.interval_s} s, idle exit after {self.idle_exit_s} s: give seconds of 0 and more"
            )


@dataclass(slots=True)
class _Candidate:
    """A file that is looked at until it is whole.

    Attributes:
        facts: Size in bytes and time of change, as last seen.
        looks: How often they were the same.
        tries: How often it was decoded in vain.
        wait: Looks until it is tried again.
    """

    facts: tuple[int, int]
    looks: int = 1
    tries: int = 0
    wait: int = 0


@dataclass(slots=True)
class Arrivals:
    """Looks at a folder again and again, and gives each image once, when it is complete.

    Complete means: of the same size and time of change at two looks, and it can be decoded. What a file's time says is
    never compared with a clock to decide it.

    Attributes:
        folder: The folder.
        out: An output folder that may lie inside; it is left out.
        order: In which order images of one look are given.
        seed: For a random order.
        trusted: Images, composed, that were taken in by an earlier start: they are given at once.
        has_companion: Whether what an image waits for, a text beside it, is there; waited for some looks only.
        sleep: Waits seconds.
    """

    folder: Path
    out: Path
    order: Order = "name"
    seed: int = 0
    trusted: frozenset[str] = frozenset()
    has_companion: Callable[[Path], bool] = lambda _: True
    sleep: Callable[[float], None] = time.sleep
    _taken: set[str] = field(default_factory=set[str])
    _seen: dict[str, _Candidate] = field(default_factory=dict[str, _Candidate])
    _noted: set[LeftOut] = field(default_factory=set[LeftOut])

    @property
    def is_waiting(self) -> bool:
        """True while a file is there that is not complete yet, and may become so soon."""
        return any(one.tries < _TOLD_AFTER_TRIES for one in self._seen.values())

    def first_look(self, interval_s: float) -> FoundImages:
        """Return what is complete at the start, and what is left out: two looks, and the ends of files in place of all of them."""
        self._look(is_start=True)
        if self._seen:
            self.sleep(min(_FIRST_PAUSE_S, interval_s))
        # Nobody was told of what the first of the two left out.
        self._noted.clear()
        return self._look(is_start=True)

    def look(self) -> FoundImages:
        """Return what has become complete, and what is left out and was not said before; `accept` takes it in.

        Raises:
            ConfigurationError: If the folder is gone.
            OSError: If a file cannot be looked at.
        """
        return self._look(is_start=False)

    def accept(self, paths: Iterable[str]) -> None:
        """Say that images are planned; they are not given again."""
        for path in paths:
            self._taken.add(composed(path))
            self._seen.pop(path, None)

    def _look(self, *, is_start: bool) -> FoundImages:
        found = find_images(self.folder, out=self.out, order=self.order, seed=self.seed, known=self._taken)
        there = set(found.paths)
        self._seen = {path: one for path, one in self._seen.items() if path in there}
        until = time.monotonic() + _CHECKING_S
        # What was checked is given soon rather than all at the end: a server may be waiting.
        ready = [
            path
            for path in found.paths
            if (is_start or time.monotonic() < until) and self._is_ready(path, is_start=is_start)
        ]
        fresh = [*(one for one in found.skipped if one.is_image or is_start), *self._stuck()]
        left_out = tuple(one for one in fresh if one not in self._noted)
        self._noted.update(left_out)
        return FoundImages(tuple(ready), left_out)

    def _stuck(self) -> list[LeftOut]:
        reason = "not a whole image; taken in once it is"
        return [LeftOut(path, reason) for path, one in self._seen.items() if one.tries >= _TOLD_AFTER_TRIES]

    def _is_ready(self, path: str, *, is_start: bool) -> bool:
        if composed(path) in self.trusted:
            return True
        file = self.folder / path
        try:
            facts = file.stat()
        except FileNotFoundError:
            return False
        one = self._seen.get(path)
        now = (facts.st_size, facts.st_mtime_ns)
        if one is None or one.facts != now:
            self._seen[path] = _Candidate(now)
            return False
        one.looks += 1
        if one.looks < _LOOKS or one.wait > 0:
            one.wait -= 1
            return False
        is_old = is_start and time.time() - facts.st_mtime > _FRESH_S
        if not ((is_old and has_end(file)) or _is_whole(file)):
            one.tries += 1
            # Some programs reserve the whole size first: asked again, less and less often.
            one.wait = min(2**one.tries, _MOST_SKIPPED_LOOKS)
            return False
        return is_start or one.looks > _COMPANION_LOOKS or self.has_companion(file)


def has_end(path: Path) -> bool:
    """Tell whether a PNG or JPEG file ends as a whole one does, by its last bytes alone; False where in doubt."""
    try:
        with path.open("rb") as file:
            file.seek(0, 2)
            file.seek(max(0, file.tell() - _TAIL_BYTES))
            tail = file.read()
    except OSError:
        return False
    return tail.endswith((_PNG_END, _JPEG_END))


def _is_whole(path: Path) -> bool:
    try:
        data = path.read_bytes()
        decode_image(data, what=path.name)
    except (CodecError, OSError):
        return False
    # A WebP decodes, to something, where the space for it is reserved and its rest has not come.
    return not data.endswith(_RESERVED)
