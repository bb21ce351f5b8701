"""Writes what a run's report consists of: the page, its thumbnails, the tables, ``metadata.jsonl``."""

from __future__ import annotations

import base64
import datetime as dt
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sdclient.batch.folder import RunFolder
from sdclient.batch.log import write_views
from sdclient.batch.views import require_ours
from sdclient.errors import RunError
from sdclient.files import resolve_inside, storage_errors, write_durable
from sdclient.report.collect import RunContent, make_report, read_run
from sdclient.report.metadata import write_metadata
from sdclient.report.model import ImageCard, RunReport
from sdclient.report.outlook import outlook
from sdclient.report.page import PageLinks, PageParts, place_url, render_page
from sdclient.report.plots import make_plots
from sdclient.report.thumbs import ThumbSource, make_thumbs, thumb_path
from sdclient.report.timeline import make_timeline

REPORT_FILE = "report.html"
_MARK = b"sdclient report</title>"


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """How a report is made.

    Attributes:
        embed: Carry the thumbnails inside the page, so that it can be sent without the images.
        thumbs: Make missing thumbnails; without, the page shows the images themselves.
        on_thumb: Told how many thumbnails are made, and how many there are to make.
    """

    embed: bool = False
    thumbs: bool = True
    on_thumb: Callable[[int, int], None] | None = None


@dataclass(frozen=True, slots=True)
class Written:
    """What was written.

    Attributes:
        page: The page.
        size_bytes: Its length.
        report: What it says.
        notes: What was not right, in sentences.
    """

    page: Path
    size_bytes: int
    report: RunReport
    notes: tuple[str, ...]


def write_report(folder: RunFolder, options: ReportOptions | None = None) -> Written:
    """Write ``report.html``, ``images.csv``, ``attempts.csv`` and ``metadata.jsonl`` into the output folder.

    Args:
        folder: The run; it may be at work.
        options: How.

    Raises:
        RunFolderError: If the plan is damaged.
        StorageError: If the folder cannot be written.
    """
    options = options or ReportOptions()
    content = read_run(folder)
    report = make_report(content)
    notes = make_run_thumbs(content, report, on_thumb=options.on_thumb) if options.thumbs or options.embed else []
    page = render_page(page_parts(content, report), _links(folder, embed=options.embed))
    path = folder.out / REPORT_FILE
    data = page.encode("utf-8", "replace")
    with storage_errors("look at", path):
        require_ours(path, [_MARK])
    write_durable(path, data)
    notes += write_views(folder)
    notes += write_metadata(folder)
    return Written(path, len(data), report, tuple(dict.fromkeys([*report.notes, *notes])))


def page_parts(
    content: RunContent, report: RunReport, *, version: str = "", now: dt.datetime | None = None
) -> PageParts:
    """Draw up what a page shows of a report.

    Args:
        content: What was read.
        report: What was made of it.
        version: Of a page that looks for changes.
        now: The time of day in UTC, for what such a page says of the finish; None for a page that stays as it is.
    """
    timeline = make_timeline(report.attempts, content.needs, time.time())
    # From clocks that contradict each other no finish can be told.
    expected = (
        outlook(report.attempts, report.counts, now, is_at_work=content.is_at_work)
        if now is not None and not timeline.trouble
        else ""
    )
    return PageParts(report, timeline, make_plots(report.attempts), version, expected)


def make_run_thumbs(
    content: RunContent, report: RunReport, *, on_thumb: Callable[[int, int], None] | None = None
) -> list[str]:
    """Make the missing thumbnails of a report's images; returns what was wrong with them."""
    out = content.folder.out
    sources: list[ThumbSource] = []
    for card in report.images:
        path = card_path(out, card)
        if card.state == "there" and path is not None:
            sources.append(ThumbSource(path, card.sha256, card.place))
    return make_thumbs(content.folder.state, sources, on_made=on_thumb)


def card_path(out: Path, card: ImageCard) -> Path | None:
    """Return the file of a card; None where its place leads astray."""
    if not card.replayable:
        # A cut-up input image: it lies where the plan says, which may be beside the output folder.
        return out / card.place
    try:
        return resolve_inside(out, card.place)
    except RunError:
        return None


def _links(folder: RunFolder, *, embed: bool) -> PageLinks:
    present = _present_thumbs(folder.state)

    def thumb(card: ImageCard) -> str:
        path = thumb_path(folder.state, card.sha256)
        if card.state == "changed" or path.name not in present:
            return ""
        if embed:
            return "data:image/webp;base64," + base64.b64encode(path.read_bytes()).decode()
        return place_url(path.relative_to(folder.out).as_posix())

    return PageLinks(thumb=thumb)


def _present_thumbs(state: Path) -> frozenset[str]:
    return frozenset(path.name for path in (state / "thumbs").glob("??/*.webp"))
