"""Takes away what dead workers left behind: parts, beats, unfinished tables, claims of jobs that are done.

A part is renamed before it is deleted, so that an owner who wakes finds nothing to commit; deleting it in
place could let it commit half a job. Nothing of a living worker is touched.
"""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from sdclient.batch.beats import Watcher, read_beats
from sdclient.batch.claims import parse_claim_name
from sdclient.batch.folder import RunFolder
from sdclient.batch.identity import TOKEN_DIGITS, new_token
from sdclient.batch.listing import names_in
from sdclient.batch.publish import roll_forward
from sdclient.errors import RunFolderError
from sdclient.files import TEMPORARY_PREFIX, is_abandoned, storage_errors

_PART = re.compile(rf"[0-9a-f]{{20}}\.e\d{{6,}}\.([0-9a-f]{{{TOKEN_DIGITS}}})")
_SWEPT = re.compile(rf"swept\.([0-9a-f]{{{TOKEN_DIGITS}}})\.\d+")
_BEAT = re.compile(rf"[0-9a-f]{{{TOKEN_DIGITS}}}")


@dataclass(frozen=True, slots=True)
class Swept:
    """What was taken away.

    Attributes:
        parts: Unfinished outputs of dead workers.
        claims: Claims of jobs that are done, or withdrawn.
        beats: Beats of dead workers that hold nothing any more.
        unfinished: Tables and the like that somebody was writing.
        left: A sentence for every done job whose files could not be put in their places, and why; `clean` alone tries.
    """

    parts: int = 0
    claims: int = 0
    beats: int = 0
    unfinished: int = 0
    left: tuple[str, ...] = ()


def sweep(folder: RunFolder, token: str, is_dead: Callable[[str], bool]) -> Swept:
    """Take away what may go.

    Args:
        folder: The run.
        token: Who sweeps; its own parts are taken away too, so nothing of it may be under way.
        is_dead: Whether the worker behind a token may be taken for dead.

    Raises:
        StorageError: If the folder cannot be read.
    """
    with storage_errors("clean", folder.state):
        parts = sum(1 for path in _dead_parts(folder, token, is_dead) if _sweep_part(path, folder, token))
        claims = _sweep_claims(folder) + _sweep_withdrawn(folder, token, is_dead)
        beats = _sweep_beats(folder, token, is_dead)
        return Swept(parts, claims, beats, _remove(path for path in _unfinished(folder) if is_abandoned(path.name)))


def _unfinished(folder: RunFolder) -> Iterator[Path]:
    """Give what is named as unfinished where something is written under such names."""
    state = folder.state
    kept = (state / "replaced" / name for name in names_in(state / "replaced"))
    for place in (folder.out, state, state / "plan", *(path for path in kept if path.is_dir())):
        yield from (place / name for name in names_in(place) if name.startswith(TEMPORARY_PREFIX))


def _remove(paths: Iterable[Path]) -> int:
    removed = 0
    for path in paths:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
        removed += 1
    return removed


def _dead_parts(folder: RunFolder, token: str, is_dead: Callable[[str], bool]) -> Iterator[Path]:
    for name in sorted(names_in(folder.state / "parts")):
        match = _PART.fullmatch(name) or _SWEPT.fullmatch(name)
        if match is not None and (match[1] == token or is_dead(match[1])):
            yield folder.state / "parts" / name


def _sweep_part(part: Path, folder: RunFolder, token: str) -> bool:
    number = 0
    while True:
        target = folder.state / "parts" / f"swept.{token}.{number}"
        if part == target:
            break
        if not target.exists():
            try:
                part.rename(target)
            except OSError:
                # Committed, or swept by another, at this very moment.
                return False
            break
        number += 1
    shutil.rmtree(target, ignore_errors=True)
    return True


def _sweep_claims(folder: RunFolder) -> int:
    """Remove claims of jobs that are done and published."""
    removed = 0
    claims = [parsed for name in names_in(folder.state / "claims") if (parsed := parse_claim_name(name))]
    done = folder.read_done()
    for job in sorted({job for job, _, _ in claims} & done):
        # The record alone: files beside it still wait for their places, and the claims are what says so.
        if names_in(folder.done_folder(job)) == ["record.json"]:
            numbers = sorted({number for name, number, _ in claims if name == job})
            folder.remove_claims(job, numbers)
            removed += len(numbers)
    return removed


def _sweep_withdrawn(folder: RunFolder, token: str, is_dead: Callable[[str], bool]) -> int:
    """Remove claims of jobs that are not wanted any more, and that nobody living is at."""
    removed = 0
    claims = folder.read_claims()
    for job in claims.keys() & folder.read_plan().withdrawn:
        last = claims[job][-1]
        if last.end is not None or last.owner == token or is_dead(last.owner):
            folder.remove_claims(job, [epoch.number for epoch in claims[job]])
            removed += len(claims[job])
    return removed


def _sweep_beats(folder: RunFolder, token: str, is_dead: Callable[[str], bool]) -> int:
    # While a claim of theirs is open, the beat is what lets others see at once that they are gone.
    holding = {epochs[-1].owner for epochs in folder.read_claims().values() if epochs[-1].end is None}
    removed = 0
    for name in sorted(names_in(folder.state / "beats")):
        if _BEAT.fullmatch(name) and name != token and name not in holding and is_dead(name):
            (folder.state / "beats" / name).unlink(missing_ok=True)
            removed += 1
    return removed


def clean(
    folder: RunFolder,
    *,
    is_patient: bool = False,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Swept:
    """Finish what dead workers began to publish, and take away what they left behind.

    Args:
        folder: The run.
        is_patient: Watch silent workers of other machines for a whole lease, so that what they left goes too;
            otherwise only what is certain at one look goes.
        clock: Monotonic seconds.
        sleep: Waits the given number of seconds.

    Raises:
        StorageError: If the folder cannot be read or written.
    """
    folder.make_folders()
    with storage_errors("clean", folder.state):
        left = tuple(_finish_publishing(folder))
        before = set(_unfinished(folder)) if is_patient else set[Path]()
    swept = sweep(folder, new_token(), _watch(folder, is_patient=is_patient, clock=clock, sleep=sleep))
    with storage_errors("clean", folder.state):
        # Nobody writes a table for as long as a lease.
        still = _remove(path for path in list(_unfinished(folder)) if path in before)
    return replace(swept, unfinished=swept.unfinished + still, left=left)


def _finish_publishing(folder: RunFolder) -> Iterator[str]:
    """Publish what others committed; give a sentence for each job of which that cannot be done."""
    done = folder.read_done()
    for job, epochs in folder.read_claims().items():
        if job not in done:
            continue
        try:
            roll_forward(folder, job, [one.number for one in epochs])
        except RunFolderError as exc:
            # One job must not keep all others from being cleaned.
            yield str(exc)


def _watch(
    folder: RunFolder, *, is_patient: bool, clock: Callable[[], float], sleep: Callable[[float], None]
) -> Callable[[str], bool]:
    """Return a test for dead workers, after watching for as long as was asked."""
    run = folder.settings
    watcher = Watcher(lease_s=run.lease_s, beat_s=run.beat_s)
    ends_s = clock() + (run.lease_s + run.beat_s if is_patient else 0.0)
    while True:
        began_s = clock()
        with storage_errors("read", folder.state / "beats"):
            watcher.observe(read_beats(folder.state / "beats"), began_s, clock())
            for name in names_in(folder.state / "parts"):
                match = _PART.fullmatch(name) or _SWEPT.fullmatch(name)
                if match is not None:
                    watcher.is_stale(match[1])
        if clock() >= ends_s:
            return watcher.is_stale
        sleep(run.beat_s / 2)
