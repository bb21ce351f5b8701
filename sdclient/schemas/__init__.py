"""Requests, payload files, ``sdclient.toml`` and what servers tell, as typed and checked values."""

from __future__ import annotations

from sdclient.schemas.generation import DIALECT_NAMES, Img2Img, Request, Txt2Img
from sdclient.schemas.parts import ControlNet, Enlarge, HiresFix, Lora, Refiner, Tiled, Tiles
from sdclient.schemas.payload import load_request, payload_names, save_payload
from sdclient.schemas.scripts import ADetailer, SDUpscale, UltimateUpscale
from sdclient.schemas.sets import apply_sets

__all__ = [
    "DIALECT_NAMES",
    "ADetailer",
    "ControlNet",
    "Enlarge",
    "HiresFix",
    "Img2Img",
    "Lora",
    "Refiner",
    "Request",
    "SDUpscale",
    "Tiled",
    "Tiles",
    "Txt2Img",
    "UltimateUpscale",
    "apply_sets",
    "load_request",
    "payload_names",
    "save_payload",
]
