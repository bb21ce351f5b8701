"""A story's illustrations as Markdown and as one HTML page; nothing in them is loaded from elsewhere."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class Illustration:
    """One image with its words.

    Attributes:
        caption: What is to be seen; also its alternative text.
        prompt: What was sent.
        place: POSIX path of the image relative to the document.
        size: Width and height in pixels; zeros where unknown.
        drawn_s: When its drawing began, in seconds since 1970; None where unknown.
    """

    caption: str
    prompt: str
    place: str
    size: tuple[int, int]
    drawn_s: float | None = None

    @property
    def small_print(self) -> str:
        """What was sent beyond the caption, or instead of it; empty where it was the caption alone."""
        bare = self.caption.rstrip(' .!?…。！？؟۔।"”’»」』)')  # noqa: RUF001 - marks of other scripts
        if not self.prompt.startswith(bare):
            return f"Prompt: {self.prompt}"
        added = self.prompt[len(bare) :].lstrip('"”’»」』), ')  # noqa: RUF001 - the same
        return f"Drawn as: {added}" if added.strip(" .!?…。！？؟۔।") else ""  # noqa: RUF001 - the same


@dataclass(frozen=True, slots=True)
class Chapter:
    """A section of the document.

    Attributes:
        heading: For people.
        illustrations: In order.
    """

    heading: str
    illustrations: tuple[Illustration, ...]


_MARKS = re.compile(r"([\\`*_{}\[\]<>#|~&!])")
_AT_START = re.compile(r"^(\s*)([-+=]|\d+[.)])(?=\s|$)")


def markdown_page(title: str, chapters: Sequence[Chapter]) -> str:
    """Return the illustrations as Markdown."""
    lines = [f"# {_plain(title)}", ""]
    for chapter in chapters:
        lines += [f"## {_plain(chapter.heading)}", ""]
        for one in chapter.illustrations:
            caption = _plain(one.caption)
            lines += [f"![{caption}]({quote(one.place)})", "", caption, ""]
            if one.small_print:
                lines += [f"*{_plain(one.small_print)}*", ""]
    return "\n".join(lines)


def _plain(text: str) -> str:
    """Return text that Markdown shows as it is."""
    line = _MARKS.sub(r"\\\1", " ".join(text.split()))
    return _AT_START.sub(lambda match: f"{match[1]}{match[2][:-1]}\\{match[2][-1]}", line)


_STYLE = """
:root{color-scheme:light dark;--ink:#222;--soft:#595959;--paper:#fdfcf9}
@media(prefers-color-scheme:dark){:root{--ink:#eee;--soft:#b5b5b5;--paper:#1b1b1d}}
body{margin:0 auto;max-width:46rem;padding:1.5rem;background:var(--paper);color:var(--ink);font:1.1rem/1.6 Georgia,serif}
h1{line-height:1.2}h2{margin-top:3rem}figure{margin:2rem 0;text-align:center}img{max-width:100%;height:auto;border-radius:4px}
figcaption{overflow-wrap:anywhere}small{color:var(--soft);display:block;font:.85rem/1.4 system-ui,sans-serif}
@media print{figure{break-inside:avoid}}
"""


def html_page(title: str, chapters: Sequence[Chapter], language: str = "") -> str:
    """Return the illustrations as one HTML page.

    Args:
        title: Its title.
        chapters: Its sections.
        language: Code of the captions' language; empty where it is unknown.
    """
    head = (
        f'<!doctype html>\n<html lang="{html.escape(language or "mul")}">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src 'self' file: data:; "
        "style-src 'unsafe-inline'\">\n"
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f'<h1 dir="auto">{html.escape(title)}</h1>\n'
    )
    parts = [head]
    for chapter in chapters:
        parts.append(f'<section>\n<h2 dir="auto">{html.escape(chapter.heading)}</h2>\n')
        parts += [_figure(one) for one in chapter.illustrations]
        parts.append("</section>\n")
    return "".join([*parts, "</main>\n</body>\n</html>\n"])


def _figure(one: Illustration) -> str:
    size = f' width="{one.size[0]}" height="{one.size[1]}"' if all(one.size) else ""
    small = f'\n<small lang="en" dir="auto">{html.escape(one.small_print)}</small>' if one.small_print else ""
    return (
        f'<figure>\n<img src="{quote(one.place)}"{size} alt="{html.escape(one.caption)}">\n'
        f'<figcaption dir="auto">{html.escape(one.caption)}{small}</figcaption>\n</figure>\n'
    )
