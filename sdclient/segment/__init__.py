"""Every object of an image as its own cut-out: masks, segmenters, files.

::

    segmenter = open_segmenter("classical")                    # or vit_b, vit_l, vit_h, a checkpoint file
    pixels = read_image(Path("fox.png").read_bytes())          # RGB, or RGBA where it is transparent
    objects = segment_image(segmenter, pixels, SegmentSettings(top_n=20))
    write_cutouts(pixels, objects, Path("cutouts"), "fox")  # fox_01.png, fox_02.png, ..., objects.json

`SegmentSettings` say all of it at once: which segmenter, which objects (`choose_objects`), and which files to write.

Importing this package loads neither torch nor OpenCV nor Pillow; each is imported when something that needs it is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sdclient.segment.choose import choose_objects, find_parents
    from sdclient.segment.classical import ClassicalSegmenter
    from sdclient.segment.cutouts import CutoutFile, MadeBy, encode_cutout, write_cutouts
    from sdclient.segment.generator import GeneratedMask, MaskGenerator
    from sdclient.segment.masks import CocoRle, MaskHW, MaskRuns, decode_rle, encode_rle
    from sdclient.segment.objects import SegmentedObject, select_objects
    from sdclient.segment.options import MaskOptions
    from sdclient.segment.pixels import ImagePixels, ImageRGB, read_image, read_rgb, see_on_white
    from sdclient.segment.prompts import Prompt, PromptPoint, read_prompts
    from sdclient.segment.sam import SamSegmenter
    from sdclient.segment.segmenter import PromptedSegmenter, Segmenter, open_segmenter, segment_image
    from sdclient.segment.settings import SegmentSettings
    from sdclient.segment.words import WordSegmenter

__all__ = [
    "ClassicalSegmenter",
    "CocoRle",
    "CutoutFile",
    "GeneratedMask",
    "ImagePixels",
    "ImageRGB",
    "MadeBy",
    "MaskGenerator",
    "MaskHW",
    "MaskOptions",
    "MaskRuns",
    "Prompt",
    "PromptPoint",
    "PromptedSegmenter",
    "SamSegmenter",
    "SegmentSettings",
    "SegmentedObject",
    "Segmenter",
    "WordSegmenter",
    "choose_objects",
    "decode_rle",
    "encode_cutout",
    "encode_rle",
    "find_parents",
    "open_segmenter",
    "read_image",
    "read_prompts",
    "read_rgb",
    "see_on_white",
    "segment_image",
    "select_objects",
    "write_cutouts",
]

_MODULES = {
    "choose": ("choose_objects", "find_parents"),
    "classical": ("ClassicalSegmenter",),
    "cutouts": ("CutoutFile", "MadeBy", "encode_cutout", "write_cutouts"),
    "generator": ("GeneratedMask", "MaskGenerator"),
    "masks": ("CocoRle", "MaskHW", "MaskRuns", "decode_rle", "encode_rle"),
    "objects": ("SegmentedObject", "select_objects"),
    "options": ("MaskOptions",),
    "pixels": ("ImagePixels", "ImageRGB", "read_image", "read_rgb", "see_on_white"),
    "prompts": ("Prompt", "PromptPoint", "read_prompts"),
    "sam": ("SamSegmenter",),
    "segmenter": ("PromptedSegmenter", "Segmenter", "open_segmenter", "segment_image"),
    "settings": ("SegmentSettings",),
    "words": ("WordSegmenter",),
}
_HOMES = {name: module for module, names in _MODULES.items() for name in names}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    # Kept, so that the next look finds it without coming here.
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
