"""Slices of pixel art, drawn over again and again without words, each pass over the one before.

::

    OUT/0001_original.png    32x32 pixels of a canvas, each as a block of 16x16
    OUT/0001.json            canvas, place, seeds, strengths and request: enough to make the slice again
    OUT/passes/0001_pass_<p>_1.png    what each pass made
    OUT/0001_generated.png · 0001_strip.png · 0001.gif    the last pass; all of them side by side; all in turn

A slice follows from its seed: which canvas, where on it, and the seed of every pass.
"""

from __future__ import annotations

from sdclient.recipes.canvas.documents import SliceDocuments, build_documents, gif_of, slice_frames, strip_of
from sdclient.recipes.canvas.passes import PAYLOAD, pass_place, plan_slice, spec_of
from sdclient.recipes.canvas.records import (
    keep_slice,
    number_slices,
    read_slice,
    read_slices,
    slice_name,
    strange_records,
)
from sdclient.recipes.canvas.slices import (
    MIN_COLOURS,
    SLICE_PX,
    Canvas,
    Slice,
    SliceRules,
    choose_slice,
    count_colours,
    enlarge_slice,
    given_slice,
    open_canvas,
    recorded_request,
)
from sdclient.recipes.canvas.strengths import PASSES, PRESETS, STRENGTH, parse_strengths, strengths_of
from sdclient.recipes.canvas.wishes import Numbered, NumberTakenError, Place, Wish, parse_place

__all__ = [
    "MIN_COLOURS",
    "PASSES",
    "PAYLOAD",
    "PRESETS",
    "SLICE_PX",
    "STRENGTH",
    "Canvas",
    "NumberTakenError",
    "Numbered",
    "Place",
    "Slice",
    "SliceDocuments",
    "SliceRules",
    "Wish",
    "build_documents",
    "choose_slice",
    "count_colours",
    "enlarge_slice",
    "gif_of",
    "given_slice",
    "keep_slice",
    "number_slices",
    "open_canvas",
    "parse_place",
    "parse_strengths",
    "pass_place",
    "plan_slice",
    "read_slice",
    "read_slices",
    "recorded_request",
    "slice_frames",
    "slice_name",
    "spec_of",
    "strange_records",
    "strengths_of",
    "strip_of",
]
