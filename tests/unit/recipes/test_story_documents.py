"""The documents of a story: escaped, accessible, and from the same list."""

from __future__ import annotations

import io
import re
import zipfile
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from sdclient.recipes.story.pages import Chapter, Illustration, html_page, markdown_page
from sdclient.recipes.story.word import docx_bytes

WORDS = "{http://schemas.openxmlformats.org/wordprocessingml/2006/main}"
DRAWING = "{http://schemas.openxmlformats.org/drawingml/2006/wordprocessingDrawing}"
NASTY = 'a "fox" <script>alert(1)</script> & *bold* [x](y) `z` \x0b'


def image(folder: Path, name: str, size: tuple[int, int] = (96, 64), form: str = "PNG") -> str:
    Image.new("RGB", size, (90, 20, 40)).save(folder / name, form)
    return name


def one(place: str = "i.png", caption: str = "a fox", size: tuple[int, int] = (96, 64)) -> Illustration:
    return Illustration(caption, f"{caption}, soft light", place, size)


def document(data: bytes) -> ET.Element:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.testzip() is None
        return ET.fromstring(archive.read("word/document.xml"))  # noqa: S314 - made by us a moment ago


def paragraphs(root: ET.Element) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for paragraph in root.iter(f"{WORDS}p"):
        style = paragraph.find(f"{WORDS}pPr/{WORDS}pStyle")
        text = "".join(part.text or "" for part in paragraph.iter(f"{WORDS}t"))
        found.append(("" if style is None else style.get(f"{WORDS}val", ""), text))
    return found


def test_a_docx_has_a_title_headings_captions_and_alternative_text(tmp_path: Path) -> None:
    """The original's had no headings and no alternative text, and read captions out of file names."""
    chapters = [
        Chapter("Beginning", (one(image(tmp_path, "1.png"), "a fox, well-hidden_here"),)),
        Chapter("End", (one(image(tmp_path, "2.png"), "an owl"),)),
    ]

    root = document(docx_bytes("Three Pigs", chapters, tmp_path))

    assert [(style, text) for style, text in paragraphs(root) if text] == [
        ("Title", "Three Pigs"),
        ("Heading1", "Beginning"),
        ("Caption", "a fox, well-hidden_here"),
        ("", "Drawn as: soft light"),
        ("Heading1", "End"),
        ("Caption", "an owl"),
        ("", "Drawn as: soft light"),
    ]
    assert [part.get("descr") for part in root.iter(f"{DRAWING}docPr")] == ["a fox, well-hidden_here", "an owl"]


@pytest.mark.parametrize(
    ("caption", "prompt", "small"),
    [
        ("A fox.", "A fox, ink", "Drawn as: ink"),
        ("He said “No!”", "He said “No”, ink", "Drawn as: ink"),
        ("A fox.", "A fox", ""),
        ("Un zorro", "a fox, ink", "Prompt: a fox, ink"),
    ],
)
def test_a_prompt_does_not_say_its_caption_again(caption: str, prompt: str, small: str) -> None:
    assert Illustration(caption, prompt, "i.png", (1, 1)).small_print == small


def test_images_of_a_docx_have_one_width_and_tall_ones_fit_the_page(tmp_path: Path) -> None:
    sizes = [(96, 64), (192, 64), (64, 640)]
    illustrations = tuple(one(image(tmp_path, f"{size[0]}x{size[1]}.png", size), "x", size) for size in sizes)

    root = document(docx_bytes("T", [Chapter("C", illustrations)], tmp_path))

    inches = [
        (int(part.get("cx", 0)) / 914400, int(part.get("cy", 0)) / 914400) for part in root.iter(f"{DRAWING}extent")
    ]
    assert [round(width, 2) for width, _ in inches] == [4.5, 4.5, 0.65]
    assert all(height <= 6.51 for _, height in inches)


def test_a_webp_becomes_a_png_in_a_docx_and_a_jpeg_stays(tmp_path: Path) -> None:
    chapters = [
        Chapter(
            "C", (one(image(tmp_path, "1.webp", form="WEBP")), one(image(tmp_path, "2.jpg", form="JPEG"), size=(0, 0)))
        )
    ]

    data = docx_bytes("T", chapters, tmp_path)

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        media = sorted(name for name in archive.namelist() if name.startswith("word/media/"))
    assert [Path(name).suffix for name in media] == [".png", ".jpg"]


def test_an_image_of_a_docx_may_lie_beside_the_storys_folder(tmp_path: Path) -> None:
    (tmp_path / "pigs").mkdir()
    image(tmp_path, "1.png")

    root = document(docx_bytes("T", [Chapter("C", (one("../1.png"),))], tmp_path / "pigs"))

    assert len(list(root.iter(f"{DRAWING}docPr"))) == 1


def test_text_that_runs_leftwards_does_so_in_a_docx(tmp_path: Path) -> None:
    chapters = [Chapter("النهاية", (one(image(tmp_path, "1.png"), "ثعلب أحمر"),))]

    root = document(docx_bytes("A Title", chapters, tmp_path))

    leftwards = [
        "".join(part.text or "" for part in p.iter(f"{WORDS}t"))
        for p in root.iter(f"{WORDS}p")
        if p.find(f"{WORDS}pPr/{WORDS}bidi") is not None
    ]
    assert leftwards == ["النهاية", "ثعلب أحمر"]


@pytest.mark.parametrize("caption", ["a fox", "ثعلب أحمر"])
def test_an_image_and_its_words_stand_in_the_middle_whichever_way_they_run(tmp_path: Path, caption: str) -> None:
    chapters = [Chapter("C", (one(image(tmp_path, "1.png"), caption),))]

    root = document(docx_bytes("T", chapters, tmp_path))

    title, heading, *rest = root.iter(f"{WORDS}p")
    order = [part.tag.removeprefix(WORDS) for part in rest[1].findall(f"{WORDS}pPr/*")]
    assert [p.find(f"{WORDS}pPr/{WORDS}jc") for p in (title, heading)] == [None, None]
    assert [p.findall(f"{WORDS}pPr/{WORDS}jc")[0].get(f"{WORDS}val") for p in rest] == ["center"] * 3
    # The order that the format asks for.
    assert [int(gap.get(f"{WORDS}before", "0")) for gap in rest[0].iter(f"{WORDS}spacing")] == [160]
    assert order == ["pStyle", "keepNext", *([] if caption == "a fox" else ["bidi"]), "jc"]
    assert "figure{margin:2rem 0;text-align:center}" in html_page("T", chapters)


def test_captions_of_all_scripts_have_one_size(tmp_path: Path) -> None:
    data = docx_bytes("T", [Chapter("C", (one(image(tmp_path, "1.png")),))], tmp_path)

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        styles = ET.fromstring(archive.read("word/styles.xml"))  # noqa: S314 - made by us a moment ago
    caption = next(style for style in styles.iter(f"{WORDS}style") if style.get(f"{WORDS}styleId") == "Caption")
    sizes = {part.tag.removeprefix(WORDS): part.get(f"{WORDS}val") for part in caption.iter() if "sz" in part.tag}
    assert sizes == {"sz": "22", "szCs": "22"}


def test_a_docx_is_as_old_as_its_images_and_the_same_images_give_the_same_bytes(tmp_path: Path) -> None:
    """The template it begins with is of 2013."""
    image(tmp_path, "1.png")
    drawn = [
        Illustration("a fox", "a fox", "1.png", (96, 64), drawn_s) for drawn_s in (1_800_000_000.25, None, 1.8e9 - 60)
    ]

    data = docx_bytes("T", [Chapter("C", tuple(drawn))], tmp_path)

    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        root = ET.fromstring(archive.read("docProps/core.xml"))  # noqa: S314 - made by us a moment ago
        dates = {part.date_time for part in archive.infolist()}
    told = {part.tag.rpartition("}")[2]: part.text for part in root}
    assert (told["created"], told["modified"]) == ("2027-01-15T07:59:00Z", "2027-01-15T08:00:00Z")
    assert (told["creator"] or "", dates) == ("", {(1980, 1, 1, 0, 0, 0)})


def test_what_xml_cannot_hold_is_left_out_of_a_docx(tmp_path: Path) -> None:
    root = document(docx_bytes("T\x00\ud800", [Chapter("C", (one(image(tmp_path, "1.png"), NASTY),))], tmp_path))

    assert paragraphs(root)[0] == ("Title", "T")
    assert ("Caption", NASTY.removesuffix(" \x0b")) in paragraphs(root)


class Reader(HTMLParser):
    """Notes tags, alternative texts and all text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.alts: list[str | None] = []
        self.sources: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.alts.append(dict(attrs)["alt"])
            self.sources.append(dict(attrs)["src"])

    def handle_data(self, data: str) -> None:
        self.text += data


@given(title=st.text(max_size=40), caption=st.text(min_size=1, max_size=80))
def test_an_html_page_shows_every_text_as_it_is(title: str, caption: str) -> None:
    for taken in ("\0", "\r", "\ud800"):
        title, caption = title.replace(taken, ""), caption.replace(taken, "")
    reader = Reader()

    reader.feed(html_page(title, [Chapter("C", (one(caption=caption),))]))

    assert reader.alts == [caption]
    assert title in reader.text
    assert reader.tags.count("script") == 0
    assert reader.tags.count("figure") == 1


def test_an_html_page_loads_nothing_from_elsewhere_and_quotes_places() -> None:
    page = html_page("T", [Chapter("C", (one("images/a b#1.png"), one(size=(0, 0))))])

    assert "default-src 'none'" in page
    assert 'src="images/a%20b%231.png" width="96" height="64"' in page
    assert not re.search(r"https?://", page)


def test_markdown_shows_every_text_as_it_is() -> None:
    page = markdown_page("1. T", [Chapter("- C", (one("a b.png", NASTY),))])

    assert page.startswith("# 1\\. T\n\n## \\- C\n\n")
    assert "\\<script\\>alert(1)\\</script\\> \\& \\*bold\\* \\[x\\](y) \\`z\\`" in page
    assert "](a%20b.png)" in page


@pytest.mark.parametrize("text", ["+ plus", "2) two", "= line", "plain"])
def test_markdown_never_takes_a_text_for_a_list_or_heading(text: str) -> None:
    line = markdown_page(text, []).splitlines()[0].removeprefix("# ")

    assert line.replace("\\", "") == text
    assert (line == text) == (text == "plain")
