"""Prompts as people keep them: lists of them, and one beside each image, in a table, or in the image itself."""

from __future__ import annotations

from sdclient.prompts.images import METADATA, SIDECAR, ImagePrompts, ImageRows, has_text, image_rows
from sdclient.prompts.lists import likely_slips, read_prompts

__all__ = ["METADATA", "SIDECAR", "ImagePrompts", "ImageRows", "has_text", "image_rows", "likely_slips", "read_prompts"]
