"""Segmenters that come from elsewhere: found by name through the entry points ``sdclient.segmenters``.

A plug-in is a function that takes the `SegmentSettings` and returns an open `Segmenter`. Its package says so in its own
``pyproject.toml``, and ``sdclient segment IN OUT --model dots`` finds it once that is installed::

    [project.entry-points."sdclient.segmenters"]
    dots = "my_package.dots:open_dots"

What ``--option NAME=VALUE`` gives, it asks the settings for (`SegmentSettings.option`). With ``--half`` it is refused, unless
its segmenter has an attribute ``takes_half`` that is true.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, cast

from sdclient.errors import ConfigurationError, SDClientError, SegmentationError

if TYPE_CHECKING:
    from sdclient.segment.segmenter import Segmenter
    from sdclient.segment.settings import SegmentSettings

__all__ = ["GROUP", "find_plugin", "open_plugin"]

GROUP = "sdclient.segmenters"

# Written like the entry point it is, and there without one, in a checkout that is not installed.
_OWN = {"words": EntryPoint("words", "sdclient.segment.words:open_words", GROUP)}


def find_plugin(name: str) -> EntryPoint | None:
    """Return the plug-in of this name; None where none is installed."""
    return _OWN.get(name) or next(iter(entry_points(group=GROUP, name=name)), None)


def open_plugin(plugin: EntryPoint, settings: SegmentSettings) -> Segmenter:
    """Import a plug-in and have it open its segmenter.

    Raises:
        SegmentationError: If it cannot be imported, fails, or returns no segmenter; the plug-in is named.
        ConfigurationError: If the settings ask for half precision, and its segmenter does not say that it can.
    """
    try:
        opened = cast("Callable[[SegmentSettings], object]", plugin.load())(settings)
    except SDClientError:
        raise
    # Foreign code: whatever it raises, a person gets words.
    except Exception as exc:
        given = ", ".join(settings.options)
        mend = f"look at what was given to it, option {given:.100}, else " if given else ""
        raise SegmentationError(
            f"the segmenter {plugin.name} ({plugin.value}) does not open: {type(exc).__name__}: {exc!s:.200}: "
            f"{mend}update or remove its package"
        ) from exc
    if not all(hasattr(opened, name) for name in ("name", "device", "segment")):
        raise SegmentationError(
            f"the segmenter {plugin.name} ({plugin.value}) opens as {opened!r:.60}, which lacks name, device or segment: "
            "update or remove its package"
        )
    if settings.half and not getattr(opened, "takes_half", False):
        raise ConfigurationError(
            f"the segmenter {plugin.name} ({plugin.value}) does not say that it takes half precision: leave it out, or have "
            "its package give the segmenter an attribute takes_half that is true"
        )
    return cast("Segmenter", opened)
