"""Turns prompts, folders and other jobs' outputs into jobs. Reads folders, sends nothing, writes nothing."""

from __future__ import annotations

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
from sdclient.planning.folders import plan_folder, refuse_none, relative_root
from sdclient.planning.jobs import UPSCALED, JobList, Spec
from sdclient.planning.rows import PromptRow, plan_prompts, prompt_row

__all__ = [
    "IMAGE_SUFFIXES",
    "ORDERS",
    "UPSCALED",
    "FoundImages",
    "JobList",
    "LeftOut",
    "Order",
    "PromptRow",
    "Spec",
    "composed",
    "find_images",
    "named",
    "plan_folder",
    "plan_prompts",
    "prompt_row",
    "refuse_none",
    "relative_root",
    "summarise",
]
