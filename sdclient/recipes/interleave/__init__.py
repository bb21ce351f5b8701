"""Interleave: every prompt of a text drawn in every style, each image growing out of one before it.

::

    OUT/<key>/<progresive|independent|layered>/<tags>/<tag> <chapter>-<entry>_1.png   one image a prompt and style
    OUT/<key>/<progresive|independent|layered>/<tags>/<tag> grid-<chapter>.png        all of one chapter and style

Chapters and entries count from 0. Where ``save_individual`` is off, the images lie in ``steps/`` beside the grids.
"""

from __future__ import annotations

from sdclient.recipes.interleave.config import (
    GenerationConfig,
    InterleaveConfig,
    PromptConfig,
    StyleConfig,
    load_interleave,
)
from sdclient.recipes.interleave.grids import build_grids, draw_grid
from sdclient.recipes.interleave.plan import Frame, InterleavePlan, img2img_of, plan_interleave, request_of
from sdclient.recipes.interleave.prompts import Chapter, Chapters, read_chapters

__all__ = [
    "Chapter",
    "Chapters",
    "Frame",
    "GenerationConfig",
    "InterleaveConfig",
    "InterleavePlan",
    "PromptConfig",
    "StyleConfig",
    "build_grids",
    "draw_grid",
    "img2img_of",
    "load_interleave",
    "plan_interleave",
    "read_chapters",
    "request_of",
]
