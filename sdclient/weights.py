"""Fetches Segment Anything's published weights into this user's cache: in parts, going on where it stopped, checked by hash."""

from __future__ import annotations

import hashlib
import logging
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from sdclient.errors import NotSentError, SDClientError, SegmentationError, StorageError, TransportError
from sdclient.files import fsync_file, storage_errors
from sdclient.segment.weights import KNOWN_WEIGHTS, KnownWeights, models_folder
from sdclient.transport import CallLimits, CancelToken, HttpReply, HttpSettings, RequestsTransport, Transport, safe_url

__all__ = ["OnProgress", "fetch_weights", "provide_weights"]

OnProgress: TypeAlias = Callable[[int, int], None]
"""Told how many bytes are here, and how many there will be."""

_log = logging.getLogger(__name__)

_PART_BYTES = 16 * 2**20
_BLOCK_BYTES = 2**20
_TRIES = 3
_MARGIN_BYTES = 64 * 2**20
_PARTIAL, _WHOLE, _PAST_THE_END = 206, 200, 416
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")


def provide_weights(
    model: str,
    *,
    folder: Path | None = None,
    transport: Transport | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Path | None:
    """Make sure that the weights of a model are on this machine.

    Args:
        model: ``vit_b``, ``vit_l``, ``vit_h``; anything else needs nothing from here.
        folder: Where weights are kept; by default this user's cache.
        transport: How to reach their publisher; by default the network, with the proxies of the environment.
        on_progress: Told now and then how far it is.
        cancel: Ends it from another thread; what is here stays for the next time.

    Returns:
        The file; None where `model` is none of those.

    Raises:
        SegmentationError: If the weights are not here and cannot be fetched; the message says what else helps.
        StorageError: If they cannot be written.
        CancelledError: If `cancel` was thrown.
    """
    known = KNOWN_WEIGHTS.get(model)
    if known is None:
        return None
    folder = folder or models_folder()
    path = folder / known.file_name
    if not path.is_file():
        _log.info("fetching %s (%.0f MB) into %s", known.file_name, known.size_bytes / 1e6, folder)
        fetch_weights(known, folder, transport=transport, on_progress=on_progress, cancel=cancel)
    return path


def fetch_weights(
    known: KnownWeights,
    folder: Path,
    *,
    url: str | None = None,
    transport: Transport | None = None,
    on_progress: OnProgress | None = None,
    cancel: CancelToken | None = None,
) -> Path:
    """Fetch a weights file; what an earlier try has left is gone on with.

    Two processes may do this at once: they write the same bytes to the same places, and who is ready first is enough.

    Args:
        known: Which file.
        folder: Where to; made where it is missing.
        url: Where from; by default where its authors publish it.
        transport: As for `provide_weights`.
        on_progress: As for `provide_weights`.
        cancel: As for `provide_weights`.

    Raises:
        SegmentationError: As for `provide_weights`; also if what came is not the published file.
        StorageError: As for `provide_weights`.
        CancelledError: As for `provide_weights`.
    """
    over = transport or RequestsTransport(HttpSettings(trust_env=True))
    source = _Source(known, folder, url or known.url, over, cancel)
    path, part = folder / known.file_name, folder / f"{known.file_name}.part"
    with storage_errors("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    here = _begin(part, known.size_bytes)
    _refuse_full_disk(known, folder, here)
    while here < known.size_bytes and not path.is_file():
        if on_progress is not None:
            on_progress(here, known.size_bytes)
        data, start = source.read(here)
        _write_at(part, data, start)
        here = start + len(data)
    if on_progress is not None:
        on_progress(here, known.size_bytes)
    with storage_errors("put the weights in place", folder):
        if path.is_file():
            # Another process was faster, and what is left here is no more than a piece.
            part.unlink(missing_ok=True)
        else:
            _put_in_place(part, path, known)
    return path


@dataclass(frozen=True, slots=True)
class _Source:
    """Where the bytes come from."""

    known: KnownWeights
    folder: Path
    url: str
    transport: Transport
    cancel: CancelToken | None

    def read(self, start: int) -> tuple[bytes, int]:
        """Return some bytes from `start` on, and where they belong (0 where the publisher sends all of them)."""
        end = min(start + _PART_BYTES, self.known.size_bytes) - 1
        reply = self._ask({"range": f"bytes={start}-{end}", "accept-encoding": "identity"})
        if reply.status == _WHOLE and len(reply.body) == self.known.size_bytes:
            return reply.body, 0
        found = _CONTENT_RANGE.fullmatch(reply.headers.get("content-range", ""))
        is_asked = found is not None and found.groups() == (str(start), str(end), str(self.known.size_bytes))
        if reply.status != _PARTIAL or not is_asked or len(reply.body) != end - start + 1:
            raise SegmentationError(
                f"{self._what}: answered {reply.status} with {len(reply.body)} bytes where "
                f"{end - start + 1} of {self.known.size_bytes} were asked for: {self._otherwise}"
            )
        return reply.body, start

    def _ask(self, headers: dict[str, str]) -> HttpReply:
        # Who ignores the wish for a part may send it all.
        limits = replace(CallLimits(), max_reply_bytes=self.known.size_bytes)
        for left in reversed(range(_TRIES)):
            try:
                return self.transport.send("GET", self.url, headers=headers, limits=limits, cancel=self.cancel)
            except TransportError as exc:  # noqa: PERF203 - that is what trying again looks like
                if isinstance(exc, NotSentError):
                    raise SegmentationError(
                        f"{self._what}: not reached ({exc}): is this machine offline? {self._otherwise}"
                    ) from exc
                if not exc.retryable:
                    raise
                if not left:
                    raise SegmentationError(
                        f"{self._what}: broke off ({exc}): the same command goes on where it stopped"
                    ) from exc
            except SDClientError as exc:
                raise SegmentationError(f"{self._what}: {exc}: {self._otherwise}") from exc
        raise AssertionError

    @property
    def _what(self) -> str:
        return f"the weights of {self.known.model_type} from {safe_url(self.url)}"

    @property
    def _otherwise(self) -> str:
        return (
            f"put {self.known.file_name} into {self.folder} by hand, name a checkpoint file, or use the model "
            "'classical', which needs none"
        )


def _begin(part: Path, size_bytes: int) -> int:
    """Return how many bytes an earlier try has left; what is too long is thrown away."""
    with storage_errors("look at", part):
        here = part.stat().st_size if part.exists() else 0
        if here > size_bytes:
            part.unlink()
            return 0
    return here


def _refuse_full_disk(known: KnownWeights, folder: Path, here: int) -> None:
    with storage_errors("look at", folder):
        free = shutil.disk_usage(folder).free
    if free < known.size_bytes - here + _MARGIN_BYTES:
        raise SegmentationError(
            f"the weights of {known.model_type} need {known.size_bytes / 1e6:.0f} MB in {folder}, where "
            f"{free / 1e6:.0f} MB are free: make room, or take a smaller model"
        )


def _write_at(part: Path, data: bytes, start: int) -> None:
    with storage_errors("write", part):
        # Opened for reading and writing, never cut: another process may be further along.
        part.touch()
        with part.open("r+b") as file:
            file.seek(start)
            file.write(data)
            file.flush()
            fsync_file(file.fileno())


def _put_in_place(part: Path, path: Path, known: KnownWeights) -> None:
    try:
        _check_hash(part, known)
        part.replace(path)
    except (FileNotFoundError, StorageError):
        # While the hash was worked out here, which takes seconds, another process may have put it in place.
        if not path.is_file():
            raise


def _check_hash(part: Path, known: KnownWeights) -> None:
    digest = hashlib.sha256()
    with storage_errors("read", part), part.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            digest.update(block)
    if digest.hexdigest() != known.sha256:
        with storage_errors("remove", part):
            part.unlink()
        raise SegmentationError(
            f"what came is not the published {known.file_name}: its sha256 is {digest.hexdigest()[:12]}..., not "
            f"{known.sha256[:12]}...; it was thrown away: try again, or put the file into {part.parent} by hand"
        )
