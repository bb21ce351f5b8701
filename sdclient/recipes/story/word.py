"""A story's illustrations as a .docx: title, headings, images of one width with alternative text, captions."""

from __future__ import annotations

import datetime as dt
import io
import re
import unicodedata
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from sdclient.files import resolve_inside
from sdclient.images import open_rgb, read_image_input
from sdclient.recipes.story.pages import Chapter, Illustration

if TYPE_CHECKING:
    from docx.document import Document
    from docx.text.paragraph import Paragraph
    from docx.text.run import Run

WIDTH_IN = 4.5
"""Width of every image, in inches; a tall one is made narrower, so that it fits on a page with its caption."""
MAX_HEIGHT_IN = 6.5
_CAPTION_PT = 11
_PROMPT_PT = 8
_ABOVE_PT = 8
"""Between a heading, or the words before, and an image."""
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.timezone.utc)
_PART_DATE = (1980, 1, 1, 0, 0, 0)
"""Of every part of the file, the earliest that its form takes: the same images give the same bytes."""
# What XML cannot hold, and so no .docx either.
_FORBIDDEN = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


_WORDS = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_DRAWING = "http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing"
_INLINE = f"{{{_DRAWING}}}inline"
_DRAWING_PROPERTIES = f"{{{_DRAWING}}}docPr"
_BIDI = f'<w:bidi xmlns:w="{_WORDS}"/>'


class _Element(Protocol):
    """As much of lxml's elements as is used here: python-docx has no words for alternative text or direction."""

    def iter(self, tag: str) -> Iterator[_Element]: ...
    def set(self, name: str, value: str) -> None: ...
    def getparent(self) -> _Element: ...
    def get_or_add_pPr(self) -> _Element: ...  # noqa: N802 - python-docx's name
    def append(self, child: _Element) -> None: ...


def docx_bytes(title: str, chapters: Sequence[Chapter], folder: Path) -> bytes:
    """Return the document, dated by its images: the first drawn made it, the last changed it.

    Args:
        title: Its title.
        chapters: Its sections.
        folder: The folder that the places of the images are relative to.

    Raises:
        CodecError: If an image is none.
    """
    import docx

    document = docx.Document()
    _style_captions(document)
    document.core_properties.title = _clean(title)
    document.core_properties.author = ""
    document.core_properties.comments = ""
    _date(document, chapters)
    _write(document.add_heading(level=0), title)
    for chapter in chapters:
        _write(document.add_heading(level=1), chapter.heading)
        for one in chapter.illustrations:
            _add(document, one, folder)
    file = io.BytesIO()
    document.save(file)
    return _redated(file)


def _date(document: Document, chapters: Sequence[Chapter]) -> None:
    known = [one.drawn_s for chapter in chapters for one in chapter.illustrations if one.drawn_s is not None]
    document.core_properties.created = _EPOCH + dt.timedelta(seconds=min(known, default=0.0))
    document.core_properties.modified = _EPOCH + dt.timedelta(seconds=max(known, default=0.0))


def _redated(file: io.BytesIO) -> bytes:
    """Return a document whose parts say nothing of when they were put together."""
    made = io.BytesIO()
    with zipfile.ZipFile(file) as parts, zipfile.ZipFile(made, "w") as archive:
        for part in parts.infolist():
            part.date_time = _PART_DATE
            archive.writestr(part, parts.read(part))
    return made.getvalue()


def _style_captions(document: Document) -> None:
    from docx.enum.style import WD_STYLE_TYPE
    from docx.shared import Pt, RGBColor
    from docx.styles.style import ParagraphStyle

    style = document.styles.get_by_id("Caption", WD_STYLE_TYPE.PARAGRAPH)
    if isinstance(style, ParagraphStyle):
        # The template's small bold blue is hard to read on paper.
        style.font.size = Pt(_CAPTION_PT)
        style.font.bold = style.font.cs_bold = False
        style.font.color.rgb = RGBColor(0x22, 0x22, 0x22)
        # Arabic and its like have a size of their own, in half points.
        for size in cast("_Element", cast("object", style.element)).iter(f"{{{_WORDS}}}szCs"):
            size.set(f"{{{_WORDS}}}val", str(2 * _CAPTION_PT))


def _add(document: Document, one: Illustration, folder: Path) -> None:
    from docx.enum.text import WD_ALIGN_PARAGRAPH
    from docx.shared import Inches, Pt

    centred = WD_ALIGN_PARAGRAPH.CENTER
    data = _image(folder, one.place)
    image_line = document.add_paragraph()
    # The caption stays on the image's page.
    image_line.paragraph_format.keep_with_next = True
    # In the middle an image and its caption stay together, whichever way the caption runs.
    image_line.alignment = centred
    image_line.paragraph_format.space_before = Pt(_ABOVE_PT)
    width_in = min(WIDTH_IN, MAX_HEIGHT_IN * one.size[0] / one.size[1]) if all(one.size) else WIDTH_IN
    run = image_line.add_run()
    run.add_picture(io.BytesIO(data), width=Inches(width_in))
    for drawing in _xml(run).iter(_INLINE):
        # The template keeps other text away from an image; here there is none, and it would only be indented.
        drawing.set("distL", "0")
        drawing.set("distR", "0")
    for properties in _xml(run).iter(_DRAWING_PROPERTIES):
        properties.set("descr", _clean(one.caption))
    caption = document.add_paragraph(style="Caption")
    _write(caption, one.caption)
    caption.alignment = centred
    if not one.small_print:
        return
    caption.paragraph_format.keep_with_next = True
    prompt = document.add_paragraph()
    _write(prompt, one.small_print)
    prompt.alignment = centred
    for words in prompt.runs:
        words.italic = True
        words.font.size = Pt(_PROMPT_PT)


def _image(folder: Path, place: str) -> bytes:
    up = place.startswith("../")
    path = resolve_inside(folder.parent if up else folder, place.removeprefix("../"))
    data = read_image_input(path)
    if data[8:12] != b"WEBP":
        return data
    # Word takes no WebP.
    return read_image_input(open_rgb(data))


def _write(paragraph: Paragraph, text: str) -> None:
    run = paragraph.add_run(_clean(text))
    if _runs_leftwards(text):
        from docx.oxml import parse_xml

        run.font.rtl = True
        _xml(run).getparent().get_or_add_pPr().append(cast("_Element", parse_xml(_BIDI)))


def _xml(run: Run) -> _Element:
    return cast("_Element", cast("object", run.element))


def _clean(text: str) -> str:
    return _FORBIDDEN.sub("", " ".join(text.split()))


def _runs_leftwards(text: str) -> bool:
    """Tell by its first letter whether a text runs from right to left."""
    kinds = (unicodedata.bidirectional(char) for char in text)
    return next((kind for kind in kinds if kind in ("L", "R", "AL")), "L") != "L"
