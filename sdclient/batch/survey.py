"""Where every job of a run stands, worked out from what was read: pure, no files, no clocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import asdict, dataclass

from sdclient.batch.claims import FRESH, End, Epoch, Standing, standing
from sdclient.batch.plan import Job, latest_jobs


@dataclass(frozen=True, slots=True)
class Counts:
    """How many jobs stand where; the five always add up to ``jobs``.

    A job that is done over again counts once, as its latest revision stands.

    Attributes:
        jobs: In the plan.
        done: Committed.
        failed: Tried without success; will be tried again.
        set_aside: Final until ``retry``.
        claimed: Somebody is at it.
        waiting: Not begun, or begun by a worker that is gone.
    """

    jobs: int = 0
    done: int = 0
    failed: int = 0
    set_aside: int = 0
    claimed: int = 0
    waiting: int = 0

    @property
    def left(self) -> int:
        """Jobs that are neither done nor set aside."""
        return self.failed + self.claimed + self.waiting

    def to_json(self) -> dict[str, int]:
        """Return the counts by name."""
        return asdict(self)


def survey(
    jobs: Mapping[str, Job],
    done: AbstractSet[str],
    claims: Mapping[str, tuple[Epoch, ...]],
    is_stale: Callable[[Epoch], bool],
) -> dict[str, Standing]:
    """Return the standing of every job that is not done, in the order of the plan.

    A job whose input was set aside counts as set aside too, with that reason.
    """
    found: dict[str, Standing] = {}
    for job_id in jobs:
        if job_id not in done:
            epochs = claims.get(job_id)
            found[job_id] = standing(epochs, is_stale) if epochs else FRESH
    _spread(jobs, found)
    return found


def dependents(jobs: Mapping[str, Job], open_jobs: Iterable[str]) -> dict[str, list[str]]:
    """Return the open jobs that wait for an output, by the job that is to make it.

    Args:
        jobs: The plan.
        open_jobs: Ids of the jobs that are not done.
    """
    found: dict[str, list[str]] = {}
    for job_id in open_jobs:
        needs = jobs[job_id].needs
        if needs is not None:
            found.setdefault(needs, []).append(job_id)
    return found


def can_come(
    job_id: str,
    jobs: Mapping[str, Job],
    done: AbstractSet[str],
    standings: Mapping[str, Standing],
    hands: AbstractSet[str],
) -> bool:
    """Tell whether an open job may still be done: somebody holds or can do it, and all that it grows out of.

    Args:
        job_id: The job.
        jobs: The plan.
        done: What is committed.
        standings: Where the open jobs stand.
        hands: The kinds of jobs that somebody does.
    """
    current: str | None = job_id
    while current is not None and current not in done:
        known = standings.get(current)
        if known is None or known.state == "set_aside":
            return False
        if known.state != "claimed" and jobs[current].kind not in hands:
            return False
        current = jobs[current].needs
    return True


def _spread(jobs: Mapping[str, Job], found: dict[str, Standing]) -> None:
    """Set aside what can never be, because what it works on never will be.

    Neither the order of the plan nor the depth of a chain matters: inputs may stand in a later shard.
    """
    waiting = dependents(jobs, found)
    if not waiting:
        return
    lost = [(job_id, _in_vain(jobs[job_id], one)) for job_id, one in found.items() if one.state == "set_aside"]
    lost += [(needed, _in_vain(None, None)) for needed in waiting if needed not in jobs]
    while lost:
        above, in_vain = lost.pop()
        for job_id in waiting.pop(above, ()):
            found[job_id] = in_vain
            # All along the chain the first cause, once: people see it at a glance, and in a long chain words add up.
            lost.append((job_id, in_vain))


def _in_vain(cause: Job | None, how: Standing | None) -> Standing:
    """Return the standing of everything that grows out of a job that was set aside, or is not in the plan."""
    if cause is None:
        text = "a job that it grows out of is not in the plan"
    else:
        text = f"it grows out of {cause.place}, which was set aside: {how.words if how else ''}"
    return Standing("set_aside", None, 0, End("set_aside", "InputSetAside", text))


def count(jobs: Mapping[str, Job], done: AbstractSet[str], standings: Iterable[Standing]) -> Counts:
    """Add up standings."""
    found = done & jobs.keys()
    return tally(len(jobs), len(found), Counter(one.state for one in standings), redone=count_redone(jobs, found))


def count_redone(jobs: Mapping[str, Job], done: AbstractSet[str]) -> int:
    """Return how many done jobs have given their places to a later revision, done or not."""
    return len(done - latest_jobs(jobs).keys())


def tally(jobs: int, done: int, states: Mapping[str, int], *, redone: int = 0) -> Counts:
    """Put counts together from the number of open jobs in each state.

    Args:
        jobs: In the plan.
        done: Of these, committed.
        states: How many of the others stand where.
        redone: Of the done ones, those that a later revision has taken the place of: one place counts once.
    """
    return Counts(
        jobs - redone,
        done - redone,
        failed=states.get("failed", 0),
        set_aside=states.get("set_aside", 0),
        claimed=states.get("claimed", 0),
        waiting=states.get("waiting", 0),
    )
