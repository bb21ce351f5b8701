"""Turns prompts, folders and other jobs' outputs into jobs. Reads folders, sends nothing, writes nothing."""

from __future__ import annotations

from sdclient.planning.arrivals import Arrivals, Watch
from sdclient.planning.finding import (
    IMAGE_SUFFIXES,
    ORDERS,
    FoundImages,
    LeftOut,
    Order,
    composed,
    find_images,
    named,
    summarise,
)
from sdclient.planning.folders import ImageWords, plan_folder, refuse_none, relative_root
from sdclient.planning.jobs import UPSCALED, JobList, Spec, kind_of
from sdclient.planning.lists import plan_prompts
from sdclient.planning.rows import PromptRow, prompt_row
from sdclient.planning.sources import Planned, PlannedFolder, Source
from sdclient.planning.variations import Variations, make_variations, read_variations
from sdclient.planning.wording import TEXT_FIELDS, Version, Wording, is_request_field

__all__ = [
    "IMAGE_SUFFIXES",
    "ORDERS",
    "TEXT_FIELDS",
    "UPSCALED",
    "Arrivals",
    "FoundImages",
    "ImageWords",
    "JobList",
    "LeftOut",
    "Order",
    "Planned",
    "PlannedFolder",
    "PromptRow",
    "Source",
    "Spec",
    "Variations",
    "Version",
    "Watch",
    "Wording",
    "composed",
    "find_images",
    "is_request_field",
    "kind_of",
    "make_variations",
    "named",
    "plan_folder",
    "plan_prompts",
    "prompt_row",
    "read_variations",
    "refuse_none",
    "relative_root",
    "summarise",
]
