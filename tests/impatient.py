"""A server's lane for tests and benches whose servers answer within milliseconds: what takes minutes elsewhere, at once."""

from __future__ import annotations

from sdclient.batch.health import HealthPolicy
from sdclient.batch.patience import PatiencePolicy
from sdclient.batch.worker import WorkerSettings
from sdclient.client import WatchPolicy
from sdclient.steps.generate import ServerLane

IMPATIENT = WorkerSettings(
    health=HealthPolicy(first_open_s=0.1, longest_open_s=0.5),
    patience=PatiencePolicy(first_s=0.01, longest_s=0.05),
    scan_s=0.5,
)
# Doses for faults that never end by themselves, or would take gigabytes.
DOSES = {
    "hang": "s=2",
    "drip-header": "s=0.02",
    "drip-body": "s=0.02",
    "restart": "s=0.3",
    "leak": "mb=2,s=0.3",
    "endless-headers": "mb=8",
}


class ImpatientLane(ServerLane):
    """A server that is taken for stuck after a third of a second."""

    def watch_policy(self) -> WatchPolicy:
        return WatchPolicy(stall_s=0.3, interval_s=0.1)


def spread(names: list[str], share: float) -> list[str]:
    """Return faults as the simulator takes them, which together hit a share of the requests, each as often."""
    return [f"{name}:p={share / len(names):.6f},{DOSES.get(name, '')}".rstrip(",") for name in names]
