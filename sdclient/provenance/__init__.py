"""Where an image comes from: the job that made it, making it again, and how two images' settings differ."""

from __future__ import annotations

from sdclient.provenance.difference import Difference, SettingsDiff, compare_settings
from sdclient.provenance.origin import Origin, find_origin
from sdclient.provenance.pixels import PixelComparison, compare_pixels
from sdclient.provenance.replay import Replayed, replay

__all__ = [
    "Difference",
    "Origin",
    "PixelComparison",
    "Replayed",
    "SettingsDiff",
    "compare_pixels",
    "compare_settings",
    "find_origin",
    "replay",
]
