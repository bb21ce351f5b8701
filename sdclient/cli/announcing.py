"""What is told of a run before it begins: what there is to do, with whom, how long it takes and how much it writes."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from sdclient.batch.lane import Lane
from sdclient.batch.room import kept_bytes, shortage
from sdclient.batch.survey import Counts
from sdclient.cli.talk import byte_size, duration, emit, plural, say, table
from sdclient.engines.keeper import Post
from sdclient.files import storage_errors
from sdclient.lanes import LaneLosses, each_loss_once
from sdclient.lookahead import disk_estimate_bytes, time_estimate_s
from sdclient.run import Run
from sdclient.steps.generate import ServerLane


@dataclass(frozen=True, slots=True)
class _Hand:
    """Who takes part, as it is told.

    Attributes:
        name: Its name.
        dialect: The dialect of a server, the name of a segmenter; None where it is not known yet.
        title: What it is.
        kinds: The kinds of jobs it can do.
    """

    name: str
    dialect: str | None
    title: str
    kinds: frozenset[str]


@dataclass(frozen=True, slots=True)
class _Needed:
    """What a run needs of time and disk.

    Attributes:
        estimated_s: Seconds left; None where nothing was measured yet.
        estimated_bytes: What it will write.
        free_bytes: What is free where it writes.
        kept_bytes: What is kept free there.
    """

    estimated_s: float | None
    estimated_bytes: int
    free_bytes: int
    kept_bytes: int

    def __str__(self) -> str:
        time_text = (
            f"about {duration(self.estimated_s)} by what was measured here"
            if self.estimated_s is not None
            else "not known before the first images"
        )
        return f"time: {time_text}; disk: about {byte_size(self.estimated_bytes)} of {byte_size(self.free_bytes)} free"


def announce(run: Run, counts: Counts, lanes: Sequence[Lane], *, strict: bool, as_json: bool) -> float | None:
    """Tell of a run that this process works on, and what its servers would not do as planned.

    Args:
        run: The run.
        counts: Where its jobs stand.
        lanes: Its servers and segmenters, open.
        strict: Refuse it for any loss.
        as_json: Speak JSON.

    Returns:
        The seconds that what is left takes, by what was measured before; None where nothing was.

    Raises:
        LossError: If a server cannot do it, or under ``strict`` not as asked.
        StorageError: If the folder cannot be looked at.
    """
    losses = run.losses(lanes, strict=strict)
    return _tell(
        run, counts, [_Hand(one.name, one.dialect, _title(one), one.kinds) for one in lanes], losses, as_json=as_json
    )


def announce_cluster(run: Run, counts: Counts, posts: Sequence[Post], *, as_json: bool) -> float | None:
    """Tell of a run that a cluster works on; what a server would not do is told by its node, which reaches it.

    Args:
        run: The run.
        counts: Where its jobs stand.
        posts: Who is needed where.
        as_json: Speak JSON.

    Returns:
        As `announce` does.

    Raises:
        StorageError: If the folder cannot be looked at.
    """
    return _tell(
        run, counts, [_Hand(one.name, one.dialect, one.title, one.kinds) for one in posts], None, as_json=as_json
    )


def _tell(
    run: Run, counts: Counts, hands: Sequence[_Hand], losses: Sequence[LaneLosses] | None, *, as_json: bool
) -> float | None:
    with storage_errors("look for room in", run.out):
        room = shutil.disk_usage(_existing(run.out))
    needed = _Needed(time_estimate_s(run, hands), disk_estimate_bytes(run), room.free, kept_bytes(room.total))
    if as_json:
        emit(
            {
                "event": "planned",
                **counts.to_json(),
                "servers": [{"name": one.name, "dialect": one.dialect} for one in hands],
                "losses": None if losses is None else [loss for one in losses for loss in one.to_json()],
                **asdict(needed),
            }
        )
        return needed.estimated_s
    say(f"{run.out}: {plural(counts.jobs, 'job')}, {counts.done} done, {counts.left} to do" + aside(counts))
    open_kinds = run.open_kinds()
    say(table([(one.name, one.title, ", ".join(sorted(one.kinds & open_kinds))) for one in hands]))
    if losses is None and any(one.kinds & ServerLane.kinds for one in hands):
        say("  what a server would not do as asked its own node tells, before it draws")
    for one in each_loss_once(losses or ()):
        say(str(one))
    if counts.left:
        say(f"  {needed}")
    _say_watched(run, counts)
    if counts.left and (words := shortage(needed.estimated_bytes, needed.free_bytes, needed.kept_bytes)):
        say(f"  {words}")
    return needed.estimated_s


def _say_watched(run: Run, counts: Counts) -> None:
    for source in run.sources:
        idle_s = source.watch.idle_exit_s
        ends = "" if idle_s is None else f", or {duration(idle_s)} after the last work"
        say(f"  watching {source.folder}: images are taken in as they become complete, until Ctrl-C{ends}")
    if not (counts.left or run.sources):
        say("  nothing to do yet; another worker watches a folder for more, and this one helps when it comes")


def _title(lane: Lane) -> str:
    return lane.client.title if isinstance(lane, ServerLane) else lane.dialect


def _existing(folder: Path) -> Path:
    """Return the folder, or the nearest one above that is there already; itself on a drive that is not there."""
    whole = folder.absolute()
    return next((one for one in (whole, *whole.parents) if one.is_dir()), whole)


def aside(counts: Counts) -> str:
    """Say how many jobs are set aside, where any is."""
    return f", {counts.set_aside} set aside" if counts.set_aside else ""
