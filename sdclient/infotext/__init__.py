"""The `parameters` text and where it lives in PNG, JPEG and WebP files: parse, format and find, nothing more.

The text, as all A1111-like servers write it::

    a red fox,
    in the snow                                                  the prompt
    Negative prompt: blurry                                      may be missing
    Steps: 30, Sampler: Euler a, CFG scale: 5, Seed: 7, Size: 1024x1024, Lora hashes: "a: b, c: d"

It lives in a text chunk named `parameters` in PNG files, and in the EXIF user comment in JPEG and WebP files.
"""

from __future__ import annotations

from sdclient.infotext.text import Infotext, format_infotext, parse_infotext
from sdclient.infotext.where import INFOTEXT_KEY, MAX_INFOTEXT_BYTES, has_long_infotext, read_infotext

__all__ = [
    "INFOTEXT_KEY",
    "MAX_INFOTEXT_BYTES",
    "Infotext",
    "format_infotext",
    "has_long_infotext",
    "parse_infotext",
    "read_infotext",
]
