"""Headings of a story's sections, in the language of what stands under them."""

from __future__ import annotations

from sdclient.recipes.story.language import language_of
from sdclient.recipes.story.manifest import Manifest, SectionIdeas
from sdclient.recipes.story.text import SECTIONS

_HEADINGS = {
    "ar": ("البداية", "الوسط", "النهاية"),
    "be": ("Пачатак", "Сярэдзіна", "Канец"),
    "de": ("Anfang", "Mitte", "Ende"),
    "el": ("Αρχή", "Μέση", "Τέλος"),
    "es": ("Inicio", "Medio", "Final"),
    "fa": ("آغاز", "میانه", "پایان"),
    "fr": ("Début", "Milieu", "Fin"),
    "he": ("התחלה", "אמצע", "סוף"),
    "hi": ("आरंभ", "मध्य", "अंत"),
    "it": ("Inizio", "Parte centrale", "Fine"),
    "ja": ("はじまり", "なか", "おわり"),
    "ko": ("처음", "중간", "끝"),
    "nl": ("Begin", "Midden", "Einde"),
    "pl": ("Początek", "Środek", "Koniec"),
    "pt": ("Início", "Meio", "Fim"),
    "ru": ("Начало", "Середина", "Конец"),
    "sv": ("Början", "Mitten", "Slutet"),
    "th": ("ตอนต้น", "ตอนกลาง", "ตอนจบ"),
    "tr": ("Başlangıç", "Orta", "Son"),  # noqa: RUF001 - Turkish has both letters
    "uk": ("Початок", "Середина", "Кінець"),
    "ur": ("آغاز", "درمیان", "اختتام"),
    "vi": ("Mở đầu", "Giữa", "Kết thúc"),
    # The same characters in both ways of writing Chinese.
    "zh": ("上篇", "中篇", "下篇"),
}
"""Beginning, middle and end."""


def manifest_language(manifest: Manifest) -> str:
    """Return the language of a story's captions; empty where it cannot be told."""
    return language_of("\n".join(one.idea for section in manifest.sections for one in section.ideas))


def heading_of(section: SectionIdeas, language: str) -> str:
    """Return what stands above a section: its own heading, else its name, in the captions' language where known."""
    if section.heading:
        return section.heading
    if section.section in SECTIONS and language in _HEADINGS:
        return _HEADINGS[language][SECTIONS.index(section.section)]
    return section.section[:1].upper() + section.section[1:]
