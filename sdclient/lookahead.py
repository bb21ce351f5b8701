"""What can be said of a run before it begins: losses, time and disk."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from sdclient.batch.lane import Lane
from sdclient.client import Losses
from sdclient.dialects.losses import refuse
from sdclient.run import Run
from sdclient.steps.generate import GenerateSpec, ServerLane

_BYTES_PER_PIXEL = 1.9
"""A rough guess for a PNG of a photograph; the line it feeds says ``about``."""
_UNKNOWN_PIXELS = 1024 * 1024
_CUTOUT_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class LaneLosses:
    """The losses of one server for one kind of job.

    Attributes:
        server: The server's name.
        kind: The kind of job.
        losses: What it does not do as asked.
    """

    server: str
    kind: str
    losses: Losses

    def to_json(self) -> list[dict[str, object]]:
        """Return one object a loss."""
        return [{"server": self.server, "job_kind": self.kind, **asdict(loss)} for loss in self.losses.items]

    def __str__(self) -> str:
        return f"  {self.kind} on {self.server}, {self.losses}"


def check_losses(run: Run, lanes: Sequence[Lane], *, strict: bool = False) -> list[LaneLosses]:
    """Return what each server would not do as the plan asks.

    Args:
        run: The run.
        lanes: Where it will be worked on.
        strict: Refuse for any loss, not only for what a server cannot do at all.

    Raises:
        LossError: If one of them cannot do it, or under ``strict`` not as asked.
    """
    found: list[LaneLosses] = []
    for kind, spec in _open_specs(run):
        for lane in lanes:
            if not isinstance(lane, ServerLane):
                continue
            losses = lane.client.check(spec.request)
            refuse(losses.items, where=f"{losses.server} at {lane.client.url}", strict=strict)
            if losses.items:
                found.append(LaneLosses(lane.name, kind, losses))
    return found


def _open_specs(run: Run) -> Iterator[tuple[str, GenerateSpec]]:
    plan = run.folder.read_plan()
    done = run.folder.read_done()
    seen: set[str] = set()
    for job in plan.jobs.values():
        if job.kind in ServerLane.kinds and job.id not in done and job.spec not in seen:
            seen.add(job.spec)
            yield job.kind, GenerateSpec.from_json(job.kind, plan.specs[job.spec])


def time_estimate_s(run: Run, lanes: Sequence[Lane]) -> float | None:
    """Return the seconds left by this run's own measurements; None before there are any."""
    typical = run.typical_s()
    done = run.folder.read_done()
    total = 0.0
    for job in run.jobs():
        if job.id in done:
            continue
        if job.kind not in typical:
            return None
        hands = sum(1 for lane in lanes if job.kind in lane.kinds)
        total += typical[job.kind] / max(1, hands)
    return total


def disk_estimate_bytes(run: Run) -> int:
    """Return about how many bytes the open jobs will write."""
    plan = run.folder.read_plan()
    done = run.folder.read_done()
    sizes: dict[str, float] = {}
    total = 0.0
    for job in plan.jobs.values():
        if job.id in done:
            continue
        if job.spec not in sizes:
            sizes[job.spec] = (
                _spec_bytes(GenerateSpec.from_json(job.kind, plan.specs[job.spec]))
                if job.kind in ServerLane.kinds
                else _CUTOUT_BYTES
            )
        total += sizes[job.spec]
    return int(total)


def _spec_bytes(spec: GenerateSpec) -> float:
    request = spec.request
    pixels = request.size[0] * request.size[1] if request.size else _UNKNOWN_PIXELS
    scale = request.enlarge.scale if request.enlarge else 1.0
    return pixels * scale**2 * _BYTES_PER_PIXEL * request.image_count
