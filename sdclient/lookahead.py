"""What can be said of a run before it begins: time and disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from sdclient.run import Run
from sdclient.steps.generate import GenerateSpec, ServerLane

_BYTES_PER_PIXEL = 1.9
"""A rough guess for a PNG of a photograph; the line it feeds says ``about``."""
_UNKNOWN_PIXELS = 1024 * 1024
_CUTOUT_BYTES = 2_000_000


class Hand(Protocol):
    """Who does jobs: a lane, or a worker that a cluster shall keep."""

    @property
    def kinds(self) -> frozenset[str]:
        """The kinds of jobs it can do."""
        ...


def time_estimate_s(run: Run, lanes: Sequence[Hand]) -> float | None:
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
