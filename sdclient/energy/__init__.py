"""Energy, honestly: what can be measured is measured, its source is named, and everything else is unknown, never 0.

::

    meter = open_meter(is_local=True)     None where nothing measures; one for all that runs on this machine
    window = meter.open()                 a request begins
    meter.sample()                        every quarter of a second, by whoever samples
    window.close()                        the request has ended
    window.cells()                        cells for the CSV log

The energy of a moment is divided by the requests that run in it, so that the windows of a run add up to what was drawn.
"""

from __future__ import annotations

from sdclient.energy.local import CombinedSource, open_local_source, open_meter
from sdclient.energy.meter import EnergyMeter, EnergyWindow
from sdclient.energy.reading import EnergySource, Reading
from sdclient.energy.sdnext import SdNextSource

__all__ = [
    "CombinedSource",
    "EnergyMeter",
    "EnergySource",
    "EnergyWindow",
    "Reading",
    "SdNextSource",
    "open_local_source",
    "open_meter",
]
