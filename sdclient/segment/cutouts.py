"""Objects as files: what `SegmentSettings.outputs` names, and one `objects.json` per image.

::

    <folder>/<stem>_01.png        cutout   the largest object first; as large as the image, the rest transparent black
    <folder>/<stem>_01_crop.png   crop     the object's own box; its place is in the oFFs chunk and in objects.json
    <folder>/<stem>_01_mask.png   mask     1 bit a pixel, as large as the image, white where the object is
    <folder>/<stem>_rest.png      (cover)  what no object covers; stacked under all cut-outs it completes the image
    <folder>/<stem>_overlay.jpg   overlay  the image with every object tinted and numbered
    <folder>/<stem>_sheet.jpg     sheet    every object in a box of its own
    <folder>/<stem>.ora           ora      one layer an object, the rest below, for GIMP, Krita, MyPaint
    <folder>/objects.json         {"format": 1,
                                   "image":     {"name": <stem>, "width": px, "height": px},
                                   "segmenter": {"name": "vit_b", "device": "cpu"},
                                   "objects":   [{"number": 1, "label": "", "parent": number or null,
                                                  "file": "<stem>_01.png", "mask": "<stem>_01_mask.png",
                                                  "crop": "<stem>_01_crop.png", "crop_offset_xy": [x, y],
                                                  "bbox_xywh": [x, y, w, h], "area_px": n,
                                                  "score": 0..1, "stability_score": 0..1 or null,
                                                  "rle": {"size": [h, w], "counts": [...]}}, ...]}

Numbers have two digits, or as many as the highest needs; a label comes after the number (`fox_01_hair.png`). Keys of files
that were not asked for are left out. Laid over each other at the same place, cut-outs give the image back wherever some
object is. Of a transparent image they have its own colours and alpha; so has the rest, and stacked with it, or in the ora,
a partly transparent pixel is in one layer alone (`segment.layers`). An image without objects leaves no file.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from sdclient.files import safe_name, storage_errors, write_new_file
from sdclient.segment.choose import find_parents
from sdclient.segment.layers import Layer, LayerStack, cut_layer
from sdclient.segment.objects import SegmentedObject
from sdclient.segment.openraster import NamedLayer, encode_openraster
from sdclient.segment.pixels import ImagePixels, check_pixels, see_on_white
from sdclient.segment.png import encode_mask_in_box, encode_pixels, encode_rgba_in_box
from sdclient.segment.previews import draw_overlay, draw_sheet
from sdclient.segment.settings import SegmentSettings

if TYPE_CHECKING:
    from pydantic import JsonValue

__all__ = ["OBJECTS_FILE", "CutoutFile", "MadeBy", "encode_cutout", "object_facts", "write_cutouts"]

OBJECTS_FILE = "objects.json"
_FORMAT = 1
_MIN_DIGITS = 2


@dataclass(frozen=True, slots=True)
class MadeBy:
    """What `objects.json` says about who found the objects.

    Attributes:
        segmenter: The segmenter's name.
        device: Where it ran.
    """

    segmenter: str = ""
    device: str = ""


@dataclass(frozen=True, slots=True)
class CutoutFile:
    """One file that was written.

    Attributes:
        path: Where it is.
        role: What it is: one of `OUTPUTS`, ``rest`` or ``objects``.
        size_bytes: How large it is.
        sha256: Of its bytes.
        number: The object it shows, from 1; None where it is about the whole image.
    """

    path: Path
    role: str
    size_bytes: int
    sha256: str
    number: int | None = None


def encode_cutout(pixels: ImagePixels, item: SegmentedObject, *, feather_px: float = 0.0) -> bytes:
    """Return a PNG as large as the image that shows the object alone, at its place.

    Args:
        pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA: the image `item` was found in.
        item: The object.
        feather_px: See `SegmentSettings`.

    Raises:
        SegmentationError: If the object belongs to an image of another size, or is empty.
    """
    return _encode_layer(cut_layer(pixels, item, feather_px=feather_px), item)


def _encode_layer(layer: Layer, item: SegmentedObject) -> bytes:
    return encode_rgba_in_box(layer.rgba, canvas_hw=item.runs.size_hw, corner_xy=layer.corner_xy)


def write_cutouts(
    pixels: ImagePixels,
    objects: Sequence[SegmentedObject],
    folder: Path,
    stem: str,
    *,
    settings: SegmentSettings | None = None,
    made_by: MadeBy | None = None,
) -> list[CutoutFile]:
    """Write everything that `settings` ask for into a folder, which is made where it is missing.

    Args:
        pixels: uint8, shape (H, W, 3), RGB, or (H, W, 4), RGBA.
        objects: What to write, in this order; numbers start at 1. None of them: nothing is written.
        folder: Where to. Files that are there already are never replaced.
        stem: Start of the files' names, usually the image's own name without its ending.
        settings: What to write and how; by default one full-canvas PNG per object.
        made_by: What `objects.json` says about who found them.

    Returns:
        The files, in the order they were written: each object's, those of the whole image, `objects.json`.

    Raises:
        SegmentationError: If an object belongs to an image of another size, or is empty.
        StorageError: If the disk is full, read-only or gone, or a file of that name is there already.
    """
    check_pixels(pixels)
    if not objects:
        return []
    with storage_errors("make the folder", folder):
        folder.mkdir(parents=True, exist_ok=True)
    settings = settings or SegmentSettings()
    stack = LayerStack(pixels, objects, settings.feather_px)
    writer = _Writer(pixels, objects, stack, folder, stem, settings)
    writer.write_objects()
    writer.write_whole()
    writer.write_record(made_by or MadeBy())
    return writer.written


def object_facts(item: SegmentedObject, number: int, parent: int | None) -> dict[str, JsonValue]:
    """Return what is known of an object, but for its mask, as JSON.

    Args:
        item: The object.
        number: Its number, from 1.
        parent: The number of the object it lies in; None where there is none.
    """
    stability = item.stability_score
    return {
        "number": number,
        "label": item.label,
        "parent": parent,
        "bbox_xywh": list(item.bbox_xywh),
        "area_px": item.area_px,
        "score": round(item.score, 6),
        "stability_score": None if stability is None else round(stability, 6),
    }


@dataclass(slots=True)
class _Writer:
    """Writes the files of one image; `records` becomes the list in `objects.json`."""

    pixels: ImagePixels
    objects: Sequence[SegmentedObject]
    stack: LayerStack
    folder: Path
    stem: str
    settings: SegmentSettings
    written: list[CutoutFile] = field(default_factory=list[CutoutFile])
    records: list[JsonValue] = field(default_factory=list["JsonValue"])
    rest_file: str = ""

    def write_objects(self) -> None:
        """Write the files of each object."""
        parents = find_parents(self.objects)
        for number, (item, parent) in enumerate(zip(self.objects, parents, strict=True), start=1):
            record = object_facts(item, number, None if parent is None else parent + 1)
            record |= self._write_object(item, number)
            rle = item.rle
            record["rle"] = {"size": list(rle["size"]), "counts": list(rle["counts"])}
            self.records.append(record)

    def _write_object(self, item: SegmentedObject, number: int) -> dict[str, JsonValue]:
        outputs = self.settings.outputs
        name = self._name(item, number)
        canvas_hw = item.runs.size_hw
        keys: dict[str, JsonValue] = {}
        if "cutout" in outputs:
            data = _encode_layer(self._layer(item, number), item)
            keys["file"] = self._write(f"{name}.png", data, "cutout", number)
        if "crop" in outputs:
            layer = self._layer(item, number, padding_px=self.settings.padding_px)
            data = encode_pixels(layer.rgba, offset_xy=layer.corner_xy)
            keys["crop"] = self._write(f"{name}_crop.png", data, "crop", number)
            keys["crop_offset_xy"] = list(layer.corner_xy)
        if "mask" in outputs:
            data = encode_mask_in_box(item.runs.decode_box(), canvas_hw=canvas_hw, corner_xy=item.bbox_xywh[:2])
            keys["mask"] = self._write(f"{name}_mask.png", data, "mask", number)
        return keys

    def write_whole(self) -> None:
        """Write the files that are about the whole image."""
        outputs = self.settings.outputs
        if self.settings.cover:
            data = encode_pixels(self.stack.rest().rgba)
            self.rest_file = self._write(f"{self.stem}_rest.png", data, "rest")
        if "overlay" in outputs:
            self._write(f"{self.stem}_overlay.jpg", draw_overlay(see_on_white(self.pixels), self.objects), "overlay")
        if "sheet" in outputs:
            self._write(f"{self.stem}_sheet.jpg", draw_sheet(see_on_white(self.pixels), self.objects), "sheet")
        if "ora" in outputs:
            rest = NamedLayer("rest", self.stack.rest())
            named = (
                NamedLayer(f"{number:02d} {item.label}".strip(), self.stack.layer(number))
                for number, item in enumerate(self.objects, start=1)
            )
            self._write(f"{self.stem}.ora", encode_openraster(self.pixels, rest, named), "ora")

    def write_record(self, made_by: MadeBy) -> None:
        """Write `objects.json`, as the module's docstring draws it."""
        record: dict[str, JsonValue] = {
            "format": _FORMAT,
            "image": {"name": self.stem, "width": self.pixels.shape[1], "height": self.pixels.shape[0]},
            "segmenter": {"name": made_by.segmenter, "device": made_by.device},
        }
        if self.rest_file:
            record["rest"] = self.rest_file
        record["objects"] = list(self.records)
        self._write(OBJECTS_FILE, (json.dumps(record, ensure_ascii=False) + "\n").encode(), "objects")

    def _name(self, item: SegmentedObject, number: int) -> str:
        digits = max(_MIN_DIGITS, len(str(len(self.objects))))
        label = "_" + safe_name("_".join(item.label.split())) if item.label else ""
        return f"{self.stem}_{number:0{digits}d}{label}"

    def _layer(self, item: SegmentedObject, number: int, *, padding_px: int = 0) -> Layer:
        if self.settings.cover:
            return self.stack.layer(number, padding_px=padding_px)
        # By itself, a whole is not to miss what its parts would keep for themselves.
        return cut_layer(self.pixels, item, feather_px=self.settings.feather_px, padding_px=padding_px)

    def _write(self, name: str, data: bytes, role: str, number: int | None = None) -> str:
        path = self.folder / name
        write_new_file(path, data)
        self.written.append(CutoutFile(path, role, len(data), hashlib.sha256(data).hexdigest(), number))
        return name
