"""What a generation gives: the verified images, and what became of the request."""

from __future__ import annotations

import html
from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

from sdclient.dialects.base import Loss
from sdclient.dialects.losses import is_refused, loss_rows
from sdclient.images import GeneratedImage
from sdclient.schemas import Img2Img, Txt2Img


@dataclass(frozen=True, slots=True)
class Change:
    """A setting the server says it applied otherwise than asked.

    Attributes:
        field: The setting.
        asked: What the request says; of ``size``, which it leaves open, what the reply says.
        applied: What the reply says; None where it says nothing of something it always names when it does it.
    """

    field: str
    asked: JsonValue
    applied: JsonValue

    def __str__(self) -> str:
        if self.field == "images":
            were = "was" if self.asked == 1 else "were"
            return f"images: {self.applied} came, {self.asked} {were} asked for; the others are not saved (in Python: result.maps)"
        if self.field == "format":
            return f"format: {self.applied} came, not {self.asked}; the server's own settings choose it"
        if self.field == "size":
            return f"size: the reply says {self.asked}, and the image is {self.applied}; the server's own settings choose it"
        if self.applied is None:
            return f"{self.field}: {self.asked} was asked for, and the server does not say that it did it"
        return f"{self.field}: {self.asked} was asked for, {self.applied} was used"


@dataclass(frozen=True, slots=True, repr=False)
class Result:
    """The images of one request.

    Attributes:
        images: The generated images, each decoded in full, of the size asked for or one told in ``changed``.
        maps: Images that are no results: detected maps of ControlNet, masks, and what nobody asked for.
        grid: A grid of all images, where the server made one.
        request: The request as sent, with its seed and overlays merged.
        dialect: The server's dialect.
        info: What the server says about the images; empty where it says nothing.
        losses: What the server does not do as asked.
        changed: What it says, or its images show, that it did otherwise.
        elapsed_s: Seconds the server took, follow-up calls included.
        received_sha256: Hash of each image's bytes as they came, before a metadata text was put in or padding
            was taken off.
    """

    images: tuple[GeneratedImage, ...]
    maps: tuple[GeneratedImage, ...]
    grid: GeneratedImage | None
    request: Txt2Img | Img2Img
    dialect: str
    info: Mapping[str, JsonValue]
    losses: tuple[Loss, ...]
    changed: tuple[Change, ...]
    elapsed_s: float
    received_sha256: tuple[str, ...] = ()

    @property
    def image(self) -> GeneratedImage:
        """The first image."""
        return self.images[0]

    @property
    def seed(self) -> int | None:
        """The first image's seed."""
        return self.images[0].seed

    @property
    def seeds(self) -> tuple[int | None, ...]:
        """Each image's seed; None where the server does not tell."""
        return tuple(image.seed for image in self.images)

    @property
    def parameters(self) -> str:
        """The first image's ``parameters`` text; empty where there is none."""
        return self.images[0].infotext or ""

    def __repr__(self) -> str:
        count = len(self.images)
        width, height = self.images[0].size
        parts = [
            f"{count} image{'s' if count > 1 else ''} of {width}x{height}",
            f"seed {'unknown' if self.seed is None else self.seed}",
            f"{self.dialect}, {self.elapsed_s:.1f} s",
        ]
        parts += [f"{len(self.losses)} loss{'es' if len(self.losses) > 1 else ''}"] if self.losses else []
        parts += [f"{len(self.changed)} changed"] if self.changed else []
        return f"<Result: {', '.join(parts)}>"

    def _repr_png_(self) -> bytes:
        from sdclient.client.preview import preview_png

        return preview_png(self.images)


@dataclass(frozen=True, slots=True)
class Losses:
    """The losses of a request on one server, shown as a table.

    Attributes:
        server: Which server, by its dialect's title.
        items: The losses, worst first; empty when everything is done as asked.
    """

    server: str
    items: tuple[Loss, ...]

    @property
    def is_refused(self) -> bool:
        """True when the request would not be sent."""
        return is_refused(self.items)

    def __bool__(self) -> bool:
        return bool(self.items)

    def __len__(self) -> int:
        return len(self.items)

    def __str__(self) -> str:
        if not self.items:
            return f"{self.server}: everything is done as asked."
        rows = [(severity, name, kind, message) for name, kind, severity, message in loss_rows(self.items)]
        widths = [max(len(row[column]) for row in rows) for column in range(3)]
        lines = [
            "  ".join(cell.ljust(width) for cell, width in zip(row[:3], widths, strict=True)) + "  " + row[3]
            for row in rows
        ]
        return "\n".join([f"{self.server}:", *lines])

    def _repr_html_(self) -> str:
        """Show the table in a notebook; every word in it is escaped."""
        caption = f"<caption>{html.escape(self.server)}</caption>"
        if not self.items:
            return f"<p>{html.escape(str(self))}</p>"
        head = "".join(f"<th>{name}</th>" for name in ("severity", "field", "kind", "what happens"))
        rows = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in (severity, name, kind, message)) + "</tr>"
            for name, kind, severity, message in loss_rows(self.items)
        )
        return f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table>"
