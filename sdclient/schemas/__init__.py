"""Requests, payload files, ``sdclient.toml`` and what servers tell, as typed and checked values."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdclient._late import late

if TYPE_CHECKING:
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

__getattr__ = late(
    __name__,
    {
        "DIALECT_NAMES": "generation",
        "Img2Img": "generation",
        "Request": "generation",
        "Txt2Img": "generation",
        "ControlNet": "parts",
        "Enlarge": "parts",
        "HiresFix": "parts",
        "Lora": "parts",
        "Refiner": "parts",
        "Tiled": "parts",
        "Tiles": "parts",
        "load_request": "payload",
        "payload_names": "payload",
        "save_payload": "payload",
        "ADetailer": "scripts",
        "SDUpscale": "scripts",
        "UltimateUpscale": "scripts",
        "apply_sets": "sets",
    },
)
