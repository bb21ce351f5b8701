"""The HTML page of a run: one file, nothing loaded from outside, everything that came from elsewhere escaped."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import groupby
from pathlib import PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import quote

from sdclient._version import __version__
from sdclient.report.model import ImageCard, RunReport
from sdclient.report.plots import Plot, figure_text
from sdclient.report.timeline import WIDTH, Timeline

if TYPE_CHECKING:
    from jinja2 import Environment

SAMPLES = 8
"""So many images stand in the head of the page."""


@dataclass(frozen=True, slots=True)
class PageParts:
    """What a page shows.

    Attributes:
        run: The report.
        timeline: Its timeline.
        plots: Its plots.
        version: Changes when anything of it does; empty for a page that does not look for changes.
        outlook: What is to be expected of a run that is at work; empty on a page that stays as it is.
    """

    run: RunReport
    timeline: Timeline
    plots: tuple[Plot, ...] = ()
    version: str = ""
    outlook: str = ""


@dataclass(frozen=True, slots=True)
class PageLinks:
    """How a page finds its images.

    Attributes:
        thumb: Returns the address of an image's thumbnail; empty where there is none and the image itself is shown.
        before: Returns the address of what an image was drawn over, where that is not its path.
        alone: Returns the address of an image of the gallery, where that is not its place.
    """

    thumb: Callable[[ImageCard], str] = lambda card: ""  # noqa: ARG005 - the plain answer to every card
    before: Callable[[ImageCard], str] = lambda card: ""  # noqa: ARG005 - the plain answer to every card
    alone: Callable[[ImageCard], str] = lambda card: ""  # noqa: ARG005 - the plain answer to every card


def place_url(place: str) -> str:
    """Return a place as an address relative to the page; ``./`` keeps a colon from looking like a protocol."""
    return "./" + quote(place.encode("utf-8", "replace"), safe="/")


def render_page(parts: PageParts, links: PageLinks | None = None) -> str:
    """Return the whole page.

    Args:
        parts: What it shows.
        links: How it finds its images; None: beside the page, by their places.
    """
    links = links or PageLinks()
    run = parts.run
    counts = run.counts
    environment = _environment()

    def url(card: ImageCard) -> str:
        return links.alone(card) or place_url(card.place)

    environment.filters["url"] = url
    return environment.get_template("report.html.j2").render(
        run=run,
        counts=counts,
        figures=_figures(run),
        shares=_shares(run),
        made_at=run.made_at.replace("T", " ").replace("+00:00", " UTC"),
        timeline=parts.timeline,
        outlook=parts.outlook,
        lost=sum(cells.get("status") == "lost" for cells in run.attempts),
        plots=parts.plots,
        width=WIDTH,
        groups=_groups(run.images, links),
        samples=_samples(run.images, links),
        kinds=sorted({card.kind for card in run.images}),
        data=embedded_json(_data(parts, links)),
        live=bool(parts.version),
        css=_resource("report.css"),
        js=_resource("report.js"),
        policy=content_policy(),
        version=__version__,
    )


def content_policy() -> str:
    """Return the policy that keeps a browser from running or loading anything but this page's own."""
    digest = base64.b64encode(hashlib.sha256(_resource("report.js").encode()).digest()).decode()
    return (
        f"default-src 'none'; script-src 'sha256-{digest}'; style-src 'unsafe-inline'; "
        "img-src 'self' data: file:; connect-src 'self'; base-uri 'none'; form-action 'none'"
    )


def embedded_json(value: object) -> str:
    """Return JSON that can stand inside a script element, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    # Half a surrogate pair cannot be written as UTF-8.
    return text.encode("utf-8", "backslashreplace").decode()


@cache
def _resource(name: str) -> str:
    return (files("sdclient.report") / "templates" / name).read_text(encoding="utf-8")


def _environment() -> Environment:
    from jinja2 import DictLoader, Environment, StrictUndefined

    environment = Environment(
        loader=DictLoader({"report.html.j2": _resource("report.html.j2")}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["figure"] = figure_text
    environment.filters["program"] = _program
    return environment


def _program(dialect: str) -> str:
    """Return a server program's name for people; of a segmenter, its own."""
    from sdclient.dialects import DIALECTS

    return DIALECTS[dialect].title if dialect in DIALECTS else dialect


def _figures(run: RunReport) -> list[tuple[str, int]]:
    counts = run.counts.to_json()
    found = [(name.replace("_", " "), number) for name, number in counts.items() if number or name in ("jobs", "done")]
    cutouts = sum(len(card.cutouts) for card in run.images)
    return [
        *found,
        *([("images", len(run.images))] if run.images else []),
        *([("cut-outs", cutouts)] if cutouts else []),
    ]


def _shares(run: RunReport) -> list[tuple[str, str]]:
    counts = run.counts.to_json()
    jobs = max(1, counts["jobs"])
    return [
        (name, f"{100 * counts[name] / jobs:.3f}")
        for name in ("done", "claimed", "failed", "set_aside")
        if counts[name]
    ]


def _groups(images: Sequence[ImageCard], links: PageLinks) -> list[tuple[str, list[tuple[int, ImageCard, str]]]]:
    numbered = sorted(enumerate(images), key=lambda entry: (entry[1].folder, entry[0]))
    return [
        (folder, [(number, card, _source(card, links)) for number, card in cards])
        for folder, cards in groupby(numbered, key=lambda entry: entry[1].folder)
    ]


def _samples(images: Sequence[ImageCard], links: PageLinks) -> list[tuple[int, ImageCard, str]]:
    """Return some images from all over the run for its head: the latest kind of drawing, none that is only an input."""
    drawn = [(number, card) for number, card in enumerate(images) if card.replayable and card.state != "gone"]
    baked = [entry for entry in drawn if entry[1].before is not None]
    shown = baked or drawn
    count = min(len(shown), SAMPLES)
    picked = [shown[index * len(shown) // count] for index in range(count)]
    return [(number, card, _source(card, links)) for number, card in picked]


def _source(card: ImageCard, links: PageLinks) -> str:
    if card.state == "gone":
        return links.thumb(card) if links.thumb(card).startswith("data:") else ""
    return links.thumb(card) or links.alone(card) or place_url(card.place)


class _Texts:
    """Every text once: a thousand images share a few prompts."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {"": 0}

    def number(self, text: str) -> int:
        return self._numbers.setdefault(text, len(self._numbers))

    def listed(self) -> list[str]:
        return list(self._numbers)


def _data(parts: PageParts, links: PageLinks) -> dict[str, object]:
    texts = _Texts()
    cards = [_card(card, texts, links) for card in parts.run.images]
    return {"run": parts.run.run_key, "version": parts.version, "texts": texts.listed(), "cards": cards}


def _card(card: ImageCard, texts: _Texts, links: PageLinks) -> dict[str, object]:
    value: dict[str, object] = {
        "key": card.key,
        "place": card.place,
        "name": card.name,
        "kind": card.kind,
        "prompt": texts.number(card.prompt),
        "server": texts.number(card.facts.get("server", "")),
        "facts": {name: text for name, text in card.facts.items() if name != "server"},
    }
    optional: Mapping[str, object] = {
        "state": card.state if card.state != "there" else "",
        "negative": texts.number(card.negative_prompt),
        "columns": dict(card.columns),
        "changed": list(card.changed),
        "losses": card.losses,
        "url": links.alone(card),
        "replay": int(card.replayable),
    }
    value |= {name: part for name, part in optional.items() if part}
    if card.width_px and card.height_px:
        value |= {"width": card.width_px, "height": card.height_px}
    if card.before is not None:
        value["over"] = card.before.path if card.before.is_there else f"{card.before.path} (not there)"
        if card.before.is_there and card.replayable:
            address = links.before(card)
            value["before"] = {"path": card.before.path} | ({"url": address} if address else {})
    if card.cutouts:
        folder = PurePosixPath(card.cutouts[0].place).parent
        value["cutouts"] = {"folder": f"{folder}/", "names": [one.name for one in card.cutouts]}
    return value
