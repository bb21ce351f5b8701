"""Processors and their memory through RAPL, the energy counters that Linux shows below ``/sys/class/powercap``."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

from sdclient.energy.reading import Reading

log = logging.getLogger(__name__)

POWERCAP = Path("/sys/class/powercap")
_PACKAGE = re.compile(r"intel-rapl:\d+")
_PART = re.compile(r"intel-rapl:\d+:\d+")


@dataclass(slots=True)
class _Zone:
    """One counter, unrolled.

    Attributes:
        path: Its folder.
        range_uj: Where the counter starts again at 0, in microjoules.
        last_uj: What it showed last.
        turns_uj: What its earlier rounds add up to.
    """

    path: Path
    range_uj: int
    last_uj: int
    turns_uj: int = 0

    def read_uj(self) -> int:
        now = int((self.path / "energy_uj").read_text())
        if now < self.last_uj:
            # Some minutes of full load are enough for one round; a sampler sees every one of them.
            self.turns_uj += self.range_uj
        self.last_uj = now
        return now + self.turns_uj


class RaplSource:
    """All processor packages of this machine, with their memory where that is counted.

    Args:
        zones: The counters.
    """

    name = "rapl"

    def __init__(self, zones: list[_Zone]) -> None:
        self._zones = zones

    def read(self) -> Reading | None:
        """Read every counter; None where one cannot be read."""
        try:
            return Reading(energy_j=sum(zone.read_uj() for zone in self._zones) / 1e6)
        except (OSError, ValueError) as exc:
            log.debug("rapl: %s", exc)
            return None


def open_rapl(root: Path = POWERCAP) -> RaplSource | None:
    """Open the counters; None where there are none, or only root may read them (as most systems have it).

    Args:
        root: The folder with the zones; for tests.
    """
    try:
        names = sorted(path.name for path in root.iterdir())
        packages = [root / name for name in names if _PACKAGE.fullmatch(name)]
        whole = [path for path in packages if _label(path) == "psys"]
        # `psys` is the whole platform and holds the packages; the memory is not part of a package.
        memory = [root / name for name in names if _PART.fullmatch(name) and _label(root / name) == "dram"]
        zones = [_open_zone(path) for path in whole or [*packages, *memory]]
    except (OSError, ValueError) as exc:
        log.info("rapl: %s", exc)
        return None
    return RaplSource(zones) if zones else None


def _label(path: Path) -> str:
    return (path / "name").read_text().strip()


def _open_zone(path: Path) -> _Zone:
    return _Zone(path, int((path / "max_energy_range_uj").read_text()), int((path / "energy_uj").read_text()))
